"""The ledger: no draw is forgotten, no answer is exchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.certifying.ledger import ANSWERS, DRAW, add_answers, add_draw, read_draws
from pet.errors import InputError
from pet.storage.files import read_record, write_json


def test_draws_are_read_back_in_their_order(tmp_path: Path) -> None:
    first = add_draw(tmp_path, [], {"alpha": 0.04})
    second = add_draw(tmp_path, [first], {"alpha": 0.008})
    assert [own.record for own in read_draws(tmp_path)] == [first.record, second.record]
    assert second.folder.name == "0002"


@pytest.mark.parametrize("damage", ["first", "second", "changed", "answers"])
def test_a_ledger_that_is_not_whole_is_refused(tmp_path: Path, damage: str) -> None:
    first = add_draw(tmp_path, [], {"alpha": 0.04})
    second = add_draw(tmp_path, [first], {"alpha": 0.008})
    add_answers(second, {"a": "sport"})
    if damage == "changed":
        write_json(first.folder / DRAW, {**first.record, "alpha": 0.0})
    elif damage == "answers":
        path = second.folder / ANSWERS
        write_json(path, {**read_record(path), "answers": {"a": "space"}})
    else:
        own = first if damage == "first" else second
        (own.folder / DRAW).unlink()
    with pytest.raises(InputError, match="every draw of this run"):
        read_draws(tmp_path)


def test_answers_add_up_and_none_is_exchanged(tmp_path: Path) -> None:
    draw = add_answers(add_draw(tmp_path, [], {}), {"a": "sport", "b": ""})
    draw = add_answers(draw, {"b": "space"})
    assert read_draws(tmp_path)[0].answers == draw.answers == {"a": "sport", "b": "space"}
    with pytest.raises(InputError, match="other answers for a"):
        add_answers(draw, {"a": "space"})
