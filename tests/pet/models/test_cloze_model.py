"""Language models: label scores against full logits by hand, words of several tokens included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pet.config import ModelRef
from pet.models.cloze_model import ClozeModel
from pet.models.fast_paths import head_for
from pet.models.masked_model import mask_tokens
from pet.models.teachers import load_teacher
from pet.tasks.encoding import Batch, Encoder
from tests.conftest import ModelFolder
from tests.support import tiny_models
from tests.support.cloze import CPU, TEXTS, ask, encoder_for, load_cloze, tokenized

MASKED, CAUSAL = ("bert", "roberta", "xlm_roberta"), ("llama", "gpt2", "opt")
ROWS = np.arange(len(TEXTS))


def template_for(kind: str) -> str:
    return "{text} the topic is {mask}" if kind in CAUSAL else "category: {mask}. {text}"


def full_logits(
    model: ClozeModel, ids: Sequence[int], types: Sequence[int] | None = None
) -> Tensor:
    """What plain transformers says of one unpadded row. [tokens, vocabulary]"""
    inputs = {"input_ids": torch.tensor([list(ids)])}
    if types is not None:
        inputs["token_type_ids"] = torch.tensor([list(types)])
    with torch.no_grad():
        return model.module(**inputs).logits[0]


@pytest.mark.parametrize(
    "kind",
    # BART has a bias behind its head that is as wide as the vocabulary; what DeBERTa gives as its
    # output layer is not the last one.
    [*MASKED, *CAUSAL, "bart", "deberta"],
)
def test_label_scores_are_the_full_logits_at_the_mask(model_folder: ModelFolder, kind: str) -> None:
    """Row by row and unpadded; `c` has two words, whose logits are averaged."""
    model = load_cloze(model_folder(kind))
    assert (model.reading == "causal") == (kind in CAUSAL)
    scores, encoder, columns = ask(model, template_for(kind))
    assert encoder.words.mask_counts == (1,)
    assert scores.shape == (len(TEXTS), 3)
    assert scores.dtype == torch.float32
    for row in ROWS:
        batch = encoder.batch(columns, ROWS[row : row + 1])
        at = full_logits(model, batch.ids[0])[batch.masks[0, 0]]
        by_hand = [float(at[[word[0] for word in of]].mean()) for of in encoder.words.tokens]
        np.testing.assert_allclose(scores[row], by_hand, atol=1e-5)


def test_a_memory_that_is_full_at_the_first_trial_does_not_make_all_that_follows_slow(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU it is no error of its own kind: it passed for a head that cannot be cut down."""
    model = load_cloze(model_folder("bert"))

    def full(module: Any, vocabulary: Any) -> Any:
        if vocabulary is not None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")
        return head_for(module, vocabulary)

    with monkeypatch.context() as patch:
        patch.setattr("pet.models.cloze_model.head_for", full)
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            ask(model, template_for("bert"))
    asked = []

    def note(module: Any, vocabulary: Any) -> Any:
        asked.append(vocabulary)
        return head_for(module, vocabulary)

    monkeypatch.setattr("pet.models.cloze_model.head_for", note)
    ask(model, template_for("bert"))
    assert asked[-1] is not None


