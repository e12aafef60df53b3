from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.finished.finished_run import FinishedRun, open_run
from pet.method.row_selection import text_vectors
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.reviewing import review_rows as module
from pet.reviewing.review_rows import row_vectors, write_review
from tests import samples
from tests.conftest import ModelFolder

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
    ids, (_, said) = ids_of(run), module.read_logits(run.folder / "embeddings/part-00000.parquet")
    monkeypatch.setattr(module, "load_sentence_encoder", None)
    found = row_vectors(run, ids[::-1], {"text": [""] * len(ids)}, 1, SILENT)
    np.testing.assert_array_equal(found, said[::-1])


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
