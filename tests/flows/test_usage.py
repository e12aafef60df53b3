"""Mistakes on the command line; what is none still shows help."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from flows import cli


@pytest.mark.parametrize("words", [[], ["--help"], ["run", "--help"], ["runs", "show", "--help"]])
def test_help_is_help_and_no_mistake(words: list[str]) -> None:
    result = CliRunner().invoke(cli.app, words)
    assert "Usage" in result.output
    assert "expected:" not in result.output


@pytest.mark.parametrize(
    ("words", "where"), [(["rnu"], "pet"), (["run"], "pet run"), (["runs", "shw"], "pet runs")]
)
def test_a_mistake_names_the_command_that_helps(words: list[str], where: str) -> None:
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{where}\n  expected: words as `{where} --help` lists them")
    assert not result.stdout
