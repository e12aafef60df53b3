"""Two hundred damaged files, and what the harness itself must notice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pet.errors import PetError
from tests.faults.damage import CHANGES, Target, damage
from tests.faults.scenarios import Samples
from tests.faults.targets import targets


@pytest.fixture(scope="module")
def among(starting: Samples, tmp_path_factory: pytest.TempPathFactory) -> list[list[Target]]:
    return targets(starting, tmp_path_factory.mktemp("damage"))


@pytest.mark.parametrize("numbers", [range(0, 50), range(50, 100)], ids=str)
def test_a_damaged_file_is_refused_or_read_right(among: list[list[Target]], numbers: range) -> None:
    ended = {damage(number, among).rpartition(": ")[2] for number in numbers}
    assert ended >= {"refused"}


def whole(path: Path) -> Target:
    path.write_text("the whole text, " * 10)
    return Target("own", path, path.read_bytes(), Path.read_bytes, lambda found, _: not found)


def test_what_is_read_wrongly_is_noticed_and_put_back(tmp_path: Path) -> None:
    target = whole(tmp_path / "a.txt")
    with pytest.raises(AssertionError, match=r"DAMAGE=3 \(own, .*read as b'"):
        damage(3, [[target]])
    assert target.path.read_bytes() == target.content


def test_an_error_that_is_none_of_ours_is_noticed(tmp_path: Path) -> None:
    for error, ends in ((PetError("damaged"), "refused"), (KeyError("damaged"), "")):

        def read(path: Path, error: Exception = error) -> None:
            raise error

        target = whole(tmp_path / "a.txt")
        target = Target(target.name, target.path, target.content, read, target.is_right)
        if ends:
            assert damage(0, [[target]]).endswith(ends)
        else:
            with pytest.raises(KeyError) as caught:
                damage(0, [[target]])
            assert caught.value.__notes__[0].startswith("DAMAGE=0 (own, ")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_takes_any_content_and_is_drawn_from_the_number(change: object) -> None:
    for content in (b"", b"a", bytes(range(256)) * 4):
        first, again = (change(content, random.Random(7)) for _ in range(2))  # type: ignore[operator]
        assert first == again
