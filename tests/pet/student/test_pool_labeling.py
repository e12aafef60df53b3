"""A run's own pool: cut into blocks that are labeled side by side, by student and ensemble."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pet.ensemble.logits import read_logits
from pet.finished.finished_run import open_run
from pet.inputs.pool_sample import unlabeled_rows
from pet.method.ensembling import softmax
from pet.nightly.drift_watch import read_reference
from pet.pipeline import label_pool
from pet.storage.files import read_json
from pet.student.label_choice import LabelChoice
from pet.student.pool_labeling import cut_shards
from pet.student.scored_rows import STUDENT_SCORES
from tests.support import samples
from tests.support.run_files import label_rows


@pytest.mark.parametrize(("shards", "workers"), [(1, 1), (1, 8), (3, 2), (100, 1), (100, 7)])
def test_no_shard_is_left_out_or_labeled_twice(shards: int, workers: int) -> None:
    blocks = cut_shards(shards, workers)
    assert [shard for block in blocks for shard in block] == list(range(shards))
    assert all(len(block) for block in blocks)
    assert len(blocks) == 1 or workers > 1


def test_an_empty_pool_still_has_a_folder_of_labels() -> None:
    assert cut_shards(0, 4) == [range(0, 0)]


def test_the_ensemble_labels_the_rows_that_it_scored_and_no_others(mixed_run: Path) -> None:
    rows, scored = label_rows(mixed_run / "labels"), set(unlabeled_rows(open_run(mixed_run)).ids)
    assert 0 < len(scored) < len(rows) == 37
    assert {row["id"] for row in rows if row["source"] == "ensemble"} == scored
    assert {row["source"] for row in rows} == {"ensemble", "student"}
    report = read_json(mixed_run / "report.json")["labels"]
    assert report["sources"] == {"ensemble": len(scored), "student": 37 - len(scored)}
    assert report["choice"] == {"model": "ensemble", "by": "accuracy", "on": "test"}
    stored = pq.read_metadata(mixed_run / "labels" / "part-00000.parquet").metadata
    assert stored[b"labeled_with"] == b"ensemble and student"
    assert read_json(mixed_run / "provenance.json")["labeled_by"] == "ensemble and student"


def test_the_reference_for_drift_is_the_students_own_whoever_labels_the_pool(
    mixed_run: Path,
) -> None:
    """Nights label by the student: against the ensemble's labels every night would drift."""
    logits = read_logits(mixed_run / "evaluation" / STUDENT_SCORES)[1]
    others = [row for row in label_rows(mixed_run / "labels") if row["source"] == "student"]
    counts = np.bincount(logits.argmax(axis=1), minlength=3)
    for row in others:
        counts[samples.LABELS.index(row["label"])] += 1
    found = read_reference(mixed_run, "student").predicted
    assert found.labels.tolist() == counts.tolist()
    confidence = [*softmax(logits).max(axis=1), *(row["confidence"] for row in others)]
    bins = np.histogram(confidence, len(found.confidence), (0, 1))[0]
    assert found.confidence.tolist() == bins.tolist()


def test_a_run_with_labels_of_both_is_made_again_byte_by_byte(
    config_for: Callable[..., Any], run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with a choice that has changed, the labels change and nothing else is made again."""
    choice = LabelChoice("ensemble", "accuracy", "test")
    monkeypatch.setattr("pet.pipeline.choose_labels", lambda *_: choice)
    config = config_for(out=run_copy)

    def labels() -> dict[str, bytes]:
        label_pool(config)
        return {p.name: p.read_bytes() for p in (run_copy / "labels").iterdir()}

    first = labels()
    assert labels() == first
    (run_copy / "labels" / "part-00001.parquet").unlink()
    assert labels() == first
    monkeypatch.setattr("pet.pipeline.choose_labels", lambda *_: LabelChoice())
    student = (run_copy / "student" / "done.json").stat().st_mtime_ns
    assert labels().keys() == first.keys()
    assert {row["source"] for row in label_rows(run_copy / "labels")} == {"student"}
    assert (run_copy / "student" / "done.json").stat().st_mtime_ns == student
