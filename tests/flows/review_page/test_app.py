"""What the page gets: one row at a time, and of the prediction only what it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pet.reviewing.review_file import SHOWN
from tests.flows.review_page.conftest import Client, client_of
from tests.support.reviews import write_texts

ANN = {"annotator": "Ann"}
BEN = {"annotator": "Ben"}


def test_an_answer_brings_the_next_row_and_the_last_one_the_end(client: Client) -> None:
    assert client.ask("row", **ANN)["place"] == 0
    assert client.ask("answer", **ANN, place=0, label="sport")["place"] == 1
    assert client.ask("answer", **ANN, place=1, label="")["place"] == 2
    client.ask("answer", **ANN, place=2, label="space")
    assert client.ask("answer", **ANN, place=3, label="space") == {
        "place": None,
        "labeled": 3,
        "passed_over": 1,
        "rows": 4,
        "can_undo": True,
    }
    assert client.ask("row", **ANN, passed_over=True)["place"] == 1
    assert client.ask("undo", **ANN)["place"] == 3
    assert client.ask("row", **ANN, place=1)["answer"] == ""


def test_the_prediction_is_sent_only_where_the_page_shows_it(client: Client) -> None:
    """What is hidden on the page could be read in it, and leads people."""
    hidden = client.ask("row", **ANN)
    assert hidden["suggestion"] is None
    assert "0.5" not in json.dumps(hidden)
    assert "a reason" not in json.dumps(hidden)
    shown = client.ask("row", **ANN, suggestion=True)
    assert shown["suggestion"] == {"label": "sport", "confidence": "0.5", "why": "a reason"}


def test_nobody_sees_the_others_answers_but_who_settles(client: Client) -> None:
    client.ask("answer", **ANN, place=0, label="sport")
    seen = client.ask("answer", **BEN, place=0, label="space")
    assert (seen["others"], client.ask("row", **BEN, place=0)["others"]) == ([], [])
    settling = client.ask("row", annotator="Cleo", settles=True)
    assert (settling["place"], settling["others"]) == (0, ["Ann: sport", "Ben: space"])


def test_agreement_is_shown_once_both_are_done(client: Client) -> None:
    """Before, its change after an answer would tell whether the other gave the same."""
    for place, label in enumerate(["sport", "space", "sport", "space"]):
        client.ask("answer", **ANN, place=place, label=label)
        assert client.ask("review", **ANN)["agreements"] == []
        client.ask("answer", **BEN, place=place, label=label if place else "space")
    review = client.ask("review", **ANN)
    assert review["agreements"] == ["Ann and Ben: 75% of 4 rows alike, Cohen's kappa 0.50"]
    assert review["unsettled"] == 1


def test_texts_are_shown_plainly_and_long_ones_cut(tmp_path: Path) -> None:
    odd = "a\r\nb\x1b[2J\u202ec\x00\u05d0"
    client = client_of(write_texts(tmp_path / "r.jsonl", [odd, "x" * (SHOWN + 1)]))
    [text] = client.ask("row", **ANN)["texts"]
    assert text["text"] == "a\nb\\x1b[2J\\u202ec\\x00\u05d0"
    [text] = client.ask("row", **ANN, place=1)["texts"]
    assert (len(text["text"]), text["shown"], text["length"]) == (SHOWN, SHOWN, SHOWN + 1)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("answer", {**ANN, "place": 0, "label": "other"}),
        ("answer", {**ANN, "place": 9, "label": "sport"}),
        ("answer", {**ANN, "place": "0", "label": "sport"}),
        ("answer", {**ANN, "place": 0, "label": "sport", "more": 1}),
        ("answer", {"annotator": "a\nb", "place": 0, "label": "sport"}),
        ("row", {**ANN, "place": -1}),
        ("row", {**ANN, "place": 4}),
        ("row", {}),
        ("row", []),
        ("row", {"annotator": "x" * 20_000}),
        ("undo", ANN),
        ("enter", {"secret": "guess"}),
        ("enter", {"secret": "\u00e9"}),
    ],
)
def test_a_request_that_the_page_does_not_send_changes_nothing(
    client: Client, rows: Path, name: str, body: object
) -> None:
    log = rows.with_name("r-log.jsonl")
    before = log.read_bytes()
    found = client.http.post(f"/api/{name}", json=body)
    assert found.status_code == 400, found.text
    assert found.json()["error"]
    assert log.read_bytes() == before


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000, b'{"annotator": "\\ud800"}'])
def test_bytes_that_are_no_request_are_refused(client: Client, body: bytes) -> None:
    assert client.http.post("/api/row", content=body).status_code == 400


def test_an_answer_that_cannot_be_saved_is_reported_and_not_counted(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        found = client.http.post("/api/answer", json={**ANN, "place": 0, "label": "sport"})
    assert found.status_code == 400
    assert "No space left on device" in found.json()["error"]
    assert client.ask("row", **ANN)["labeled"] == 0


def test_the_end_says_where_the_answers_are(client: Client) -> None:
    assert client.ask("finish") == {"lines": ["closed"]}


def test_what_is_sent_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    path = write_texts(tmp_path / "r.jsonl", ["a text of some words"] * 2000)
    own = client_of(path)
    for name in ("review", "row"):
        body = own.http.post(f"/api/{name}", json=ANN).content
        assert len(body) < 2000


def test_rows_without_predictions_have_none_to_show(tmp_path: Path) -> None:
    """As rows that were drawn at random to measure the model are handed out."""
    own = client_of(write_texts(tmp_path / "r.jsonl", ["a"], ("no label of the task",)))
    assert own.ask("review", **ANN)["has_suggestions"] is False
    assert own.ask("row", **ANN, suggestion=True)["suggestion"] is None


def test_sets_of_labels_are_sent_as_lists(tmp_path: Path) -> None:
    client = client_of(write_texts(tmp_path / "r.jsonl", ["a", "b"], several=True), several=True)
    assert client.ask("review", **ANN)["several"] is True
    shown = client.ask("row", **ANN, suggestion=True)
    assert shown["suggestion"] == {"label": ["sport"], "confidence": "0.5", "why": "a reason"}
    client.ask("answer", **ANN, place=0, label=["space", "sport"])
    client.ask("answer", **BEN, place=0, label=[])
    assert client.ask("row", **ANN, place=0)["answer"] == ["sport", "space"]
    assert client.ask("row", **BEN, place=0)["answer"] == []
    settling = client.ask("row", annotator="Cleo", settles=True)
    assert settling["others"] == ["Ann: sport, space", "Ben: none of them"]
    assert client.ask("answer", **ANN, place=1, label="")["labeled"] == 1
    found = client.http.post("/api/answer", json={**ANN, "place": 1, "label": ["other"]})
    assert found.status_code == 400


def test_a_list_of_labels_is_refused_where_a_text_has_one(client: Client) -> None:
    found = client.http.post("/api/answer", json={**ANN, "place": 0, "label": ["sport"]})
    assert found.status_code == 400
