"""First task files: valid for whatever labels and columns are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pet.errors import InputError
from pet.tasks.languages import KINDS, LANGUAGES
from pet.tasks.task import load_task, parse_task
from pet.tasks.task_draft import (
    Draft,
    draft_toml,
    likely_kind,
    nouns_have_capitals,
    proposed_words,
    quoted,
    read_sample,
    task_name,
    write_draft,
)
from pet.tasks.task_file import read_document
from tests.support import files

FIELDS = {"topic": ("text",), "sentiment": ("text",), "pair": ("premise", "hypothesis")}


def draft(kind: str = "topic", **changes: object) -> Draft:
    words = {"sport": ("sport",), "space": ("space", "moon")}
    values = {"name": "news", "description": "?", "fields": FIELDS[kind], "words": words}
    return Draft(**{**values, "kind": kind, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_patterns_that_load_and_two_that_suit_causal_models(
    kind: str, language: str
) -> None:
    task = parse_task(draft_toml(draft(kind, language=language)), "draft")
    assert [pattern.mask_is_last for pattern in task.patterns] == [False, False, True, True]
    for pattern in task.patterns:
        assert set(pattern.fields) == set(task.fields)


@pytest.mark.parametrize(
    "label", ['say "hi"', "back\\slash", "Sci/Tech", "ελληνικά 🚀", "a.b = [c]", "#1 {x}", "'''"]
)
def test_a_label_of_any_characters_comes_back_as_it_was(tmp_path: Path, label: str) -> None:
    out = tmp_path / "task.toml"
    write_draft(draft(words={label: (label,), "other": ("other",)}), out)
    task = load_task(out)
    assert task.labels == (label, "other")
    assert task.verbalizer("topic")[label] == (label,)


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_quoted_so_that_toml_gives_it_back(text: str) -> None:
    assert read_document(f"x = {quoted(text)}", "t") == {"x": text}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"words": {"a": ("same",), "b": ("same",)}}, "task.toml, labels"),
        ({"fields": ("mask",)}, "task.toml, fields"),
        ({"fields": ("a}b",)}, "task.toml, fields"),
        ({"words": {"line\nbreak": ("a",), "b": ("b",)}}, "task.toml, labels"),
    ],
)
def test_a_draft_that_is_no_task_leaves_the_old_file_as_it_was(
    tmp_path: Path, changes: dict[str, object], place: str
) -> None:
    out = files.write(tmp_path / "task.toml", "old")
    with pytest.raises(InputError) as caught:
        write_draft(draft(**changes), out)
    assert place in str(caught.value)
    assert ".pet-tmp" not in str(caught.value)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["task.toml"]


def test_everything_that_a_draft_lacks_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        write_draft(draft(kind="topic", fields=(), words={"0": ()}), tmp_path / "t.toml")
    said = str(caught.value)
    for part in ("--field", "at least two labels", "without letters: '0'", "--word 0=..."):
        assert part in said
    with pytest.raises(InputError, match="two columns, for a pair"):
        write_draft(draft("pair", fields=("text",)), tmp_path / "t.toml")
    with pytest.raises(InputError, match="topic, sentiment, pair"):
        write_draft(replace(draft(), kind="opinion"), tmp_path / "t.toml")


@pytest.mark.parametrize(
    ("label", "kind", "words"),
    [
        ("World_News", "topic", ("world news",)),
        (" Sci/Tech ", "topic", ("sci/tech",)),
        ("POSITIVE", "sentiment", ("great", "good")),
        ("not_entailment", "pair", ("No",)),
        ("4", "sentiment", ()),
        ("2.5", "topic", ()),
    ],
)
def test_words_are_proposed_from_names_but_never_from_numbers(
    label: str, kind: str, words: tuple[str, ...]
) -> None:
    assert proposed_words(label, kind) == words


@pytest.mark.parametrize(
    ("fields", "labels", "kind"),
    [
        (("premise", "claim"), ("yes", "no"), "pair"),
        (("premise", "claim"), ("entailment", "Neutral", "CONTRADICTION"), "pair"),
        (("question", "other"), ("not_duplicate", "duplicate"), "pair"),
        (("subject", "body"), ("billing", "delivery"), "topic"),
        (("title", "review"), ("positive", "neutral", "negative"), "topic"),
        (("subject", "body"), tuple(f"team {n}" for n in range(12)), "topic"),
        (("text",), ("yes", "no"), "topic"),
    ],
)
def test_two_fields_are_a_pair_only_where_the_labels_say_how_they_relate(
    fields: tuple[str, ...], labels: tuple[str, ...], kind: str
) -> None:
    assert likely_kind(fields, labels) == kind


@pytest.mark.parametrize(
    ("texts", "capitals"),
    [
        (["Die Lieferung kam zu spät, und das Gerät war beim Auspacken kaputt."], True),
        (["My parcel came two weeks late, and nobody at the Berlin office answers."], False),
        (["THE PARCEL IS LATE AND BROKEN", "where is it"], False),
        (["I paid on Monday and I want my money back"], False),
        (["", "123"], False),
    ],
)
def test_a_language_that_writes_nouns_with_capitals_is_seen_in_the_texts(
    tmp_path: Path, texts: list[str], capitals: bool
) -> None:
    path = files.parquet(tmp_path / "s.parquet", text=texts, label=["a"] * len(texts))
    assert nouns_have_capitals(str(path), ("text",)) is capitals


@pytest.mark.parametrize(
    ("label", "capitals", "word"),
    [
        ("Lieferung", True, "Lieferung"),
        ("Defektes_Gerät", True, "Defektes Gerät"),
        ("STÖRUNG", True, "störung"),
        ("Delivery", False, "delivery"),
    ],
)
def test_a_noun_keeps_its_capital_where_the_language_writes_it(
    label: str, capitals: bool, word: str
) -> None:
    """To a cased German model "lieferung" is a misspelling in several tokens."""
    assert proposed_words(label, "topic", capitals) == (word,)


def test_known_words_never_clash_within_the_labels_that_go_together() -> None:
    for kind, labels in (
        ("sentiment", ["positive", "negative", "neutral", "mixed"]),
        ("pair", ["entailment", "neutral", "contradiction"]),
    ):
        words = {label: proposed_words(label, kind) for label in labels}
        parse_task(draft_toml(draft(kind, words=words)), "draft")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_words_of_its_own_for_plain_labels(language: str) -> None:
    words = {
        label: proposed_words(label, "sentiment", language=language)
        for label in ("positive", "negative", "neutral", "mixed")
    }
    parse_task(draft_toml(draft("sentiment", words=words, language=language)), "draft")
    answers = {label: proposed_words(label, "pair", language=language) for label in ("yes", "no")}
    parse_task(draft_toml(draft("pair", words=answers, language=language)), "draft")
    assert (words["positive"] == ("great", "good")) == (language == "en")


def test_german_nouns_keep_their_capitals_also_without_a_sample() -> None:
    assert proposed_words("Lieferung", "topic", language="de") == ("Lieferung",)
    assert proposed_words("Positiv", "sentiment", language="de") == ("toll", "gut")


def test_a_language_without_patterns_is_named_with_those_that_have_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="en, de, es, fr, zh, ja, ar"):
        write_draft(draft(language="tlh"), tmp_path / "t.toml")


def test_labels_of_a_sample_are_what_the_data_holds(tmp_path: Path) -> None:
    path = files.write(tmp_path / "s.csv", 'text,kind\na,"b, c"\nb,1\nc,\nd,1\n')
    assert read_sample(str(path), "kind").labels == ("1", "b, c")
    floats = files.parquet(tmp_path / "s.parquet", text=["a", "b", "c"], kind=[1.0, 2.0, None])
    assert read_sample(str(floats), "kind").labels == ("1", "2")
    assert read_sample(str(path), None).columns == ("text", "kind")


def test_labels_in_another_encoding_are_not_left_out_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes("text,kind\na,Lieferung\nb,Störung\n".encode("latin-1"))
    with pytest.raises(InputError, match="other bytes in row 2"):
        read_sample(str(path), "kind")


def test_hundreds_of_labels_are_read_with_a_row_each(tmp_path: Path) -> None:
    path = files.parquet(tmp_path / "s.parquet", kind=[f"intent {n:03}" for n in range(150)])
    assert len(read_sample(str(path), "kind").labels) == 150


@pytest.mark.parametrize(
    ("rows", "more"), [(1100, ""), (150, ", which nobody would call a label, since it is a text")]
)
def test_a_column_of_texts_is_not_taken_for_labels(tmp_path: Path, rows: int, more: str) -> None:
    texts = [f"text {n}{more}, so it ends" for n in range(rows)]
    path = files.parquet(tmp_path / "s.parquet", text=texts)
    with pytest.raises(InputError, match="is --label-column right"):
        read_sample(str(path), "text")
    with pytest.raises(InputError, match="a column 'label' of labels"):
        read_sample(str(path), "label")


@pytest.mark.parametrize(
    ("file", "name"),
    [("tickets.toml", "tickets"), ("my task (2).toml", "my_task_2"), ("ü.toml", "task")],
)
def test_a_task_is_named_after_its_file_in_letters_that_a_folder_may_have(
    file: str, name: str
) -> None:
    assert task_name(Path(file)) == name
