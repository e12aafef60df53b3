"""Suggested label words: nobody is measured on rows by words that these rows have chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.checking.word_suggestions import suggestion_toml
from pet.data.text_keys import row_digests
from pet.ensemble import chosen_words, lineup
from pet.ensemble.chosen_words import words_without
from pet.ensemble.logits import read_logits
from pet.ensemble.predictions import HELD_OUT_LOGITS
from pet.errors import InputError
from pet.inputs.reading import open_session
from pet.pipeline import label_pool
from tests.support import samples

Configure = Callable[..., Any]

WORDS = {"sport": ("game", "ball"), "space": ("planet",), "business": ("stock",)}


def paste(folder: Path, texts: list[str]) -> None:
    toml = suggestion_toml(WORDS, row_digests({"text": texts}, ["text"]))
    (folder / "task.toml").write_text(f"{samples.task_toml()}\n{toml}")


@pytest.fixture
def pasted(own_inputs: Path) -> Path:
    """The tiny task with words that its labeled rows suggested."""
    paste(own_inputs, [text for text, _ in samples.labeled_rows()])
    return own_inputs


def flip_first(folder: Path) -> None:
    texts = (folder / "labeled.csv").read_text().splitlines()
    flipped = next(label for label in samples.LABELS if not texts[1].endswith(label))
    texts[1] = f"{texts[1].rpartition(',')[0]},{flipped}"
    (folder / "labeled.csv").write_text("\n".join(texts) + "\n")


def logits(run: str, *parts: str) -> np.ndarray:
    return read_logits(Path(run).joinpath("members", *parts))[1]


def test_the_label_of_a_row_does_not_move_its_own_scores(
    config_for: Configure, pasted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the folds held fixed, another label of a row changes what is said of others only."""

    def dealt(labels: Any, folds: int, rng: Any = None) -> Any:
        return np.arange(len(labels)) % 4

    monkeypatch.setattr(
        chosen_words, "deal", lambda labels, seed: [np.arange(f, len(labels), 4) for f in range(4)]
    )
    monkeypatch.setattr(lineup, "folds_of", dealt)
    settings = {**samples.SHIPPED, "calibration": "half-matched"}
    before = config_for(inputs=pasted, **settings)
    label_pool(before)
    flip_first(pasted)
    after = config_for(out=Path(before.out).parent / "flipped", inputs=pasted, **settings)
    label_pool(after)
    own = np.arange(12) % 4 == 0
    changed = False
    for name in samples.PATTERNS:
        place = f"untrained-{name}", "logits", "labeled.parquet"
        one, other = logits(before.out, *place), logits(after.out, *place)
        np.testing.assert_array_equal(one[own], other[own])
        changed = changed or not np.array_equal(one[~own], other[~own])
        held_out = Path(before.out) / "members" / f"held-out-{name}-r0"
        assert held_out.exists()
    assert changed
    first = f"held-out-{next(iter(samples.PATTERNS))}-r0", HELD_OUT_LOGITS
    np.testing.assert_array_equal(logits(before.out, *first)[own], logits(after.out, *first)[own])


def test_rows_that_chose_no_words_are_measured_by_the_words_as_they_are(
    config_for: Configure, own_inputs: Path
) -> None:
    paste(own_inputs, ["a text", "of another set"])
    config = config_for(inputs=own_inputs)
    label_pool(config)
    assert not (Path(config.out) / "label_words").exists()
    session = open_session(config)
    words = words_without(session, "last", np.arange(4)).task.verbalizer("last")
    assert words["sport"] == ("sport", *WORDS["sport"])


def test_who_holds_rows_out_has_words_of_the_other_rows(
    config_for: Configure, pasted: Path
) -> None:
    config = config_for(inputs=pasted)
    label_pool(config)
    session = open_session(config)
    all_rows = words_without(session, "last", np.arange(12)).task.verbalizer("last")
    assert all_rows == session.task.own_words["last"]
    some = words_without(session, "last", np.arange(4)).task.verbalizer("last")
    assert some["sport"] == ("sport",)  # these were all of its rows
    assert some != all_rows


def test_after_an_untrained_start_no_held_out_member_learns_from_teachers_with_such_words(
    config_for: Configure, pasted: Path, own_inputs: Path
) -> None:
    from tests.support.lineups import planned

    settings = {**samples.SHIPPED, "generations": 1, "train_from": 8}
    with_words = planned(open_session(config_for(inputs=pasted, **settings)))
    assert not with_words.trains_at_once
    assert not with_words.held_out[1]


def test_a_jointly_trained_teacher_is_refused(config_for: Configure, pasted: Path) -> None:
    with pytest.raises(InputError, match=r"leave joint\.steps out"):
        open_session(config_for(inputs=pasted, joint={"steps": 2}, member={"steps": 0}))
