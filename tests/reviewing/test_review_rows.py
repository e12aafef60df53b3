"""Rows of a finished run for people: from the pool, not known already, in a file of their own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pet.errors import InputError
from pet.progress import SILENT
from pet.reviewing import review_rows
from pet.reviewing.review_rows import write_review
from pet.storage.units import LABELS_DONE
from tests import samples


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_rows_are_the_pools_own_and_nobody_has_labeled_them(tiny_run: Path, tmp_path: Path) -> None:
    files, chosen = write_review(tiny_run, tmp_path / "r.csv", 9, SILENT)
    assert files == [tmp_path / "r.csv"]
    rows = rows_in(files[0])
    assert len(rows) == len(chosen) == 9
    texts = samples.pool_texts()
    known = {text for text, _ in [*samples.labeled_rows(), *samples.test_rows()]}
    labels = {row["id"]: row for row in pq.read_table(tiny_run / "labels").to_pylist()}
    for row in rows:
        assert row["text"] == texts[int(row["id"].split(":")[1])]
        assert row["text"] not in known
        assert row["label"] == labels[row["id"]]["label"]
        assert row["why"]
    assert len({row["text"] for row in rows}) == 9


def test_the_same_run_gives_the_same_rows(tiny_run: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write_review(tiny_run, tmp_path / name, 9, SILENT)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_sample_of_the_labels_is_enough(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_rows, "PER_LABEL", 4)
    monkeypatch.setattr(review_rows, "BATCH", 3)
    assert len(write_review(tiny_run, tmp_path / "r.csv", 3, SILENT)[1]) == 3


def test_a_file_in_which_answers_may_stand_is_not_written_over(
    tiny_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "r.csv").write_text("answers")
    (tmp_path / "s.xml").write_text("mine")
    for name in ("r.csv", "s.json"):
        with pytest.raises(InputError, match="a name that is free"):
            write_review(tiny_run, tmp_path / name, 3, SILENT)
    assert (tmp_path / "r.csv").read_text() == "answers"


def test_labels_that_are_not_whole_are_not_chosen_from(run_copy: Path, tmp_path: Path) -> None:
    (run_copy / "labels" / LABELS_DONE).unlink()
    with pytest.raises(InputError, match="the labels of the whole pool"):
        write_review(run_copy, tmp_path / "r.csv", 3, SILENT)


def test_texts_of_another_pool_are_not_shown_as_the_runs(
    run_copy: Path, inputs_folder: Path, tmp_path: Path
) -> None:
    """Rows are known by file and number: a person would correct labels of other texts."""
    texts = [text and f"{text}!" for text in samples.pool_texts()]  # the same ids
    other = samples.write_pool(tmp_path / "pool.parquet", texts)
    config = json.loads((run_copy / "config.json").read_text())
    (run_copy / "config.json").write_text(json.dumps({**config, "pool": str(other)}))
    with pytest.raises(InputError, match="the pool that the run labeled"):
        write_review(run_copy, tmp_path / "r.csv", 3, SILENT)
    assert not (tmp_path / "r.csv").exists()


def test_no_rows_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1"):
        write_review(tiny_run, tmp_path / "r.csv", 0, SILENT)
    assert not (tmp_path / "r.csv").exists()
