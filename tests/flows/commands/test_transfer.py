"""`pet transfer`: what it shows and writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.flows.conftest import Pet


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
    ("words", "message"),
    [
        (["."], "two or more runs, each once"),
        ([".", "nowhere"], "a run folder with config.json"),
        ([".", "nowhere", "--out", ""], "an empty text"),
    ],
)
def test_what_is_no_run_is_one_screen(pet: Pet, words: list[str], message: str) -> None:
    refused = pet("transfer", *words)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.output