def test_the_mean_is_of_raw_logits_over_a_labels_words(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    apart, _, _ = ask(
        model, template_for("bert"), {"x": ("business",), "y": ("money",), "z": ("sport",)}
    )
    together, _, _ = ask(model, template_for("bert"), {"c": ("business", "money"), "z": ("sport",)})
    np.testing.assert_allclose(together[:, 0], apart[:, :2].mean(1), atol=1e-6)


# Words of one, two and three tokens, and labels with words of different lengths.
WORDPIECES = {
    "a": ("rocketman", "game"),
    "b": ("big new money",),
    "c": ("starmans", "stock price"),
    "d": ("team",),
    "e": ("good ball", "bad planet"),
}
PHRASES = {
    "a": ("big money", "game"),
    "b": ("good new market",),
    "c": ("trade price",),
    "d": ("team", "ball"),
    "e": ("said today",),
}
MANY = {"bert": WORDPIECES, **dict.fromkeys(("roberta", "bart", "deberta"), PHRASES)}


def attentive(folder: Path) -> ClozeModel:
    """A model whose predictions turn on the tokens around; the tiny ones hardly look at them."""
    model = load_cloze(folder)
    with torch.no_grad():
        for parameter in model.module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model


def decoded(
    model: ClozeModel, ids: Sequence[int], word: Sequence[int], types: Sequence[int] | None = None
) -> tuple[float, list[int]]:
    """log q of one word in one row, mask after mask, and the order in which they were filled.

    The way of the paper's code, plainly: look at all masks that are left, fill the one whose token
    is likeliest there, look again.
    """
    ids = list(ids)
    columns = [column for column, token in enumerate(ids) if token == model.tokenizer.mask_token_id]
    assert len(columns) == len(word)
    total, order = 0.0, list[int]()
    while len(order) < len(word):
        logs = full_logits(model, ids, types).log_softmax(-1)
        left = [place for place in range(len(word)) if place not in order]
        best = max(left, key=lambda place: float(logs[columns[place], word[place]]))
        total += float(logs[columns[best], word[best]])
        ids[columns[best]] = word[best]
        order.append(best)
    return total, order


def row_of(encoder: Encoder, columns: Any, row: int, masks: int) -> Any:
    """One filled row by itself, without padding."""
    return encoder.batch(columns, ROWS[row : row + 1], masks)


@pytest.mark.parametrize("kind", list(MANY))
def test_masks_are_filled_best_first_not_from_left_to_right_nor_all_at_once(
    model_folder: ModelFolder, kind: str
) -> None:
    """Rows of unequal length in one batch, against one row at a time on full logits."""
    model = attentive(model_folder(kind))
    scores, encoder, columns = ask(model, template_for(kind), MANY[kind])
    assert encoder.words.mask_counts == (1, 2, 3)
    orders = {}
    for row in ROWS:
        by_hand = []
        for of_label in encoder.words.tokens:
            logs = []
            for word in of_label:
                ids = row_of(encoder, columns, row, len(word)).ids[0].tolist()
                log, order = decoded(model, ids, word)
                logs.append(log)
                orders[word, int(row)] = tuple(order)
            by_hand.append(sum(logs) / len(logs))
        np.testing.assert_allclose(scores[row], by_hand, rtol=1e-4)
    # Were every word read from left to right, or in one order by all rows, this would test little.
    assert any(order != tuple(sorted(order)) for order in orders.values())
    of_rows = [{orders[word, int(row)] for row in ROWS} for word, _ in orders]
    assert any(len(found) > 1 for found in of_rows) == (kind != "bart")


def test_the_masks_of_a_text_pair_are_filled_in_the_segment_where_they_stand(
    model_folder: ModelFolder,
) -> None:
    """The filled rows come from the tokenizer itself, as two texts with token types."""
    model = attentive(model_folder("bert"))
    pairs = {"one": ["the game was on", "news"], "two": ["a rocket", "the market said it is bad"]}
    words = {"a": ("rocketman",), "b": ("big new money",), "c": ("team",)}
    encoder = encoder_for(model.tokenizer, "{one} ? || {mask} , {two}", ("one", "two"), words=words)
    texts = tokenized(encoder, model.tokenizer, pairs)
    with torch.no_grad():
        scores = model.outputs(encoder, texts, np.arange(2))
    for row, (one, two) in enumerate(zip(*pairs.values(), strict=True)):
        by_hand = []
        for ((word,),) in zip(encoder.words.tokens, strict=True):
            filled = model.tokenizer(f"{one} ?", f"{'[MASK]' * len(word)} , {two}")
            assert set(filled["token_type_ids"]) == {0, 1}
            by_hand.append(decoded(model, filled["input_ids"], word, filled["token_type_ids"])[0])
        np.testing.assert_allclose(scores[row], by_hand, rtol=1e-4)


def test_the_best_mask_is_found_by_the_words_own_token_not_by_the_surest_prediction(
    model_folder: ModelFolder,
) -> None:
    """A sure prediction of another token must not be filled first."""
    model = attentive(model_folder("bert"))
    _, encoder, columns = ask(model, template_for("bert"), MANY["bert"])
    apart = 0
    for row in ROWS:
        for word in {word for of_label in encoder.words.tokens for word in of_label}:
            batch = row_of(encoder, columns, row, len(word))
            logs = full_logits(model, batch.ids[0]).log_softmax(-1)[batch.masks[0]]
            _, order = decoded(model, batch.ids[0].tolist(), word)
            apart += order[0] != int(logs.max(1).values.argmax())
    assert apart > 0  # so that the tests above can tell the two rules apart


class Passes:
    """Counts a module's forward passes, and notes the rows of each."""

    def __init__(self, model: ClozeModel):
        self.rows: list[int] = []
        model.module.register_forward_hook(self, with_kwargs=True)

    def __call__(self, _module: Any, _args: Any, inputs: dict[str, Tensor], _output: Any) -> None:
        self.rows.append(len(inputs["input_ids"]))


def test_no_pass_is_made_twice_or_for_a_single_row(model_folder: ModelFolder) -> None:
    """The first pass of k masks serves all words of k tokens, each later one a whole batch."""
    model = attentive(model_folder("bert"))
    encoder = encoder_for(model.tokenizer, template_for("bert"), words=MANY["bert"])
    columns = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    passes = Passes(model)
    with torch.no_grad():
        model.outputs(encoder, columns, ROWS)  # which also tries the short way on a row, once
        passes.rows.clear()
        model.outputs(encoder, columns, ROWS)
        # Two words of one token; rocketman, stock price, good ball, bad planet; two of three.
        assert passes.rows == [len(TEXTS)] * (1 + (1 + 4 * 1) + (1 + 2 * 2))
        assert len(passes.rows) == model.passes(encoder)
        passes.rows.clear()
        model.module.train()
        model.outputs(encoder, columns, ROWS)
    assert passes.rows == [len(TEXTS)]


def test_words_too_many_to_be_filled_one_by_one_are_predicted_at_once(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of labels would take a pass each, of every row."""
    model = attentive(model_folder("bert"))
    filled, encoder, columns = ask(model, template_for("bert"), WORDPIECES)
    monkeypatch.setattr("pet.models.masked_model.MOST_FILLING", 5)
    assert model.passes(encoder) == len(encoder.words.mask_counts)
    found, _, _ = ask(model, template_for("bert"), WORDPIECES)
    words = encoder.words.tokens
    by_hand = []
    for row in ROWS:
        scores: dict[Any, float] = {}
        for word in encoder.words.distinct:
            ids = row_of(encoder, columns, row, len(word)).ids[0].tolist()
            logs = full_logits(model, ids).log_softmax(-1)
            places = [
                place for place, own in enumerate(ids) if own == model.tokenizer.mask_token_id
            ]
            scores[word] = sum(
                float(logs[place, token]) for place, token in zip(places, word, strict=True)
            )
        by_hand.append([np.mean([scores[word] for word in of]) for of in words])
    np.testing.assert_allclose(found, by_hand, atol=1e-4)
    assert np.abs(np.asarray(found) - np.asarray(filled)).max() > 1e-3, (
        "both ways are the same, and nothing was compared"
    )


def parallel_by_hand(model: ClozeModel, encoder: Encoder, columns: Any) -> Tensor:
    """q~ of equation 3 on padded full logits: the longest word's masks for all. [rows, labels]"""
    batch = encoder.batch(columns, ROWS, max(encoder.words.mask_counts))
    inputs = {"input_ids": batch.ids, "attention_mask": batch.attention}
    if batch.types is not None:
        inputs["token_type_ids"] = batch.types
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    logs = model.module(**tensors).logits.log_softmax(-1)
    places = torch.from_numpy(batch.masks)
    rows = torch.arange(len(ROWS))
    labels = []
    for of_label in encoder.words.tokens:
        of_words = [
            sum(logs[rows, places[:, k], token] for k, token in enumerate(word))
            for word in of_label
        ]
        labels.append(sum(of_words) / len(of_words))
    return torch.stack(labels, 1)


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta"])
def test_training_follows_the_parallel_estimate_and_its_gradients(
    model_folder: ModelFolder, kind: str
) -> None:
    """Not the masks filled best first, through whose choices no gradient could go."""
    model = attentive(model_folder(kind))
    decoded_scores, encoder, columns = ask(model, template_for(kind), MANY[kind])
    model.set_dropout(0.0)
    model.module.train()
    found = model.outputs(encoder, columns, ROWS)
    by_hand = parallel_by_hand(model, encoder, columns)
    torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, decoded_scores, atol=0.05)
    gradients = []
    for scores in (found, by_hand):
        model.module.zero_grad()
        scores.softmax(1)[:, 0].sum().backward()
        gradients.append(
            {n: p.grad.clone() for n, p in model.module.named_parameters() if p.grad is not None}
        )
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", list(MANY))
def test_a_decoded_words_score_does_not_depend_on_the_rows_beside(
    model_folder: ModelFolder, kind: str
) -> None:
    """Rows choose their next mask each for itself, also where the rows beside are far longer."""
    model = attentive(model_folder(kind))
    together, encoder, columns = ask(model, template_for(kind), MANY[kind])
    with torch.no_grad():
        alone = torch.cat([model.outputs(encoder, columns, ROWS[r : r + 1]) for r in ROWS])
        backwards = model.outputs(encoder, columns, ROWS[::-1].copy())
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(together.flip(0), backwards, rtol=1e-4, atol=1e-4)


def test_a_words_score_does_not_depend_on_the_words_beside(model_folder: ModelFolder) -> None:
    model = attentive(model_folder("bert"))
    apart = [
        ask(model, template_for("bert"), {"x": (word,), "y": ("big team",)})[0][:, 0]
        for word in MANY["bert"]["e"]
    ]
    together, _, _ = ask(model, template_for("bert"), MANY["bert"])
    torch.testing.assert_close(together[:, 4], torch.stack(apart).mean(0), rtol=1e-4, atol=1e-4)


def test_bfloat16_scores_are_float32_and_near_those_of_full_precision(
    model_folder: ModelFolder,
) -> None:
    """On a CPU too, and in every way of scoring; log p is summed in float32."""
    for kind in ("bert", "llama"):
        folder = str(model_folder(kind))
        half = load_teacher(ModelRef(folder), CPU, precision="bfloat16")
        half.module.eval()
        for words in ({"a": ("game",), "b": ("money",)}, {"a": ("big new game",), "b": ("money",)}):
            exact, encoder, columns = ask(load_cloze(model_folder(kind)), template_for(kind), words)
            with torch.no_grad():
                found = half.outputs(encoder, columns, ROWS)
            assert found.dtype == torch.float32
            assert not torch.equal(found, exact)
            torch.testing.assert_close(found, exact, rtol=0.1, atol=0.5)
            loss = half.language_model_loss(encoder, columns, ROWS)
            assert loss.dtype == torch.float32


@pytest.mark.parametrize("kind", CAUSAL)
def test_a_causal_word_of_several_tokens_follows_the_chain_rule(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    words = {"a": ("sportspace",), "b": ("money", "big money")}
    scores, encoder, columns = ask(model, template_for(kind), words)
    assert max(encoder.words.mask_counts) > 2
    for row in ROWS:
        ids = encoder.batch(columns, ROWS[row : row + 1]).ids[0].tolist()
        by_hand = []
        for of_label in encoder.words.tokens:
            logs = []
            for word in of_label:
                steps = full_logits(model, [*ids, *word]).log_softmax(-1)
                logs.append(sum(steps[len(ids) - 1 + k, token] for k, token in enumerate(word)))
            by_hand.append(float(sum(logs) / len(logs)))
        np.testing.assert_allclose(scores[row], by_hand, rtol=1e-4)
    passes = Passes(model)
    with torch.no_grad():
        model.outputs(encoder, columns, ROWS)
    assert len(passes.rows) == model.passes(encoder) == 1, "words share one reading"


@pytest.mark.parametrize("template", ["{text} it is {mask} ", "{text} it is {mask}\n"])
def test_whitespace_behind_a_causal_mask_changes_nothing(
    model_folder: ModelFolder, template: str
) -> None:
    model = load_cloze(model_folder("llama"))
    words = {"a": ("sportspace",), "b": ("money",)}
    expected, _, _ = ask(model, "{text} it is {mask}", words)
    found, _, _ = ask(model, template, words)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [*MASKED, *CAUSAL])
def test_scores_do_not_depend_on_the_rows_beside(model_folder: ModelFolder, kind: str) -> None:
    model = load_cloze(model_folder(kind))
    words = {"a": ("rocketman",), "b": ("money", "sport")}
    together, encoder, columns = ask(model, template_for(kind), words)
    with torch.no_grad():
        alone = torch.cat([model.outputs(encoder, columns, ROWS[r : r + 1]) for r in ROWS])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-4)


