"""Texts to ids: in their place, shortened where they must be, with the mask where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from pet.config import ModelRef
from pet.models.loading import AS_TOKENIZED, load_tokenizer
from pet.models.scoring import tokenize_columns
from pet.tasks.compilation import pattern_encoder, plain_encoder
from pet.tasks.encoding import Reading, SpecialTokens, shorten, tokenize
from tests.conftest import ModelFolder
from tests.support.cloze import TEXTS, batch_of, encoder_for, filled, pattern, row_ids, tokenized
from tests.support.tiny_models import KINDS

MASKED = ("bert", "roberta", "xlm_roberta")
TEMPLATES = (
    "category: {mask}. {text}",
    "[ topic: {mask} ] {text}",
    "{text} the topic is {mask}",
    "{mask}: {text}",
    "news {text}, is it {mask}?",
    "{text}{mask}",
)


def reading_of(kind: str) -> Reading:
    return "causal" if kind == "llama" else "masked"


@pytest.fixture
def tokenizer_of(model_folder: ModelFolder) -> Any:
    return lambda kind: load_tokenizer(ModelRef(str(model_folder(kind))))


@pytest.mark.parametrize("kind", MASKED)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_filled_pattern_is_tokenised_as_if_it_were_typed(
    tokenizer_of: Any, kind: str, template: str
) -> None:
    """A lost leading space gives other words, and all that the model was trained on is off."""
    tokenizer = tokenizer_of(kind)
    for text in TEXTS:
        typed = pattern(template).fill({"text": text}, tokenizer.mask_token)
        assert filled(tokenizer, template, text=text) == tokenizer(typed)["input_ids"]


@pytest.mark.parametrize(
    ("kind", "template"),
    [
        ("llama", "{text} the topic is {mask}"),
        ("llama", "({text}) was {mask}"),
        ("llama", "{text} {mask}"),
        ("llama2", "news: {text}. it was {mask}"),
        ("llama2", "{text} {mask}"),
    ],
)
def test_a_causal_pattern_ends_before_its_word(tokenizer_of: Any, kind: str, template: str) -> None:
    """Llama 2's kind of vocabulary writes a space before every text: with ours there were two."""
    tokenizer = tokenizer_of(kind)
    for text in TEXTS:
        typed = pattern(template).fill({"text": text}, "").rstrip()
        assert (
            filled(tokenizer, template, reading="causal", text=text)
            == tokenizer(typed)["input_ids"]
        )


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("bert", "[CLS] category : [MASK]. the game was on [SEP]"),
        ("roberta", "<s>category:<mask>. the game was on</s>"),
        ("xlm_roberta", "<s> category:<mask> . the game was on</s>"),
    ],
)
def test_filled_ids_decode_to_the_text(tokenizer_of: Any, kind: str, shown: str) -> None:
    tokenizer = tokenizer_of(kind)
    ids = filled(tokenizer, "category: {mask}. {text}", text="the game was on")
    assert tokenizer.decode(ids).replace(" ", "") == shown.replace(" ", "")
    assert ids.count(tokenizer.mask_token_id) == 1


