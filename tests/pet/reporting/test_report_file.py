"""report.json read back: a file that is damaged, or of another version, is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.reporting.report_file import read_report
from tests.support import reports


def test_what_a_run_writes_can_be_read(tiny_run: Path) -> None:
    report, manifest = read_report(tiny_run)
    assert report.label_names == ["sport", "space", "business"]
    assert report.test is not None
    assert report.test.student.rows == 9
    assert "torch" in manifest.made_with


def drop(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda found: {key: value for key, value in found.items() if key != name}


def narrow(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "test": reports.measured(3)}


DAMAGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "examples: Field required": drop("examples"),
    "figures of a set that was not counted": drop("test"),
    "a confusion matrix of different labels": narrow,
    "labels: Input should be": lambda found: {**found, "labels": 3},
    "leaked: Input should be a finite": lambda found: {**found, "leaked": float("nan")},
    "figures of different labels": lambda found: {
        **found,
        "sets": {"labeled": {"rows": 1, "counts": {"other": 1}}},
    },
    "weights of different members": lambda found: {**found, "weights": {"g0-x-r0": 1.0}},
    "Input should be an object": lambda _: [],
    "; and ": lambda _: {"task": "news", "run": "older"},
}


@pytest.mark.parametrize("found", list(DAMAGED))
def test_a_damaged_or_older_report_is_an_error_with_a_fix(tmp_path: Path, found: str) -> None:
    run = reports.write_run(tmp_path / "run")
    (run / "report.json").write_text(json.dumps(DAMAGED[found](reports.figures())))
    with pytest.raises(InputError) as caught:
        read_report(run)
    assert found in str(caught.value)
    assert "it measures anew" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'"\\ud83d"'])
@pytest.mark.parametrize("name", ["report.json", "manifest.json"])
def test_a_file_that_is_no_json_is_an_error(tmp_path: Path, content: bytes, name: str) -> None:
    run = reports.write_run(tmp_path / "run")
    (run / name).write_bytes(content)
    with pytest.raises(InputError, match="Invalid JSON"):
        read_report(run)


def test_a_run_that_has_not_ended_is_another_error_than_no_run(tmp_path: Path) -> None:
    run = reports.write_run(tmp_path / "run")
    (run / "report.json").unlink()
    with pytest.raises(InputError, match="a run that has not ended"):
        read_report(run)
    with pytest.raises(InputError, match="no run"):
        read_report(tmp_path)