def state(model: ClozeModel) -> tuple[Any, ...]:
    """What scoring could leave behind in the module."""
    layer = model.module.get_output_embeddings()
    hooks = [len(module._forward_hooks) for module in model.module.modules()]
    return "forward" in vars(layer), hooks, model.module.training


@pytest.mark.parametrize("kind", ["bert", "gpt2", "opt"])
def test_scoring_leaves_the_module_as_it_was(model_folder: ModelFolder, kind: str) -> None:
    model = load_cloze(model_folder(kind))
    before, ids = state(model), [5, 6, 7]
    logits = full_logits(model, ids)
    ask(model, template_for(kind))
    assert state(model) == before
    assert torch.equal(full_logits(model, ids), logits)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_failed_forward_leaves_the_module_as_it_was(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Out of memory in the middle: the same module scores the next, smaller batch."""
    model = load_cloze(model_folder(kind))
    before = state(model)
    expected, encoder, columns = ask(model, template_for(kind))

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(model._backbone, "forward", fail)
        with pytest.raises(torch.OutOfMemoryError, match="no room"):
            model.outputs(encoder, columns, ROWS)
    assert state(model) == before
    with torch.no_grad():
        assert torch.equal(model.outputs(encoder, columns, ROWS), expected)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_gradients_reach_every_weight_that_the_full_logits_reach(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    encoder = encoder_for(model.tokenizer, template_for(kind), reading=model.reading)
    columns = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    model.outputs(encoder, columns, ROWS).square().sum().backward()
    ours = {
        name: p.grad.clone() for name, p in model.module.named_parameters() if p.grad is not None
    }
    model.module.zero_grad()
    batch = encoder.batch(columns, ROWS)
    full = model.module(
        input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.attention)
    ).logits
    at = full[torch.arange(len(ROWS)), torch.from_numpy(batch.masks[:, 0])]
    scores = [at[:, [word[0] for word in of]].mean(1) for of in encoder.words.tokens]
    torch.stack(scores, 1).square().sum().backward()
    for name, parameter in model.module.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(ours[name], parameter.grad, atol=1e-4, rtol=1e-3)


def test_a_batch_of_which_no_token_is_hidden_does_not_end_the_training(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of one short row comes up; every try with that seed ended there."""
    model = load_cloze(model_folder("bert"))
    encoder = encoder_for(model.tokenizer, template_for("bert"))
    columns = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    monkeypatch.setattr(torch, "rand", lambda *shape: torch.full(shape, 0.99))
    loss = model.language_model_loss(encoder, columns, ROWS)
    loss.backward()
    assert float(loss.detach()) == 0


def test_causal_texts_of_a_single_token_do_not_turn_the_training_into_not_a_number(
    model_folder: ModelFolder,
) -> None:
    """The mean over no next token is no number, and a member that has seen it says nothing else."""
    model = load_cloze(model_folder("gpt2"))
    nothing = np.zeros((2, 0), np.int64)
    one = Batch(np.array([[5], [7]]), np.ones((2, 1), np.int64), None, nothing)
    loss = model._next_token_loss(one, 0)
    loss.backward()
    assert float(loss.detach()) == 0


def test_hidden_tokens_are_never_special_padding_or_the_patterns_own_mask() -> None:
    tokenizer = tiny_models.wordpiece_tokenizer()
    words = list(range(len(tokenizer)))
    plain = [word for word in words if word not in tokenizer.all_special_ids][:8]
    row = [tokenizer.cls_token_id, *plain, tokenizer.mask_token_id, tokenizer.sep_token_id]
    ids = np.array([row + [tokenizer.pad_token_id] * 3] * 400)
    attention = (ids != tokenizer.pad_token_id).astype(np.int64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hidden, targets, (rows, columns) = mask_tokens(
            Batch(ids, attention, None, np.zeros((400, 1), np.int64)),
            tokenizer,
            len(tokenizer),
        )
    assert set(targets.tolist()) <= set(plain)
    assert (ids[rows, columns] == targets).all()
    assert len(targets) / (400 * len(plain)) == pytest.approx(0.15, abs=0.02)
    masked = (hidden.ids[rows, columns] == tokenizer.mask_token_id).mean()
    assert masked == pytest.approx(0.8, abs=0.05)
    untouched = np.ones_like(ids, dtype=bool)
    untouched[rows, columns] = False
    assert (hidden.ids == ids)[untouched].all()
