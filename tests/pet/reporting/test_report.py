"""The report: stable names, and figures that can be worked out from the files."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.ensemble.logits import read_logits
from pet.pipeline import label_pool
from pet.storage.files import read_json
from tests.support import samples


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


def test_what_is_odd_about_the_test_set_is_reported_too(
    config_for: Callable[..., Any], tmp_path: Path
) -> None:
    """It was shown once, while the run began, and then never again."""
    rows = samples.test_rows()[:6]  # none of the third label
    test = samples.write_csv(tmp_path / "test.csv", rows, ("text", "label"))
    report = label_pool(config_for(test=str(test)))
    assert report["warnings"] == []
    assert ["no example of the label" in line for line in report["test_warnings"]] == [True]


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


def test_what_the_page_shows_can_be_read_by_a_script_too(
    report: dict[str, Any], tiny_run: Path
) -> None:
    student = report["test"]["student"]
    assert np.sum(student["confusion"]) == sum(part["rows"] for part in student["reliability"]) == 9
    assert np.trace(student["confusion"]) / 9 == pytest.approx(student["accuracy"], abs=1e-4)
    for pair in report["test"]["pairs"]:
        one, other = (report["test"][pair[name]]["accuracy"] for name in ("one", "other"))
        assert (pair["only_one_right"] - pair["only_other_right"]) / 9 == pytest.approx(
            one - other, abs=2e-4
        )
    assert report["sets"]["labeled"] == {"rows": 12, "counts": dict.fromkeys(samples.LABELS, 4)}
    assert report["sets"]["test"]["rows"] == 9
    assert report["leaked"] == 0
    assert report["rejected"]["pool"]["reasons"] == {"empty text": 2, "no text": 1}
    assert sum(report["labels"]["confidence_counts"]) == report["labels"]["rows"]
    assert sum(report["labels"]["abstained_of"].values()) == report["labels"]["abstained"]
    assert report["templates"] == samples.PATTERNS


def test_a_members_agreement_is_with_the_ensemble_on_the_pool(
    report: dict[str, Any], tiny_run: Path
) -> None:
    def logits_of(name: str) -> Any:
        files = sorted((tiny_run / "members" / name / "logits").glob("part-*"))
        return np.concatenate([read_logits(path)[1] for path in files])

    together = sum(weight * logits_of(name) for name, weight in report["weights"].items())
    for name, member in report["members"].items():
        expected = (logits_of(name).argmax(1) == together.argmax(1)).mean()
        assert member["agreement"] == pytest.approx(expected, abs=1e-4)
        assert member["trained"]
    assert list(report["members"]) == list(report["weights"])
