"""The benchmark for a GPU: its path on the processor, since no test has a GPU."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from data.cache import cache_root
from tests.bench import engine, gpu, job, jobs

HAS_DEMO = (Path(cache_root()) / "newsgroups").exists() and (
    Path(cache_root()) / "models" / "bert-tiny"
).exists()


def test_without_a_gpu_it_says_so_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.main([])
    (line,) = capsys.readouterr().out.splitlines()
    assert "--cpu" in line


def test_every_figure_stands_in_the_tables_and_what_has_no_time_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = engine.Rates("scoring", "tiny", "films", 9, 1.0, 2.0, 3e9, 0.5, 7.0, 0.1)
    monkeypatch.setattr(engine, "measure", lambda *_: [rates])
    took = {**asdict(jobs.Took(11.0, 22.0, 2**30)), "student": 0.875, "pool labels": 0.75}
    monkeypatch.setattr(job, "measure", lambda cell, more: took)
    gpu.main(["--cpu"])
    shown = capsys.readouterr().out
    assert "| scoring | tiny | films | 9 | 1.0 | 2 | 3 | 50% | 7.0 x | 10.0% |" in shown
    assert "| demo: newsgroups, 50 labels | pet (1) | 11 | 22 | 1.0 | 0.875 |" in shown
    monkeypatch.setattr(gpu, "LATEST", -1.0)
    gpu.main(["--cpu"])
    assert "no time was left for: tiny on films, demo: newsgroups" in capsys.readouterr().out


@pytest.mark.thorough
@pytest.mark.demo
@pytest.mark.skipif(not HAS_DEMO, reason="python -m data.fetch newsgroups movies bert-tiny")
def test_its_path_runs_to_the_end_on_the_processor(capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--cpu"])
    shown: Any = capsys.readouterr().out
    assert "| training | tiny | films |" in shown
    assert "| demo: newsgroups, 50 labels | pet (1) |" in shown
