"""Soft prompts beside a slow reference, what they start from, and many of them in one pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pet.errors import PetError
from pet.finished.predictors import JOINT_TOKENS, PromptEnsemble
from pet.models.fast_paths import head_for
from pet.models.scoring import score
from pet.models.soft_prompt import SoftPrompt, common_tokens, first_tokens, nearest_words
from tests.support.cloze import TEXTS, encoder_for, load_cloze, row_ids, tokenized

ModelFolder = Callable[[str], Path]
TEMPLATE = "it was {text} news: {mask}"
LENGTH = 3


def prompted(folder: Path, seed: int = 1, template: str = TEMPLATE) -> tuple[Any, Any, Any]:
    """A model with a random prompt, its encoder, and the tokens of some texts."""
    model = load_cloze(folder)
    return (*on(model, seed, template), model)


def on(model: Any, seed: int, template: str = TEMPLATE) -> tuple[Any, Any]:
    plain = encoder_for(model.tokenizer, template, reading=model.reading)
    end = len(plain.special.before) + LENGTH
    worn = model.with_adapter(SoftPrompt.fresh(model.module, LENGTH, end, seed))
    return worn, encoder_for(model.tokenizer, template, reading=model.reading, prompt_length=LENGTH)


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "gpt2"])
def test_a_prompt_is_what_its_vectors_are_as_embedded_words(
    model_folder: ModelFolder, kind: str
) -> None:
    """Row by row, without padding: embeddings joined by hand, positions counted by hand."""
    worn, encoder, model = prompted(model_folder(kind))
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    scores = score(worn, encoder, texts, tokens_per_batch=512)
    worn.active_adapter.set(None)
    start = encoder.prompt_end - LENGTH
    for row in range(len(TEXTS)):
        batch = encoder.batch(texts, np.array([row]))
        ids = row_ids(batch)
        kept = torch.tensor([ids[:start] + ids[start + LENGTH :]])
        with torch.no_grad():
            words = model.module.get_input_embeddings()(kept)
            embedded = torch.cat([words[:, :start], worn.adapter.vectors, words[:, start:]], dim=1)
            first = 2 if kind == "roberta" else 0  # its positions begin behind the padding's
            places = first + torch.arange(len(ids))[None]
            takes = inspect.signature(model.module.forward).parameters
            assert "inputs_embeds" in takes
            logits = model.module(inputs_embeds=embedded, position_ids=places).logits
        at_mask = logits[0, batch.masks[0, 0]]
        for label, words_of in enumerate(encoder.words.tokens):
            expected = np.mean([float(at_mask[word[0]]) for word in words_of])
            assert scores[row, label] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama"])
def test_a_prompt_stands_behind_what_every_text_begins_with(
    model_folder: ModelFolder, kind: str
) -> None:
    _, encoder, model = prompted(model_folder(kind))
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    batch = encoder.batch(texts, np.arange(len(TEXTS)))
    plain = encoder_for(model.tokenizer, TEMPLATE, reading=model.reading)
    without = plain.batch(texts, np.arange(len(TEXTS)))
    before = len(plain.special.before)
    assert np.array_equal(batch.masks, without.masks + LENGTH)
    assert np.array_equal(batch.ids[:, :before], without.ids[:, :before])
    assert np.array_equal(batch.ids[:, before + LENGTH :], without.ids[:, before:])
    assert (batch.attention[:, : before + LENGTH] == 1).all()


def test_a_prompt_counts_in_the_length_of_a_text(model_folder: ModelFolder) -> None:
    """Otherwise a text of full length would have positions that the model has not."""
    tokenizer = load_cloze(model_folder("bert")).tokenizer
    encoder = encoder_for(tokenizer, TEMPLATE, max_length=24, prompt_length=LENGTH)
    texts = tokenized(encoder, tokenizer, {"text": ["the game was on " * 30]})
    assert encoder.batch(texts, np.array([0])).ids.shape[1] == 24


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_the_places_of_a_prompt_are_never_asked_for(model_folder: ModelFolder, kind: str) -> None:
    """The auxiliary loss would train the model to predict what stands in for a vector."""
    worn, encoder, model = prompted(model_folder(kind))
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    seen = []
    entropy = torch.nn.functional.cross_entropy

    def note(logits: Any, targets: Any, **more: Any) -> Any:
        seen.append(targets)
        return entropy(logits, targets, **more)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch.nn.functional, "cross_entropy", note)
        for _ in range(5):
            worn.language_model_loss(encoder, texts, np.arange(len(TEXTS)))
    if kind == "llama":
        assert (seen[0][:, : encoder.prompt_end - 1] == -100).all()
        assert (seen[0][:, encoder.prompt_end :] != -100).any()
    else:
        assert all(int(model.tokenizer.mask_token_id) not in targets for targets in seen)


def test_a_prompt_starts_from_the_words_that_were_asked_for(model_folder: ModelFolder) -> None:
    words, pattern, vocabulary = [[7], [8, 9]], [11, 12], [20, 21, 22]
    given = [words, pattern, vocabulary, 1]
    assert first_tokens("random", 5, *given) == 5
    drawn = first_tokens("label-words", 5, *given)
    assert isinstance(drawn, list)
    assert drawn[:2] == [[7], [8, 9]], "one vector a label, the mean of its words' tokens"
    assert {token for (token,) in drawn[2:]} <= set(vocabulary)
    assert len(drawn) == 5
    assert first_tokens("label-words", 2, *given) == [[7], [8, 9]]
    short = first_tokens("pattern-words", 4, *given)
    assert isinstance(short, list)
    assert short[:2] == [[11], [12]]
    every = first_tokens("vocabulary", 9, *given)
    assert isinstance(every, list)
    assert {token for (token,) in every} <= set(vocabulary)


def test_first_vectors_are_means_of_embeddings_or_as_wide_as_these(
    model_folder: ModelFolder,
) -> None:
    module = load_cloze(model_folder("bert")).module
    table = module.get_input_embeddings().weight.detach()
    prompt = SoftPrompt.fresh(module, [[7], [8, 9]], 3, 1)
    assert torch.equal(prompt.vectors[0, 0], table[7])
    assert torch.allclose(prompt.vectors[0, 1], (table[8] + table[9]) / 2)
    drawn = SoftPrompt.fresh(module, 200, 3, 1).vectors.detach()
    assert float(drawn.std()) == pytest.approx(float(table.std()), rel=0.05)
    assert float(drawn.abs().max()) <= 3**0.5 * float(table.std()) + 1e-6


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm_roberta", "llama"])
def test_what_is_drawn_of_a_vocabulary_are_words(model_folder: ModelFolder, kind: str) -> None:
    """Special tokens, unused ones and signs would be poor starts."""
    tokenizer = load_cloze(model_folder(kind)).tokenizer
    tokens = tokenizer.convert_ids_to_tokens(common_tokens(tokenizer, len(tokenizer)))
    assert any("team" in token for token in tokens)
    assert not {"[MASK]", "<mask>", "[UNK]", "##s", "."} & set(tokens)


def test_the_words_nearest_to_a_prompt_that_has_not_moved_are_its_own(
    model_folder: ModelFolder,
) -> None:
    model = load_cloze(model_folder("bert"))
    ids = model.tokenizer.convert_tokens_to_ids(["rocket", "bank", "moon"])
    prompt = SoftPrompt.fresh(model.module, [[own] for own in ids], 4, 1)
    near = nearest_words(prompt, model.module, model.tokenizer)
    assert [words[0] for words in near] == ["rocket", "bank", "moon"]
    assert {len(words) for words in near} == {3}


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama"])
def test_many_prompts_in_one_pass_say_what_they_say_alone(
    model_folder: ModelFolder, kind: str
) -> None:
    """Rows that were given their neighbour's prompt would still look like scores."""
    model = load_cloze(model_folder(kind))
    templates = [TEMPLATE, "{text} the topic is {mask}", TEMPLATE]
    members = [on(model, seed, template) for seed, template in enumerate(templates)]
    members[1][1].offset = np.array([1, 2, 3], np.float32)
    ensemble = PromptEnsemble.of(members)
    assert ensemble is not None
    together = ensemble.score({"text": TEXTS})
    assert together is not None
    for (worn, encoder), logits in zip(members, together, strict=True):
        texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
        assert np.allclose(score(worn, encoder, texts, tokens_per_batch=512), logits, atol=1e-4)
    assert not np.allclose(together[0], together[2], atol=1e-3)


