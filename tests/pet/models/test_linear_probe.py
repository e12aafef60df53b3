"""A student's new head is fitted on frozen features before all weights learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pet.config import ModelRef
from pet.method.ensembling import softmax
from pet.models.linear_probe import fit_head_first
from pet.models.model import Classifier
from pet.models.scoring import score, tokenize_columns
from pet.tasks.compilation import plain_encoder

CPU = torch.device("cpu")
TEXTS = ["a match was played", "a ship went up", "the team won a match", "up went the ship"] * 10
SOFT = np.array([[0.8, 0.2], [0.2, 0.8], [0.8, 0.2], [0.2, 0.8]] * 10, np.float32)


def probed(folder: Any, temperature: float = 2.0) -> tuple[bool, Classifier, np.ndarray]:
    """Fit the head of a fresh classifier to the soft labels; return its scores, too."""
    model = Classifier.fresh(ModelRef(str(folder)), ("a", "b"), CPU, 0)
    encoder = plain_encoder(model.tokenizer, ("text",), 32)
    texts = tokenize_columns(encoder, model.tokenizer, {"text": TEXTS})
    rows, rng = np.arange(len(TEXTS)), np.random.default_rng(0)
    before = {name: value.clone() for name, value in model.module.base_model.state_dict().items()}
    done = fit_head_first(model, encoder, texts, rows, SOFT, temperature, rng)
    after = model.module.base_model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "features are frozen"
    return done, model, score(model, encoder, texts, tokens_per_batch=256)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_head_that_starts_at_random_would_waste_the_first_steps(
    model_folder: Any, kind: str
) -> None:
    done, _, logits = probed(model_folder(kind))
    assert done
    np.testing.assert_array_equal(logits.argmax(axis=1), SOFT.argmax(axis=1))


def test_scores_are_of_the_temperature_that_the_loss_divides_by(model_folder: Any) -> None:
    """Or training would begin by growing or shrinking them."""
    predicted = [softmax(probed(model_folder("bert"), t)[2], t) for t in (1.0, 4.0)]
    np.testing.assert_allclose(predicted[0], predicted[1], atol=1e-5)


def test_a_head_that_reads_every_token_stays_as_it_is(model_folder: Any) -> None:
    done, _, _ = probed(model_folder("llama"))
    assert not done
