"""Which labeled rows are scored, and which are cut."""

from __future__ import annotations

import numpy as np

from pet.checking.preview import LABELED_ROWS, rows_to_score, shares_cut
from pet.tasks.compilation import plain_encoder
from tests.support import tiny_models


def test_the_same_rows_are_scored_whatever_the_order_of_labels() -> None:
    """Figures of two task files could not be compared: 48, 46 and 16 of 48 rows were scored."""
    labels = np.random.default_rng(1).choice(3, 5000, p=[0.7, 0.28, 0.02])
    rows = rows_to_score(labels)
    assert len(rows) == len(set(rows.tolist())) == LABELED_ROWS
    shares = np.bincount(labels) / len(labels)
    assert np.allclose(np.bincount(labels[rows]) / len(rows), shares, atol=2e-3)
    renamed = np.array([2, 0, 1])[labels]
    assert np.array_equal(rows_to_score(renamed), rows)


def test_of_few_labeled_rows_all_are_scored() -> None:
    assert rows_to_score(np.zeros(48, np.int64)).tolist() == list(range(48))
    assert rows_to_score(np.zeros(0, np.int64)).tolist() == []


def test_rows_that_are_longer_than_a_model_reads_are_counted() -> None:
    """A causal classifier has no token of its own: a text may fill its length, and no more."""
    tokenizer = tiny_models.causal_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    encoder = plain_encoder(tokenizer, ("text",), 8)
    texts = [" ".join(["x", *["game"] * (length - 1)]) for length in (1, 8, 9, 30)]
    assert shares_cut([encoder], tokenizer, {"pool": {"text": texts}}) == {"pool": 0.5}
