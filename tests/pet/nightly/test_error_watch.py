"""Rows of a night for people, and what the answers say of the error."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pet.errors import InputError
from pet.nightly.error_watch import WATCH, watch_errors
from pet.nightly.night import label_new
from pet.nightly.nightly_config import ErrorWatchConfig
from pet.storage.files import read_record, write_json
from tests.support import samples
from tests.support.nights import arrive, model_record, night_settings

MODEL = model_record(predictor="student", reason="x")


def night(store: Path, number: int, wrong: list[bool | None], model: int = 1) -> None:
    rows = [{"file": "f", "id": str(n), "label": "sport"} for n in range(len(wrong))]
    write_json(store / WATCH / f"{number:04d}.json", {"model": model, "rows": rows})
    answers = {None: "", True: "space", False: "sport"}
    lines = [(f"f:{n}", answers[own]) for n, own in enumerate(wrong)]
    samples.write_csv(store / WATCH / f"{number:04d}.csv", lines, ("id", "answer"))


def test_rows_below_the_threshold_are_no_bets(tmp_path: Path) -> None:
    """The error that is watched is that of the kept labels."""
    night(tmp_path, 1, [False] * 3 + [True] * 30)
    path = tmp_path / WATCH / "0001.json"
    write_json(path, {**read_record(path), "strata": {"kept": {"drawn": 3}}})
    found = watch_errors(tmp_path, MODEL, ErrorWatchConfig(), ("text",))
    assert (found["answered"], found["wrong"]) == (3, 0)


def test_an_error_over_the_one_asked_for_raises_an_alarm(tmp_path: Path) -> None:
    for number in range(1, 7):
        night(tmp_path, number, [True, False, False, True, False])
    found = watch_errors(tmp_path, MODEL, ErrorWatchConfig(), ("text",))
    assert (found["answered"], found["wrong"], found["alarm"]) == (30, 12, True)
    night(tmp_path, 7, [False] * 200)
    assert watch_errors(tmp_path, MODEL, ErrorWatchConfig(), ("text",))["alarm"], "it stays"


def test_nights_that_are_not_answered_whole_or_are_of_another_model_do_not_count(
    tmp_path: Path,
) -> None:
    """Else a person could leave out what is right until an alarm comes."""
    night(tmp_path, 1, [True, None])
    night(tmp_path, 2, [True] * 9, model=2)
    found = watch_errors(tmp_path, MODEL, ErrorWatchConfig(), ("text",))
    assert (found["answered"], found["open"], found["alarm"]) == (0, 1, False)


def test_answers_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    night(tmp_path, 1, [True])
    (tmp_path / WATCH / "0001.csv").write_text("nothing\n")
    with pytest.raises(InputError):
        watch_errors(tmp_path, MODEL, ErrorWatchConfig(), ("text",))


def test_a_night_draws_rows_of_its_labels_for_people(
    tiny_run: Path, inputs_folder: Path, tmp_path: Path
) -> None:
    watched = {"rows_a_night": 4, "rows_below": 3, "threshold": 0.36}
    config = night_settings(tmp_path, tiny_run, inputs_folder / "labeled.csv", certify=watched)
    arrive(tmp_path / "pool", "monday.csv", 12)
    found = label_new(config)
    drawn = Path(found["errors"]["drawn"])
    record = read_record(drawn.with_suffix(".json"))
    strata = record["strata"]
    assert len(record["rows"]) == sum(own["drawn"] for own in strata.values())
    assert strata["kept"]["rows"] + strata["below"]["rows"] == 12
    assert record["kept"] == strata["kept"]["rows"]
    for own in strata.values():
        if own["drawn"]:
            assert sum(own["claims"].values()) == pytest.approx(1)
    with drawn.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["id"] for row in rows} == {f"{r['file']}:{r['id']}" for r in record["rows"]}
    assert all(row["text"] and not row["label"] for row in rows)
    assert "drawn" not in label_new(config)["errors"], "a quiet night draws nothing"
