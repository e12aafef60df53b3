"""Mistakes on the command line; what is none still shows help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows import cli
from flows.commands import console


@pytest.mark.parametrize("words", [[], ["--help"], ["run", "--help"], ["runs", "show", "--help"]])
def test_help_is_help_and_no_mistake(words: list[str]) -> None:
    result = CliRunner().invoke(cli.app, words)
    assert "Usage" in result.output
    assert "expected:" not in result.output


# Words of help in brackets are markup to who draws it: they vanish, and so did these.
DEFAULTS = {
    "run": [
        "none, a zero-shot start",
        "the teacher's",
        "one on this machine alone",
        "1",
        "1, where there are any",
        "one a core for models of 1 to 20 million weights, or else 1",
        "label",
        "by the teacher's size",
        "here",
    ],
    "review": ["by the file's ending", "coverage", "beside the run folder", "a free one"],
    "check": ["by the teacher's size", "label"],
    "evaluate": ["student", "label"],
}


@pytest.mark.parametrize("command", DEFAULTS)
def test_help_names_the_default_of_an_option(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(cli.app, [command, "--help"])
    shown = re.findall(r"\[default: \(?([^\]]*?)\)?\]", result.output)
    assert sorted(shown) == sorted(DEFAULTS[command])


def test_no_help_holds_brackets_that_would_vanish() -> None:
    group: Any = typer.main.get_command(cli.app)
    every = [
        own
        for command in group.commands.values()
        for own in (command, *getattr(command, "commands", {}).values())
    ]
    helps = [parameter.help or "" for own in every for parameter in own.params]
    assert len(helps) > 50
    assert [text for text in helps if "[" in text] == []


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["export", "RUN", "--format", "hf"], "--out"),
        (["review", "RUN", "--rows", "5"], "--out"),
        (["review", "RUN", "--answers", "a.csv"], "--labeled"),
        (["review", "RUN"], "--answers"),
        (["runs"], "--under"),
        (["transfer", "RUN", "RUN"], "--out"),
        (["init"], "OUT"),
    ],
)
def test_an_address_does_not_become_a_folder_of_this_machine(
    words: list[str], option: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was meant for a bucket would lie in a folder `s3:`, and nobody would know."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console.Stop, "install", lambda self: None)
    words = [str(tiny_run) if word == "RUN" else word for word in words]
    words += [option] if option.startswith("--") else []
    result = CliRunner().invoke(cli.app, [*words, "s3://bucket/place.csv"])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{option}\n  expected: a path on this machine\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "where"), [(["rnu"], "pet"), (["run"], "pet run"), (["runs", "shw"], "pet runs")]
)
def test_a_mistake_names_the_command_that_helps(words: list[str], where: str) -> None:
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{where}\n  expected: words as `{where} --help` lists them")
    assert not result.stdout