def test_many_prompts_in_one_pass_compute_the_label_words_only(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial on one row failed for two prompts, so the whole vocabulary was computed."""
    model = load_cloze(model_folder("bert"))
    ensemble = PromptEnsemble.of([on(model, seed) for seed in range(2)])
    assert ensemble is not None
    ensemble.score({"text": TEXTS})
    asked = []

    def note(module: Any, vocabulary: Any) -> Any:
        asked.append(vocabulary)
        return head_for(module, vocabulary)

    monkeypatch.setattr("pet.models.cloze_model.head_for", note)
    ensemble.score({"text": TEXTS})
    assert len(asked) == 1
    assert asked[0] is not None


def test_many_prompts_in_one_pass_say_in_int8_what_they_say_alone_in_int8(
    model_folder: ModelFolder,
) -> None:
    """A few texts would be labeled in float32, and the same texts among many in int8."""
    model = load_cloze(model_folder("bert"))
    model.precision = "int8"
    members = [on(model, seed) for seed in range(2)]
    ensemble = PromptEnsemble.of(members)
    assert ensemble is not None
    together = ensemble.score({"text": TEXTS})
    assert together is not None
    texts = tokenized(members[0][1], model.tokenizer, {"text": TEXTS})
    alone = np.stack([score(*member, texts, tokens_per_batch=512) for member in members])
    model.precision = "float32"
    exact = np.stack([score(*on(model, seed), texts, tokens_per_batch=512) for seed in range(2)])
    assert np.abs(together - exact).max() > 10 * np.abs(together - alone).max()


def test_many_prompts_in_one_pass_that_say_nan_label_nothing(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    members = [on(model, seed) for seed in range(2)]
    members[1][0].adapter.vectors.data[:] = torch.nan
    ensemble = PromptEnsemble.of(members)
    assert ensemble is not None
    with pytest.raises(PetError, match=f"NaN for {len(TEXTS)} of {len(TEXTS)} rows"):
        ensemble.score({"text": TEXTS})


def test_prompts_that_cannot_share_a_pass_are_asked_in_turn(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    one, encoder = on(model, 1)
    assert (
        PromptEnsemble.of([(one, encoder), (model, encoder_for(model.tokenizer, TEMPLATE))]) is None
    )
    elsewhere = on(load_cloze(model_folder("bert")), 1)
    assert PromptEnsemble.of([(one, encoder), elsewhere]) is None
    long = encoder_for(
        model.tokenizer,
        TEMPLATE,
        words={"a": ("sportsman",), "b": ("space",)},
        prompt_length=LENGTH,
    )
    assert PromptEnsemble.of([(one, long)]) is None
    ensemble = PromptEnsemble.of([(one, encoder)])
    assert ensemble is not None
    assert ensemble.score({"text": ["the game"] * (JOINT_TOKENS // 8)}) is None
    assert ensemble.score({"text": []}) is None
