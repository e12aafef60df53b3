"""Models of encoder and decoder: asked by a sentinel or for an answer, trained, refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pet.config import ModelRef
from pet.errors import InputError
from pet.models.cloze_model import ClozeModel
from pet.models.encoder_decoder import corrupt, sentinels
from pet.models.loading import reading_of
from pet.models.model import Classifier
from pet.models.teachers import load_teacher
from tests.support.cloze import (
    CPU,
    TEXTS,
    WORDS,
    ask,
    batch_of,
    encoder_for,
    load_cloze,
    row_ids,
    tokenized,
)
from tests.support.tiny_models import MASKS, SENTINELS

ModelFolder = Callable[[str], Path]
PLACES = {"t5": "category {mask} : {text}", "flan": "{text} the topic is {mask}"}
LONGER = {"a": ("big game", "sport"), "b": ("bad news today",), "c": ("moon",)}


def read_by(model: ClozeModel, template: str, text: str) -> list[int]:
    """What the encoder reads of a text."""
    encoder = encoder_for(model.tokenizer, template, reading=model.reading)
    return row_ids(batch_of(encoder, model.tokenizer, {"text": [text]}))


def typed(model: ClozeModel, text: str) -> list[int]:
    found: list[int] = model.tokenizer(text)["input_ids"]
    return found


def by_hand(model: ClozeModel, read: list[int], word: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The decoder's logits and log-probabilities of a word's tokens, one pass for all."""
    start = [0] if model.reading == "end" else [0, typed(model, "<extra_id_0>")[0]]
    given = torch.tensor([[*start, *word[:-1]]])
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([read]), decoder_input_ids=given).logits[0]
    own = logits[len(start) - 1 :]
    places, tokens = torch.arange(len(word)), torch.tensor(word)
    return own[places, tokens], own.log_softmax(-1)[places, tokens]


def test_a_sentinel_stands_in_the_place_of_a_word_of_any_length(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("t5"))
    expected = typed(model, "category <extra_id_0> : the game")
    assert read_by(model, PLACES["t5"], "the game") == expected
    assert expected.count(sentinels(model.tokenizer)[0]) == 1


def test_what_is_answered_to_is_the_text_alone_and_its_end(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("flan"))
    assert read_by(model, PLACES["flan"], "the game") == typed(model, "the game the topic is")
    pair = "{text} || it is {mask}"
    assert read_by(model, pair, "the game") == typed(model, "the game it is"), "it knows no pairs"


