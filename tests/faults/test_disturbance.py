"""The short version of `make faults`, and what the harness itself must notice."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.disturbance import Hit, Tally, compare, disturb
from tests.faults.prefects import kill_the_server
from tests.faults.runs import Run, Undisturbed, command_to_go_on, digests, undisturbed
from tests.support.tickets import MODEL


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("faults") / "undisturbed")


def rng() -> random.Random:
    """Draw other moments every time; pytest shows the seed of a test that failed."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    print(f"SEED={seed}")
    return random.Random(seed)


@pytest.mark.faults
@pytest.mark.demo
@pytest.mark.skipif(not MODEL.exists(), reason="python -m data.fetch bert-tiny")
@pytest.mark.timeout(900)
def test_a_run_killed_and_stopped_at_random_moments_ends_with_the_same_bytes(
    whole: Undisturbed, tmp_path: Path
) -> None:
    tally = Tally()
    hits = (
        Hit(signal.SIGKILL, "adaptation"),
        Hit(signal.SIGTERM, "generation 0: members"),
        Hit(signal.SIGKILL, "generation 1: scoring"),
        Hit(signal.SIGINT, "student"),
    )
    disturb(Run(tmp_path), hits, whole, rng(), tally)
    assert tally.disturbed > 0


@pytest.mark.faults
@pytest.mark.demo
@pytest.mark.prefect
@pytest.mark.skipif(not MODEL.exists(), reason="python -m data.fetch bert-tiny")
@pytest.mark.timeout(900)
def test_prefect_goes_on_after_a_kill_to_the_same_bytes(whole: Undisturbed, tmp_path: Path) -> None:
    tally = Tally()
    hits = (Hit(signal.SIGKILL, "calibration"), Hit(signal.SIGTERM, "generation 1: members"))
    disturb(Run(tmp_path, plain=False), hits, whole, rng(), tally)
    assert tally.disturbed > 0


@pytest.mark.faults
@pytest.mark.demo
@pytest.mark.prefect
@pytest.mark.skipif(not MODEL.exists(), reason="python -m data.fetch bert-tiny")
@pytest.mark.timeout(900)
def test_a_run_outlives_its_prefect_server(whole: Undisturbed, tmp_path: Path) -> None:
    kill_the_server(tmp_path, whole)


@pytest.mark.parametrize("change", ["other", "missing", "more"])
def test_one_other_byte_is_noticed(tmp_path: Path, change: str) -> None:
    """A comparison that finds nothing would make every run look whole."""
    run = Run(tmp_path)
    for name in (
        "labels/part-0.parquet",
        "soft_labels/part-0.parquet",
        "student/model.safetensors",
        "student/tokenizer.json",
    ):
        (run.out / name).parent.mkdir(parents=True, exist_ok=True)
        (run.out / name).write_bytes(b"bytes")
    (run.out / "manifest.json").write_text("{}")
    expected = Undisturbed(digests(run.out), {})
    compare(run, expected)
    path = run.out / "student/tokenizer.json"
    if change == "missing":
        path.unlink()
    else:
        (path.with_name("new") if change == "more" else path).write_bytes(b"bytez")
    with pytest.raises(AssertionError, match=r"not as in the undisturbed run: student/(tok|new)"):
        compare(run, expected)
    with pytest.raises(AssertionError):
        compare(run, replace(expected, digests={}))


def test_a_stop_without_a_word_on_how_to_go_on_is_noticed() -> None:
    said = "stopped: x\nwhat is done is kept; to go on:\n  pet run 'a task' --out b\n"
    assert command_to_go_on(said) == ["run", "a task", "--out", "b"]
    with pytest.raises(AssertionError, match="no word on how to go on"):
        command_to_go_on("stopped\n")
