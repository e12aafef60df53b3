"""Mistakes on the command line; what is none still shows help."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from flows import cli


@pytest.mark.parametrize("words", [[], ["--help"], ["run", "--help"], ["runs", "show", "--help"]])
def test_help_is_help_and_no_mistake(words: list[str]) -> None:
    result = CliRunner().invoke(cli.app, words)
    assert "Usage" in result.output
    assert "expected:" not in result.output


# Words of help in brackets are markup to who draws it: they vanish, and so did these.
DEFAULTS = {
    "run": ["none, a zero-shot start", "the teacher's", "one on this machine alone", "1",
            "1, where there are any", "label", "default", "here"],
    "review": ["by the file's ending", "coverage", "beside the run folder"],
    "check": ["default", "label"],
    "evaluate": ["student", "label"],
}  # fmt: skip


@pytest.mark.parametrize("command", DEFAULTS)
def test_help_says_what_holds_where_an_option_is_left_out(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(cli.app, [command, "--help"])
    shown = re.findall(r"\[default: \(?([^\]]*?)\)?\]", result.output)
    assert sorted(shown) == sorted(DEFAULTS[command])


def test_no_help_holds_brackets_that_would_vanish() -> None:
    group = typer.main.get_command(cli.app)
    helps = [parameter.help or "" for command in group.commands.values()  # type: ignore[attr-defined]
             for own in [command, *getattr(command, "commands", {}).values()]
             for parameter in own.params]  # fmt: skip
    assert len(helps) > 50
    assert [text for text in helps if "[" in text] == []


@pytest.mark.parametrize(
    ("words", "where"), [(["rnu"], "pet"), (["run"], "pet run"), (["runs", "shw"], "pet runs")]
)
def test_a_mistake_names_the_command_that_helps(words: list[str], where: str) -> None:
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{where}\n  expected: words as `{where} --help` lists them")
    assert not result.stdout
