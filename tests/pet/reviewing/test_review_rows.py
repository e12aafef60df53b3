"""Rows of a finished run for people: from the pool, not known already, in a file of their own."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pet.ensemble import member_models
from pet.errors import InputError
from pet.finished.finished_run import FinishedRun, open_run
from pet.method.row_selection import text_vectors
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.reviewing import review_rows
from pet.reviewing import review_rows as module
from pet.reviewing.review_rows import row_vectors, write_review
from pet.storage.units import LABELS_DONE
from tests.conftest import ModelFolder
from tests.support import samples


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


def test_rows_that_were_killed_between_their_two_files_are_written_by_the_same_command(
    tiny_run: Path, tmp_path: Path
) -> None:
    """The first of them stood in the way, and the labeling configuration was never written."""
    files = write_review(tiny_run, tmp_path / "s.json", 3, SILENT)[0]
    whole = {path: path.read_bytes() for path in files}
    assert [path.suffix for path in files] == [".json", ".xml"]
    files[0].unlink()  # written last
    assert write_review(tiny_run, tmp_path / "s.json", 3, SILENT)[0] == files
    assert {path: path.read_bytes() for path in files} == whole


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


TEXTS = {"text": samples.pool_texts()[:4]}


@pytest.fixture
def run(config_for: Callable[..., Any], model_folder: ModelFolder, tmp_path: Path) -> FinishedRun:
    """A run with a sentence encoder that had 5 unlabeled rows to learn from."""
    encoder = shutil.copytree(model_folder("bert"), tmp_path / "encoder")
    label_pool(
        config_for(encoder=str(encoder), member={"steps": 0}, generations=0, unlabeled_rows=5)
    )
    return open_run(tmp_path / "news")


def ids_of(run: FinishedRun) -> list[str]:
    found, _ = module.read_logits(run.folder / "embeddings" / "part-00000.parquet")
    return list(found)


def test_rows_that_the_encoder_has_read_are_not_read_again(
    run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, (_, vectors) = (
        ids_of(run),
        module.read_logits(run.folder / "embeddings/part-00000.parquet"),
    )
    monkeypatch.setattr(member_models, "load_sentence_encoder", None)
    found = row_vectors(run, ids[::-1], {"text": [""] * len(ids)}, 1, SILENT)
    np.testing.assert_array_equal(found, vectors[::-1])


def test_rows_that_it_has_not_read_are_embedded_as_it_would_have(run: FinishedRun) -> None:
    """Read in part from the run, in part anew: vectors of two kinds would be two groups."""
    ids = ids_of(run)
    rows = [int(id.split(":")[1]) for id in ids]
    texts = {"text": [samples.pool_texts()[row] for row in rows]}
    new = [f"new {id}" for id in ids]
    known, fresh = (row_vectors(run, own, texts, 1, SILENT) for own in (ids, new))
    np.testing.assert_allclose(known, fresh, atol=1e-5)
    mixed = row_vectors(run, [new[0], *ids[1:]], texts, 1, SILENT)
    np.testing.assert_allclose(mixed, known, atol=1e-5)


def test_an_encoder_that_is_gone_does_not_stop_a_review(run: FinishedRun, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "encoder")
    found = row_vectors(run, list("abcd"), TEXTS, 1, SILENT)
    np.testing.assert_array_equal(found, text_vectors(TEXTS["text"], 1))
    _, chosen = write_review(run.folder, tmp_path / "r.csv", 6, SILENT)
    assert len(chosen) == 6


def test_a_run_without_an_encoder_goes_by_words(tiny_run: Path) -> None:
    finished = open_run(tiny_run)
    assert json.loads((tiny_run / "config.json").read_text())["encoder"] is None
    found = row_vectors(finished, list("abcd"), TEXTS, 1, SILENT)
    np.testing.assert_array_equal(found, text_vectors(TEXTS["text"], 1))
