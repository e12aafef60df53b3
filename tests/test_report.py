"""The report: stable names, and figures that can be worked out from the files."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.logits import read_logits
from pet.runs import read_json
from tests import samples


@pytest.fixture
def report(tiny_run: Path) -> dict[str, Any]:
    return dict(read_json(tiny_run / "report.json"))


TRUTH = np.repeat(np.arange(3), 3)


def accuracy(path: Path) -> float:
    return float((read_logits(path)[1].argmax(1) == TRUTH).mean())


def test_the_stable_names_are_there(report: dict[str, Any]) -> None:
    test = report["test"]
    measured = [test["student"], test["ensemble"], test["supervised"]]
    for name in samples.PATTERNS:
        measured += [test["patterns"][name]["zero_shot"], test["patterns"][name]["trained"]]
    for figures in measured:
        assert 0 <= figures["accuracy"] <= 1
        assert 0 <= figures["macro_f1"] <= 1
        assert figures["rows"] == 9
    assert list(report["labels"]["counts"]) == list(samples.LABELS)
    assert sum(report["labels"]["counts"].values()) == report["labels"]["rows"] == 37
    assert (report["pool"]["rows"], report["pool"]["rejected"]) == (40, 3)
    assert report["seconds"]["student"] >= 0
    assert report["task"] == "tiny_news"


def test_the_figures_are_those_of_the_files(report: dict[str, Any], tiny_run: Path) -> None:
    test = report["test"]
    for name in ("student", "supervised"):
        path = tiny_run / "evaluation" / f"{name}-test.parquet"
        assert test[name]["accuracy"] == pytest.approx(accuracy(path), abs=1e-4)
    for name in samples.PATTERNS:
        members = tiny_run / "members"
        before = accuracy(members / f"untrained-{name}" / "logits" / "test.parquet")
        after = accuracy(members / f"g0-{name}-r0" / "logits" / "test.parquet")
        assert test["patterns"][name]["zero_shot"]["accuracy"] == pytest.approx(before, abs=1e-4)
        assert test["patterns"][name]["trained"]["accuracy"] == pytest.approx(after, abs=1e-4)


def test_the_ensembles_figures_are_of_the_weighted_members(
    report: dict[str, Any], tiny_run: Path
) -> None:
    stack = [
        weight * read_logits(tiny_run / "members" / name / "logits" / "test.parquet")[1]
        for name, weight in report["weights"].items()
    ]
    right = float((sum(stack).argmax(1) == TRUTH).mean())  # type: ignore[attr-defined]
    assert report["test"]["ensemble"]["accuracy"] == pytest.approx(right, abs=1e-4)


def test_the_manifest_names_versions_inputs_and_no_host(tiny_run: Path) -> None:
    manifest = read_json(tiny_run / "manifest.json")
    assert {"pet", "python", "torch", "transformers"} <= set(manifest["made_with"])
    assert {"task", "model", "labeled", "pool"} <= set(manifest["inputs"])
    assert socket.gethostname() not in json.dumps(manifest["machine"])
    for stage in manifest["stages"].values():
        assert set(stage) == {"seconds", "made", "reused"}
