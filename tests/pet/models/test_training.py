"""The training loop: it learns, repeats itself, survives full memory, and says when it diverges."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pet.config import RunConfig, TrainingConfig
from pet.errors import Interrupted, PetError
from pet.models import training
from pet.models.batching import (
    cheapest_passes,
    halved,
    is_out_of_memory,
    shuffled_batches,
    split_by_tokens,
)
from pet.models.cloze_model import ClozeModel
from pet.models.loading import seeded
from pet.models.training import Diverged, train, training_shape
from tests.conftest import ModelFolder
from tests.support.cloze import encoder_for, load_cloze, tokenized
from tests.support.settings import config

TEXTS = (
    "the team won the game",
    "a rocket to the moon",
    "stock price of the bank",
    "goal",
    "orbit of the star and the planet",
    "money in the market today",
)
TRUTH = torch.tensor([0, 1, 2, 0, 1, 2])
SMOOTH = {"learning_rate": 0.5, "warmup": 0.0}


@pytest.fixture
def smooth(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epsilon of 1 makes AdamW's first step all but proportional to the gradient, so that steps
    can be compared like gradients."""
    monkeypatch.setattr(training, "ADAM_EPSILON", 1.0)
    monkeypatch.setattr(training, "MAX_GRAD_NORM", 1e9)


def cross_entropy(scores: Tensor, rows: NDArray[np.int64]) -> Tensor:
    return functional.cross_entropy(scores, TRUTH[torch.from_numpy(rows)], reduction="sum")


@pytest.fixture
def model(model_folder: ModelFolder) -> ClozeModel:
    return load_cloze(model_folder("bert"))


def fit(
    model: ClozeModel,
    *,
    seed: int = 0,
    tokens: int = 4096,
    loss: Any = cross_entropy,
    warmup: float = 0.1,
    **settings: Any,
) -> list[float]:
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    config = TrainingConfig(**{"steps": 1, "batch_size": 6, "dropout": 0.0, **settings})
    rows = np.arange(len(TEXTS))
    return train(
        model,
        encoder,
        texts,
        rows,
        loss,
        config,
        warmup=warmup,
        seed=seed,
        tokens_per_batch=tokens,
    )


def weights(model: ClozeModel) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.module.parameters()])


def test_the_loss_goes_down(model: ClozeModel) -> None:
    losses = fit(model, steps=30, batch_size=3, learning_rate=3e-3)
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:2])


def test_no_steps_change_nothing(model: ClozeModel) -> None:
    before = weights(model)
    assert fit(model, steps=0) == []
    assert torch.equal(weights(model), before)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    model_folder: ModelFolder,
) -> None:
    def after(seed: int, host_seed: int) -> Tensor:
        torch.manual_seed(host_seed)
        model = load_cloze(model_folder("bert"))
        fit(model, seed=seed, steps=3, batch_size=2, dropout=0.2)
        return weights(model)

    assert torch.equal(after(1, 5), after(1, 6))
    assert not torch.equal(after(1, 5), after(2, 5))


def test_the_callers_generators_are_left_alone(model: ClozeModel) -> None:
    states = torch.random.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    fit(model, steps=2, dropout=0.3)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]
    assert random.getstate() == states[2]


def test_the_callers_generators_come_back_after_a_failure() -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(TypeError, match="rand"), seeded(3):
        torch.rand(torch.rand(3).tolist())
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("smooth")
def test_a_step_in_several_passes_is_the_step_of_the_whole_batch(
    model_folder: ModelFolder,
) -> None:
    found = []
    for tokens in (4096, 64, 24, 1):
        model = load_cloze(model_folder("bert"))
        losses = fit(model, tokens=tokens, **SMOOTH)
        found.append((weights(model), losses))
    for others in found[1:]:
        torch.testing.assert_close(others[0], found[0][0], atol=1e-5, rtol=1e-4)
        assert others[1] == pytest.approx(found[0][1], rel=1e-4)
    assert not torch.allclose(found[0][0], weights(load_cloze(model_folder("bert"))), atol=1e-3)


class Failing:
    """Lets a model run out of memory at some of its calls, and notes the size of each."""

    def __init__(self, model: ClozeModel, fail_at: Callable[[int], bool], error: Exception):
        self.inner, self.fail_at, self.error = model.outputs, fail_at, error
        self.sizes: list[int] = []
        model.outputs = self  # type: ignore[method-assign,assignment]

    def __call__(self, encoder: Any, texts: Any, rows: Any) -> Tensor:
        self.sizes.append(len(rows))
        if self.fail_at(len(self.sizes)):
            raise self.error
        return self.inner(encoder, texts, rows)


