"""`pet transfer`: what it shows and writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from flows import cli
from flows.commands import console

Pet = Callable[..., Result]


@pytest.fixture
def pet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pet:
    """Run the command in this process, in a folder of its own, without its signal handlers."""
    monkeypatch.setattr(console.Stop, "install", lambda self: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(cli.app, [str(word) for word in words])


def test_runs_are_shown_beside_each_other(
    pet: Pet, adapted_runs: dict[str, Path], tmp_path: Path
) -> None:
    run = adapted_runs["soft-prompt"]
    copy = shutil.copytree(run, tmp_path / "copy")
    shown = pet("transfer", run, copy, "--out", "out")
    assert shown.exit_code == 0, shown.output
    assert "tiny_news, 3 soft-prompt adapters, measured on 9 test rows" in shown.stdout
    assert "1 and 2" in shown.stdout
    assert "100%" in shown.stdout
    assert "out/transfer.html" in shown.stdout
    assert (tmp_path / "out" / "transfer.html").exists()
    given = pet("transfer", run, copy, "--json")
    assert json.loads(given.stdout) == json.loads((tmp_path / "out/transfer.json").read_text())


@pytest.mark.parametrize(
    ("words", "said"),
    [(["."], "two or more runs, each once"), ([".", "nowhere"], "a run folder with config.json"),
     ([".", "nowhere", "--out", ""], "an empty text")],
)  # fmt: skip
def test_what_is_no_run_is_one_screen(pet: Pet, words: list[str], said: str) -> None:
    refused = pet("transfer", *words)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.output