@pytest.mark.parametrize("kind", MASKED)
def test_the_mask_is_where_the_batch_says(tokenizer_of: Any, kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    for template in TEMPLATES:
        batch = batch_of(encoder_for(tokenizer, template), tokenizer, {"text": TEXTS}, masks=2)
        found = np.take_along_axis(batch.ids, batch.masks, axis=1)
        assert (found == tokenizer.mask_token_id).all()
        assert ((batch.ids == tokenizer.mask_token_id).sum(1) == 2).all()


def test_a_causal_batch_asks_at_the_last_token_of_each_row(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("gpt2")
    encoder = encoder_for(tokenizer, "{text} {mask}", reading="causal")
    batch = batch_of(encoder, tokenizer, {"text": TEXTS})
    assert batch.masks[:, 0].tolist() == (batch.attention.sum(1) - 1).tolist()


def test_padding_is_seen_by_nobody(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("bert")
    encoder = encoder_for(tokenizer, "{text} {mask}")
    batch = batch_of(encoder, tokenizer, {"text": TEXTS})
    assert (batch.ids[batch.attention == 0] == tokenizer.pad_token_id).all()
    alone = batch_of(encoder, tokenizer, {"text": TEXTS[1:2]})
    assert row_ids(alone) == row_ids(batch, 1)
    assert len(alone.ids[0]) < len(batch.ids[0]), "padded to more than the longest row"


def test_a_field_keeps_the_space_before_it_and_only_that(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("roberta")
    for template in ("news {text} {mask}", "({text}) {mask}", "{text} {mask}"):
        typed = pattern(template).fill({"text": "game"}, tokenizer.mask_token)
        assert filled(tokenizer, template, text="game") == tokenizer(typed)["input_ids"]


def test_a_field_after_a_new_line_gets_no_space(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("roberta")
    typed = f"news:\ngame {tokenizer.mask_token}"
    assert filled(tokenizer, "news:\n{text} {mask}", text="game") == tokenizer(typed)["input_ids"]


def test_a_field_that_stands_twice_is_tokenised_for_each_place(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("roberta")
    typed = f"game was game {tokenizer.mask_token}"
    assert (
        filled(tokenizer, "{text} was {text} {mask}", text="game")
        == (tokenizer(typed)["input_ids"])
    )


@pytest.mark.xfail(
    strict=True, reason="known limit: SentencePiece writes a space into a field after `(`"
)
def test_a_field_after_a_bracket_gets_no_space_from_sentencepiece(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("xlm_roberta")
    typed = f"(the game) {tokenizer.mask_token}"
    assert filled(tokenizer, "({text}) {mask}", text="the game") == tokenizer(typed)["input_ids"]


def test_the_segments_of_a_causal_pattern_are_parted_by_a_space(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("llama")
    ids = filled(tokenizer, "{text} || it was {mask}", reading="causal", text="the game was on")
    assert tokenizer.decode(ids) == "the game was on it was"


@pytest.mark.parametrize("kind", MASKED)
def test_a_text_pair_has_the_tokenizers_own_separators_and_types(
    tokenizer_of: Any, kind: str
) -> None:
    tokenizer = tokenizer_of(kind)
    encoder = encoder_for(tokenizer, "{a} || {mask}, {b}", ("a", "b"))
    batch = batch_of(encoder, tokenizer, {"a": ["the game"], "b": ["it was good"]})
    typed = tokenizer("the game", f"{tokenizer.mask_token}, it was good")
    assert row_ids(batch) == typed["input_ids"]
    if kind == "bert":
        assert batch.types is not None
        assert batch.types[0].tolist() == typed["token_type_ids"]
        assert set(typed["token_type_ids"]) == {0, 1}
    else:
        assert batch.types is None


@pytest.mark.parametrize("kind", [*MASKED, "gpt2"])
def test_plain_inputs_are_what_plain_transformers_would_give(tokenizer_of: Any, kind: str) -> None:
    """The student is used outside this library: it must be trained on the same inputs."""
    tokenizer = tokenizer_of(kind)
    one = plain_encoder(tokenizer, ["text"], 64)
    batch = batch_of(one, tokenizer, {"text": TEXTS})
    for row, text in enumerate(TEXTS):
        assert row_ids(batch, row) == tokenizer(text)["input_ids"]
    two = plain_encoder(tokenizer, ["a", "b"], 64)
    batch = batch_of(two, tokenizer, {"a": TEXTS, "b": TEXTS[::-1]})
    for row, (first, second) in enumerate(zip(TEXTS, TEXTS[::-1], strict=True)):
        pair = tokenizer(first, second)
        assert row_ids(batch, row) == pair["input_ids"]
        if batch.types is not None:
            assert batch.types[row][batch.attention[row] == 1].tolist() == pair["token_type_ids"]


# What plain transformers and a batch of ours could read differently.
AWKWARD = (
    "the game was on",
    "[MASK] news [SEP] and [CLS]",
    "<mask> the </s><s> news <pad> <unk>",
    "the <|endoftext|> news",
    " a space before, and  two within",
    "\nnews\tÜñ ☃ 🙂",
    "the game " * 40,
    " " * 5000 + "the game was won",
    "y" * 300 + " the game",
)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_transformers_reads_a_saved_tokenizer_as_the_student_is_read(
    model_folder: ModelFolder, kind: str, tmp_path: Path
) -> None:
    """Else a text that holds "[MASK]" has another label from the exported student than here."""
    ours = load_tokenizer(ModelRef(str(model_folder(kind))), **AS_TOKENIZED)
    ours.model_max_length = 24
    ours.save_pretrained(tmp_path)
    plain = AutoTokenizer.from_pretrained(tmp_path)
    pairs = {"a": list(AWKWARD), "b": list(reversed(AWKWARD))}
    for fields in (["a"], ["a", "b"]):
        batch = batch_of(plain_encoder(ours, fields, 24), ours, pairs)
        read = plain(*(pairs[name] for name in fields), truncation=True, padding=True)
        assert batch.ids.tolist() == read["input_ids"]
        assert batch.attention.tolist() == read["attention_mask"]
        if batch.types is not None:
            assert batch.types.tolist() == read["token_type_ids"]


def test_token_types_of_special_tokens_are_the_tokenizers_own(tokenizer_of: Any) -> None:
    """Funnel has a type of its own for the first token."""
    tokenizer = tokenizer_of("bert")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:2 $A:0 [SEP]:0",
        pair="[CLS]:2 $A:0 [SEP]:0 $B:1 [SEP]:2",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    for fields in (["a"], ["a", "b"]):
        batch = batch_of(
            plain_encoder(tokenizer, fields, 24), tokenizer, {"a": ["the game"], "b": ["news"]}
        )
        assert batch.types is not None
        read = tokenizer(*["the game", "news"][: len(fields)])
        assert batch.types[0].tolist() == read["token_type_ids"]


def test_a_text_of_blanks_and_then_words_is_read_up_to_its_words(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("bert")
    [ids] = tokenize(tokenizer, [" " * 100_000 + "the game"], 8, False)
    assert tokenizer.decode(ids) == "the game"


def test_special_tokens_are_learned_from_the_tokenizer(tokenizer_of: Any) -> None:
    found = SpecialTokens.of(tokenizer_of("bert"), reading="masked", pair=True)
    assert (found.before.tolist(), found.between.tolist(), found.after.tolist()) == ([2], [3], [3])
    assert found.second_type == 1
    found = SpecialTokens.of(tokenizer_of("roberta"), reading="masked", pair=True)
    assert (found.between.tolist(), found.second_type) == ([2, 2], 0)


def test_shorten_lets_the_longest_give_first() -> None:
    lengths = np.array([[3, 10], [10, 3], [10, 10], [2, 2], [0, 20], [5, 5]])
    assert shorten(lengths, 9).tolist() == [[3, 6], [6, 3], [4, 5], [2, 2], [0, 9], [4, 5]]


def test_shorten_keeps_what_fits_and_uses_the_whole_budget() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 30, (200, 3))
    kept = shorten(lengths, 20)
    assert (kept <= lengths).all()
    assert (kept.sum(1) == np.minimum(lengths.sum(1), 20)).all()
    # No field gave a token while a longer one remained: what was cut is as long as any, less one.
    cut = kept < lengths
    longest = kept.max(axis=1, keepdims=True)
    assert (kept[cut] >= np.broadcast_to(longest - 1, kept.shape)[cut]).all()


@pytest.mark.parametrize("kind", MASKED)
def test_a_long_text_gives_way_and_the_pattern_never(tokenizer_of: Any, kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    encoder = encoder_for(tokenizer, "news: {a} is it {mask}? {b}", ("a", "b"), max_length=24)
    columns = {"a": ["the game was on " * 100], "b": ["a big star"]}
    ids = row_ids(batch_of(encoder, tokenizer, columns))
    assert len(ids) == 24
    assert ids.count(tokenizer.mask_token_id) == 1
    shown = tokenizer.decode(ids, skip_special_tokens=True)
    assert "is it" in shown
    assert "a big star" in shown, "the shorter field gave before the longer one"
    assert shown.replace(" ", "").startswith("news:thegame")


def test_lengths_are_those_of_the_filled_rows(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("bert")
    encoder = encoder_for(tokenizer, "{text} || {mask}", max_length=12)
    texts = tokenized(encoder, tokenizer, {"text": [*TEXTS, "the game " * 50]})
    rows = np.array([4, 0, 1, 2])
    assert (
        encoder.lengths(texts, rows).tolist()
        == encoder.batch(texts, rows).attention.sum(1).tolist()
    )


@pytest.mark.parametrize("kind", [*MASKED, "llama"])
@pytest.mark.parametrize("piece", ["the game ", "x", "☃", "\n", "é"])
def test_a_text_of_100000_characters_is_cut(tokenizer_of: Any, kind: str, piece: str) -> None:
    tokenizer = tokenizer_of(kind)
    encoder = encoder_for(
        tokenizer,
        "{text} it is {mask}",
        reading="causal" if kind == "llama" else "masked",
        max_length=32,
    )
    batch = batch_of(encoder, tokenizer, {"text": [piece * 100_000, "news"]})
    assert batch.ids.shape[1] <= 32
    assert tokenizer.unk_token_id not in row_ids(batch, 1)


def test_no_texts_at_all_tokenise_to_nothing(tokenizer_of: Any) -> None:
    found = tokenize(tokenizer_of("bert"), [], 8, True)
    assert len(found) == 0
    assert found.lengths.tolist() == []


def test_an_empty_field_leaves_its_place_empty(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("bert")
    ids = filled(tokenizer, "{a} : {b} {mask}", a="", b="news")
    assert tokenizer.decode(ids) == "[CLS] : news [MASK] [SEP]"


def test_tokenised_texts_give_each_its_own_ids(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("roberta")
    found = tokenize(tokenizer, TEXTS, 3, True)
    for row, text in enumerate(TEXTS):
        assert (
            found[row].tolist() == tokenizer(f" {text}", add_special_tokens=False)["input_ids"][:3]
        )


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_padding_and_truncation_in_the_tokenizers_file_change_nothing(
    tokenizer_of: Any, kind: str, tmp_path: Any
) -> None:
    """Sentence-transformers models are saved with both."""
    tokenizer = tokenizer_of(kind)
    expected = filled(tokenizer, "category: {mask}. {text}", text="the game was on")
    tokenizer.backend_tokenizer.enable_padding(length=20, pad_id=tokenizer.pad_token_id)
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.save_pretrained(tmp_path)
    found = filled(
        load_tokenizer(ModelRef(str(tmp_path))), "category: {mask}. {text}", text="the game was on"
    )
    assert found == expected


@pytest.mark.parametrize("template", ["{text} {mask}", "{text}{mask}"])
def test_a_text_without_a_token_still_gives_the_model_one_to_speak_behind(
    tokenizer_of: Any, template: str
) -> None:
    tokenizer = tokenizer_of("gpt2")
    for encoder in (
        encoder_for(tokenizer, template, reading="causal"),
        plain_encoder(tokenizer, ("text",), 8),
    ):
        texts = tokenized(encoder, tokenizer, {"text": ["", "the game"]})
        rows = np.arange(2)
        batch = encoder.batch(texts, rows)
        assert batch.attention.sum(axis=1).min() == 1
        assert encoder.lengths(texts, rows).min() >= 1
        assert (batch.masks >= 0).all()


@pytest.mark.parametrize("length", [8, 9])
@pytest.mark.parametrize(
    "text",
    [
        "a short one",
        "the news " * 300 + "it ends",
        "   " * 9000 + "late words",
        "game " * 9000 + "!",
    ],
)
def test_both_ends_of_a_long_text_are_its_first_and_its_last_tokens(
    tokenizer_of: Any, length: int, text: str
) -> None:
    tokenizer = tokenizer_of("bert")
    whole = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    tail = length // 2
    wanted = whole if len(whole) <= length else [*whole[: length - tail], *whole[-tail:]]
    assert tokenize(tokenizer, [text], length, False, True)[0].tolist() == wanted


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_pattern_reads_both_ends_of_each_field_within_its_budget(
    tokenizer_of: Any, kind: str
) -> None:
    tokenizer = tokenizer_of(kind)
    text = "the game " * 200 + "a moon"
    asked = pattern("{text} the topic is {mask}")
    words = {"a": ("sport",), "b": ("space",)}
    found = [
        pattern_encoder(tokenizer, asked, words, reading_of(kind), 16, long_texts=way)
        for way in ("head", "head-tail")
    ]
    rows = []
    for encoder in found:
        texts = tokenize_columns(encoder, tokenizer, {"text": [text]})
        batch = encoder.batch(texts, np.array([0]))
        assert batch.ids.shape[1] == encoder.lengths(texts, np.array([0]))[0] - (kind == "llama")
        rows.append(tokenizer.decode(batch.ids[0]))
        if encoder.long_texts == "head-tail" and kind == "llama":
            behind = encoder.text_batch(texts, np.array([0])).ids[0]
            np.testing.assert_array_equal(batch.ids[0][: len(behind)], behind)
    assert "moon" not in rows[0]
    assert "moon" in rows[1]
    assert rows[1].count("topic") == 1
    assert found[0].text_key() != found[1].text_key()