@pytest.mark.parametrize("kind", MASKS)
def test_words_of_one_token_are_scored_by_their_logits(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    found, encoder, _ = ask(model, PLACES[kind])
    for row, text in enumerate(TEXTS):
        read = read_by(model, PLACES[kind], text)
        for label, words in enumerate(encoder.words.tokens):
            logits = [by_hand(model, read, word)[0].sum() for word in words]
            assert found[row, label] == pytest.approx(float(sum(logits)) / len(words), rel=1e-4)


@pytest.mark.parametrize("kind", MASKS)
def test_longer_words_are_scored_token_by_token_without_an_end(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    found, encoder, _ = ask(model, PLACES[kind], LONGER)
    assert {len(word) for word in encoder.words.distinct} == {1, 2, 3}
    for row, text in enumerate(TEXTS):
        read = read_by(model, PLACES[kind], text)
        for label, words in enumerate(encoder.words.tokens):
            logs = [by_hand(model, read, word)[1].sum() for word in words]
            assert found[row, label] == pytest.approx(float(sum(logs)) / len(words), rel=1e-4)


@pytest.mark.parametrize("words", [WORDS, LONGER])
def test_the_encoder_reads_a_text_once_for_all_words(
    model_folder: ModelFolder, words: dict[str, tuple[str, ...]]
) -> None:
    model, count = load_cloze(model_folder("t5")), list[int]()
    ask(model, PLACES["t5"], words)  # tries what the head can be cut down to
    model.module.get_encoder().register_forward_hook(lambda *_: count.append(1))
    _, encoder, _ = ask(model, PLACES["t5"], words)
    assert len(count) == model.passes(encoder) == 1


def test_runs_of_tokens_are_left_out_in_order() -> None:
    chosen = np.array([0, 1, 1, 0, 1, 0], dtype=bool)
    tokens = np.array([10, 11, 12, 13, 14, 15])
    text, asked = corrupt(tokens, chosen, [90, 91, 92])
    assert text == [10, 90, 13, 91, 15]
    assert asked == [90, 11, 12, 91, 14, 92]
    # With one sentinel to end with, the second run stays.
    assert corrupt(tokens, chosen, [90, 91]) == ([10, 90, 13, 14, 15], [90, 11, 12, 91])
    assert corrupt(tokens, ~chosen & chosen, [90, 91]) == (tokens.tolist(), [90])


@pytest.mark.parametrize("kind", MASKS)
def test_the_loss_of_its_own_task_goes_down(model_folder: ModelFolder, kind: str) -> None:
    model = load_cloze(model_folder(kind))
    encoder = encoder_for(model.tokenizer, PLACES[kind], reading=model.reading)
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    optimizer = torch.optim.Adam(model.module.parameters(), 1e-2)

    def step(seed: int) -> float:
        torch.manual_seed(seed)
        loss = model.language_model_loss(encoder, texts, np.arange(len(TEXTS)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    with torch.random.fork_rng(devices=[]):
        losses = [step(seed % 4) for seed in range(24)]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) / 2


def test_sentinels_are_counted_from_the_first(model_folder: ModelFolder) -> None:
    tokenizer = load_cloze(model_folder("t5")).tokenizer
    expected = tokenizer.convert_tokens_to_ids([f"<extra_id_{n}>" for n in range(SENTINELS)])
    assert sentinels(tokenizer) == expected
    assert sentinels(load_cloze(model_folder("bert")).tokenizer) == []


@pytest.mark.parametrize(
    ("kind", "mask", "said"),
    [
        ("t5", None, "--set mask=sentinel for T5 or mT5, --set mask=end for T0 or Flan-T5"),
        ("bert", "end", "a model of encoder and decoder"),
        ("bart", "sentinel", "leave it out"),
        ("llama", "end", "leave it out"),
    ],
)
def test_a_setting_that_a_model_does_not_have_is_refused(
    model_folder: ModelFolder, kind: str, mask: Any, said: str
) -> None:
    """A configuration does not tell T5 from Flan-T5: read the other way, either guesses."""
    with pytest.raises(InputError, match="setting mask") as caught:
        load_teacher(ModelRef(str(model_folder(kind))), CPU, mask)
    assert said in str(caught.value)


def test_a_tokenizer_without_sentinels_is_refused(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pet.models.loading.mask_token", lambda *_: None)
    ref = ModelRef(str(model_folder("t5")))
    with pytest.raises(InputError, match="extra_id_0"):
        reading_of(ref, "sentinel")
    assert reading_of(ref, "end") == "end"


@pytest.mark.parametrize("kind", MASKS)
def test_a_model_that_was_saved_scores_as_it_did(
    model_folder: ModelFolder, tmp_path: Path, kind: str
) -> None:
    """Flan-T5 has a head of its own, and no scale before it: either may get lost on a reload."""
    model = load_cloze(model_folder(kind))
    if kind == "flan":
        head = model.module.lm_head
        head.weight = torch.nn.Parameter(torch.randn_like(head.weight))
    expected, _, _ = ask(model, PLACES[kind], LONGER)
    model.save(tmp_path / kind)
    again = load_cloze(tmp_path / kind)
    torch.testing.assert_close(ask(again, PLACES[kind], LONGER)[0], expected)


def test_such_a_model_is_no_student(model_folder: ModelFolder) -> None:
    with pytest.raises(InputError, match="a model of encoder and decoder") as caught:
        Classifier.fresh(ModelRef(str(model_folder("t5"))), ("a", "b"), CPU, 0)
    assert "--student-model" in str(caught.value)