@pytest.mark.usefixtures("smooth")
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        MemoryError(),
    ],
)
def test_full_memory_in_the_middle_of_a_step_halves_the_passes_and_changes_nothing(
    model_folder: ModelFolder, error: Exception
) -> None:
    """The second pass fails: what the first added to the gradients must not count twice."""
    expected = load_cloze(model_folder("bert"))
    fit(expected, tokens=40, **SMOOTH)
    model = load_cloze(model_folder("bert"))
    calls = Failing(model, lambda call: call == 2, error)
    losses = fit(model, tokens=40, **SMOOTH)
    torch.testing.assert_close(weights(model), weights(expected), atol=1e-5, rtol=1e-4)
    assert len(losses) == 1
    assert sum(calls.sizes[2:]) == len(TEXTS), "the whole step was not taken again"
    assert max(calls.sizes[2:]) < max(calls.sizes[:2])


def test_halved_passes_stay_halved_for_the_steps_that_follow(model: ClozeModel) -> None:
    calls = Failing(model, lambda call: call == 1, torch.OutOfMemoryError("full"))
    fit(model, tokens=84, steps=3)
    assert calls.sizes[0] > max(calls.sizes[1:])


def test_a_single_row_that_does_not_fit_is_an_error_that_says_what_to_do(
    model: ClozeModel,
) -> None:
    Failing(model, lambda call: True, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(PetError, match="memory for one row of") as caught:
        fit(model, tokens=4096)
    assert "lower max_length" in str(caught.value)


def test_another_runtime_error_is_not_taken_for_full_memory(model: ClozeModel) -> None:
    Failing(model, lambda call: True, RuntimeError("size mismatch"))
    with pytest.raises(RuntimeError, match="size mismatch"):
        fit(model)
    assert not is_out_of_memory(RuntimeError("size mismatch"))
    with pytest.raises(RuntimeError, match="size mismatch"):
        halved(RuntimeError("size mismatch"), 64, 8)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_the_learning_rate(model: ClozeModel, bad: float) -> None:
    def loss(scores: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return scores.sum() * bad

    before = weights(model)
    with pytest.raises(Diverged, match="in step 1") as caught:
        fit(model, loss=loss, steps=3, learning_rate=0.125)
    assert "lower the learning rate (it is 0.125)" in str(caught.value)
    assert torch.equal(weights(model), before), "the weights took the broken step"


def test_a_gradient_that_is_no_number_does_not_reach_the_weights(model: ClozeModel) -> None:
    """The loss itself may be finite; one such step makes every weight NaN, and every label."""

    def loss(scores: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return (scores - scores.detach()).sum().sqrt()  # 0, with an infinite slope

    before = weights(model)
    with pytest.raises(Diverged, match="a gradient of nan in step 1") as caught:
        fit(model, loss=loss, steps=3)
    assert caught.value.losses == []
    assert torch.equal(weights(model), before)


def test_no_room_for_the_optimizer_is_an_error_that_says_so(
    model: ClozeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(PetError, match="memory for AdamW's two moments"):
        fit(model, steps=1)


def test_an_interruption_between_steps_comes_through(model: ClozeModel) -> None:
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    steps = itertools.count(1)

    def tick(_amount: int) -> None:
        if next(steps) == 2:
            raise Interrupted("stop")

    with pytest.raises(Interrupted, match="stop"):
        train(
            model,
            encoder,
            texts,
            np.arange(6),
            cross_entropy,
            TrainingConfig(steps=5),
            warmup=0.1,
            seed=0,
            tokens_per_batch=99,
            tick=tick,
        )


def test_only_the_given_rows_are_trained_on(model: ClozeModel) -> None:
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    seen: set[int] = set()

    def loss(scores: Tensor, rows: NDArray[np.int64]) -> Tensor:
        seen.update(rows.tolist())
        return cross_entropy(scores, rows)

    train(
        model,
        encoder,
        texts,
        np.array([1, 4, 5]),
        loss,
        TrainingConfig(steps=4, batch_size=2),
        warmup=0.1,
        seed=0,
        tokens_per_batch=999,
    )
    assert seen == {1, 4, 5}


def test_no_rows_to_train_on_is_an_error_that_says_so(model: ClozeModel) -> None:
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    with pytest.raises(PetError, match="row"):
        train(
            model,
            encoder,
            texts,
            np.arange(0),
            cross_entropy,
            TrainingConfig(steps=1),
            warmup=0.1,
            seed=0,
            tokens_per_batch=999,
        )


@pytest.mark.parametrize(("rows", "size"), [(10, 3), (10, 10), (3, 16), (1, 1), (700, 4)])
def test_every_row_comes_once_per_epoch(rows: int, size: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 50, rows)
    batches = shuffled_batches(lengths, size, np.random.default_rng(1))
    per_epoch = -(-rows // min(size, rows))
    for _ in range(3):
        epoch = np.concatenate(list(itertools.islice(batches, per_epoch)))
        assert sorted(epoch.tolist()) == list(range(rows))


def test_batches_hold_rows_of_like_length_in_another_order_each_epoch() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 400)
    batches = list(itertools.islice(shuffled_batches(lengths, 8, np.random.default_rng(1)), 100))
    assert {len(batch) for batch in batches} == {8}
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 0.25 * np.ptp(lengths)
    order = [int(lengths[batch].mean()) for batch in batches[:50]]
    assert order != sorted(order)
    assert [batch.tolist() for batch in batches[:50]] != [b.tolist() for b in batches[50:]]


def test_a_small_labeled_set_is_not_cut_into_the_same_batches_every_epoch() -> None:
    """Where length goes with the label, batches of like length would each hold one label."""
    lengths = np.arange(1, 51)
    batches = shuffled_batches(lengths, 10, np.random.default_rng(1))
    epochs = [{tuple(sorted(next(batches).tolist())) for _ in range(5)} for _ in range(2)]
    assert not epochs[0] & epochs[1]


def test_passes_hold_at_most_so_many_tokens_with_padding() -> None:
    rng = np.random.default_rng(0)
    rows, lengths = rng.permutation(1000)[:90], rng.integers(1, 60, 90)
    length_of = dict(zip(rows.tolist(), lengths.tolist(), strict=True))
    passes = split_by_tokens(rows, lengths, 128)
    assert sorted(np.concatenate(passes).tolist()) == sorted(rows.tolist())
    for part in passes:
        assert len(part) * max(length_of[int(row)] for row in part) <= 128
    assert length_of[int(passes[0][0])] == lengths.max(), "the largest pass does not come first"


def test_rows_of_unlike_length_do_not_pad_each_other() -> None:
    """One long row among seven short ones made a step three times as long."""
    lengths = np.array([30, 250, 31, 30, 29, 30, 31, 30])
    rows = np.arange(8)
    passes = split_by_tokens(rows, lengths, 4096, 64)
    assert [part.tolist() for part in passes] == [[1], [2, 6, 0, 3, 5, 7, 4]]
    assert len(split_by_tokens(rows, lengths, 4096)) == 1
    assert [len(part) for part in split_by_tokens(rows, lengths, 4096, 0)] == [1, 2, 4, 1]


@pytest.mark.parametrize("seed", range(20))
def test_no_other_way_to_cut_a_step_costs_less(seed: int) -> None:
    """Cut greedily, one row of 95 tokens among seven of 12 took three of the seven along."""
    rng = np.random.default_rng(seed)
    rows, lengths = np.arange(7), rng.integers(1, 100, 7)
    most, of_pass = int(rng.integers(60, 400)), int(rng.integers(0, 120))

    def cost(parts: list[NDArray[np.int64]]) -> float:
        return sum(len(part) * lengths[part].max() + of_pass for part in parts)

    order, ways = np.argsort(-lengths, kind="stable"), []
    for cuts in itertools.product((False, True), repeat=6):
        parts = np.split(order, 1 + np.flatnonzero(cuts))
        if all(len(part) == 1 or len(part) * lengths[part].max() <= most for part in parts):
            ways.append(cost(parts))
    found = cheapest_passes(rows, lengths, most, of_pass)
    assert sorted(np.concatenate(found).tolist()) == rows.tolist()
    assert cost(found) == min(ways)


def test_a_row_longer_than_the_batch_goes_alone() -> None:
    passes = split_by_tokens(np.array([7, 8]), np.array([300, 2]), 64)
    assert [part.tolist() for part in passes] == [[7], [8]]
    passes = cheapest_passes(np.array([7, 8]), np.array([300, 2]), 64, 1000)
    assert [part.tolist() for part in passes] == [[7], [8]]


def test_a_training_is_shaped_by_the_settings_of_its_own_tuning_only() -> None:
    """Another rank must not train members of full tuning again, nor prompts."""
    full, other = config(), config("lora.rank=4")
    assert training_shape(full, full.member) == training_shape(other, other.member)
    assert "tuning" not in training_shape(full, full.member)
    lora, wider = (config("member.tuning=lora", f"lora.rank={rank}") for rank in (4, 8))
    assert training_shape(lora, lora.member) != training_shape(wider, wider.member)
    longer = config("member.tuning=lora", "lora.rank=4", "prefix.length=9")
    assert training_shape(longer, longer.member) == training_shape(lora, lora.member)


@pytest.mark.parametrize("tuning", ["full", "lora", "prefix", "soft-prompt"])
def test_a_setting_that_is_gone_leaves_what_shapes_a_model_as_it_was(tuning: str) -> None:
    """Or an old run would be trained again for the same weights."""
    made = config(f"member.tuning={tuning}")
    before = RunConfig.former.put_back(made.model_dump())
    expected = dict(before["member"])
    if tuning == "full":
        del expected["tuning"]
    else:
        expected["tuned"] = dict(before[tuning.replace("-", "_")])
        if tuning != "lora":
            expected["tuned"]["first tokens"] = "a vector a label, common words"
    assert training_shape(made, made.member) == expected
