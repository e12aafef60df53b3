"""The whole way with the real tiny model: the README's own tickets in, a student out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tickets import MODEL, REPOSITORY, run_command

pytestmark = [
    pytest.mark.faults,  # a real model, killed as well; the wheel's test runs a tiny one
    pytest.mark.demo,
    pytest.mark.skipif(not MODEL.exists(), reason="python -m data.fetch bert-tiny"),
]

FEW = (
    "train_from=0",
    "member.steps=30",
    "student.steps=60",
    "supervised.steps=10",
    "generations=0",
    "shard_rows=20",
)
COUNTS = {"billing": 9, "delivery": 22, "technical": 29}
LOAD = """
import json, sys
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[1])
assert "pet" not in sys.modules
print(json.dumps(classify("the parcel never arrived", top_k=None)))
"""


def command(out: Path, *more: str) -> list[str]:
    run = run_command(out.parent / "tickets.toml", out, FEW, "--plain", "--json")
    return [sys.executable, "-m", "flows.cli", *run, *more]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("real") / "tickets"
    done = run(command(out))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    counts = report["labels"]["counts"]
    assert sum(counts.values()) == 60
    for label, count in COUNTS.items():
        assert abs(counts[label] - count) <= 6, counts  # other processors round otherwise
    assert report["test"]["ensemble"]["accuracy"] > 0.5  # three labels: chance is a third
    return out


def test_the_student_loads_offline_in_a_process_that_never_imports_pet(undisturbed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(undisturbed / "student")],
        cwd="/",
        text=True,
        capture_output=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    said = {row["label"]: row["score"] for row in json.loads(done.stdout.splitlines()[-1])}
    assert set(said) == {"billing", "delivery", "technical"}
    assert sum(said.values()) == pytest.approx(1, abs=1e-3)


def test_the_same_command_again_reuses_everything(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*.safetensors")}
    again = run(command(undisturbed))
    assert again.returncode == 0
    assert "members: 2 of 2 reused, up to date" in again.stderr
    assert before == {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*.safetensors")}


@pytest.mark.faults
@pytest.mark.prefect
def test_prefect_executes_the_same_run_to_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "tickets"
    arguments = [part for part in command(out) if part != "--plain"]
    done = subprocess.run(
        arguments,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for name in ("labels/part-00001.parquet", "student/model.safetensors"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), name
