"""`pet export`: what it prints, and how it refuses."""

from __future__ import annotations

import json
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
    return lambda *words: CliRunner().invoke(cli.app, [str(word) for word in words])


def test_an_onnx_export_shows_how_it_compares(pet: Pet, tiny_run: Path) -> None:
    result = pet("export", tiny_run, "--format", "onnx", "--out", "out", "--int8")
    assert result.exit_code == 0, result.output
    assert "compared with the student on 9 test rows, accuracy " in result.stdout
    assert "model.onnx: the same label on 100.0%" in result.stdout
    assert "model_int8.onnx: the same label on" in result.stdout
    assert result.stderr == ""  # the exporters have much to remark


def test_a_script_reads_what_was_exported(pet: Pet, tiny_run: Path) -> None:
    result = pet("export", tiny_run, "--format", "datasets", "--out", "out", "--json")
    found = json.loads(result.stdout)
    assert (found["format"], found["out"], found["rows"]) == ("datasets", "out", 37)
    assert set(found["files"]) == {
        path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--format", "tf"], "hf, onnx, linear, datasets"), (["--format", "hf", "--int8"], "--int8")],
)
def test_what_cannot_be_exported_ends_with_status_2(
    pet: Pet, tiny_run: Path, words: list[str], message: str
) -> None:
    result = pet("export", tiny_run, *words, "--out", "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("out").exists()
