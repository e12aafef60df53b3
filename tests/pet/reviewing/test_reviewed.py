"""Answers into the labeled set: wrong ones refused as a whole, right ones with their origin."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows import cli
from pet.config import RunConfig
from pet.data.labeled import read_labeled
from pet.errors import InputError
from pet.inputs.pool_sample import load_unlabeled
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.reviewing.review_rows import write_review
from pet.reviewing.reviewed import Taken, next_command, take_answers
from pet.settings import load_config
from pet.storage.files import read_json
from tests.support import samples

Answers = list[tuple[str, str]]


def answers(path: Path, rows: list[tuple[str, ...]], *more: str) -> Path:
    return samples.write_csv(path, rows, ("id", "answer", *more))


def id_of(row: int) -> str:
    return f"pool.parquet:{row}"


def take(run: Path, tmp_path: Path, rows: list[tuple[str, ...]], *more: str) -> Taken:
    return take_answers(
        run, answers(tmp_path / "a.csv", rows, *more), tmp_path / "new.jsonl", SILENT
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_stand_behind_the_old_rows_with_where_they_came_from(
    tiny_run: Path, tmp_path: Path
) -> None:
    given = [
        (id_of(0), "sport", "Ann", "2026-11-20"),
        (id_of(1), "space", "", ""),
        (id_of(2), "", "", ""),
    ]
    taken = take(tiny_run, tmp_path, given, "annotator", "date")
    assert (taken.added, taken.corrected, taken.confirmed, taken.unanswered) == (2, 0, 0, 1)
    rows = rows_of(taken.path)
    assert [(row["text"], row["label"]) for row in rows[:12]] == samples.labeled_rows()
    assert {row["source"] for row in rows[:12]} == {None}
    assert rows[12] == {
        "id": id_of(0),
        "text": samples.pool_texts()[0],
        "label": "sport",
        "source": "review",
        "run": "news",
        "annotator": "Ann",
        "date": "2026-11-20",
    }
    assert rows[13]["annotator"] is None


def test_an_answer_about_a_labeled_text_corrects_it_instead_of_contradicting_it(
    tiny_run: Path, tmp_path: Path
) -> None:
    taken = take(tiny_run, tmp_path, [(id_of(5), "business")])
    assert (taken.added, taken.corrected) == (0, 1)
    first = rows_of(taken.path)[0]
    assert (first["label"], first["source"]) == ("business", "review")
    table = read_labeled(taken.path, ["text"], samples.LABELS)
    assert not table.warnings


def test_a_confirmed_label_is_counted_as_such(tiny_run: Path, tmp_path: Path) -> None:
    assert take(tiny_run, tmp_path, [(id_of(5), "sport")]).confirmed == 1


@pytest.mark.parametrize("name", ["new.jsonl", "new.parquet"])
def test_the_next_run_learns_from_the_answers_and_draws_none_of_them(
    config_for: Callable[..., RunConfig], tiny_run: Path, tmp_path: Path, name: str
) -> None:
    path = answers(tmp_path / "a.csv", [(id_of(row), "space") for row in range(4)])
    taken = take_answers(tiny_run, path, tmp_path / name, SILENT)
    next_run = tmp_path / "next"
    label_pool(config_for(next_run, labeled=str(taken.path)))
    rows = load_unlabeled(next_run)
    trainable = dict(zip(rows.ids, rows.trainable.tolist(), strict=True))
    assert [trainable[id_of(row)] for row in (0, 1, 2, 3, 4)] == [False] * 4 + [True]


def test_a_second_round_keeps_the_first_ones_origin(
    config_for: Callable[..., RunConfig], tiny_run: Path, tmp_path: Path
) -> None:
    taken = take(tiny_run, tmp_path, [(id_of(0), "sport", "Ann")], "annotator")
    second_run = tmp_path / "second"
    label_pool(config_for(second_run, labeled=str(taken.path)))
    path = answers(tmp_path / "b.csv", [(id_of(1), "space")])
    again = take_answers(second_run, path, tmp_path / "newer.parquet", SILENT)
    rows = pq.read_table(again.path).to_pylist()
    assert [(row["source"], row["run"], row["annotator"]) for row in rows[12:]] == [
        ("review", "news", "Ann"),
        ("review", "second", None),
    ]


def test_a_start_without_labels_takes_answers_too(
    config_for: Callable[..., RunConfig], tmp_path: Path
) -> None:
    run = tmp_path / "bare"
    label_pool(config_for(run, labeled=None))
    taken = take(run, tmp_path, [(id_of(0), "sport"), (id_of(1), "space")])
    assert [row["label"] for row in rows_of(taken.path)] == ["sport", "space"]


def test_columns_keep_the_names_that_the_run_was_given(
    config_for: Callable[..., RunConfig], tmp_path: Path
) -> None:
    inputs = samples.write_inputs(tmp_path / "in")
    rows = [(f"1{n}", *row) for n, row in enumerate(samples.labeled_rows())]
    samples.write_csv(inputs / "labeled.csv", rows, ("id", "body", "source"))
    pool = [(f"1{n}", text or "") for n, text in enumerate(samples.pool_texts())]
    samples.write_csv(inputs / "pool.csv", pool, ("id", "body"))
    names = {"text_column": "body", "label_column": "source", "test": None}
    run = tmp_path / "named"
    label_pool(config_for(run, inputs, pool=str(inputs / "pool.csv"), **names))
    taken = take(run, tmp_path, [("10", "sport")])
    assert rows_of(taken.path)[12] == {
        "id": "named:10",  # the labeled set has a row 10 of its own
        "body": samples.pool_texts()[0],
        "source": "sport",
        "review_source": "review",
        "run": "named",
        "annotator": None,
        "date": None,
    }
    assert "--label-column source --text-column body" in taken.next_command


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([(id_of(0), "")], "none: every row is empty"),
        ([(id_of(0), "Sport"), (id_of(1), "x")], "'Sport' \\(1 rows\\), 'x' \\(1 rows\\)"),
        ([("other:0", "sport"), (id_of(7), "sport")], "'other:0', 'pool.parquet:7'"),
        (
            [(id_of(0), "sport"), (id_of(0), "space")],
            r"pool\.parquet:0 \(space\), pool\.parquet:0 \(sport\)",
        ),
    ],
)
def test_wrong_answers_are_refused_and_nothing_is_written(
    tiny_run: Path, tmp_path: Path, given: Answers, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        take(tiny_run, tmp_path, list(given))
    assert not (tmp_path / "new.jsonl").exists()


def test_everything_that_is_wrong_is_reported_at_once(tiny_run: Path, tmp_path: Path) -> None:
    given = [(id_of(0), "sport"), (id_of(0), "space"), (id_of(1), "x"), ("y", "sport")]
    with pytest.raises(InputError) as caught:
        take(tiny_run, tmp_path, list(given))
    assert len(caught.value.problems) == 3


def test_a_text_that_the_pool_has_twice_cannot_get_two_labels(
    config_for: Callable[..., RunConfig], tmp_path: Path
) -> None:
    inputs = samples.write_inputs(tmp_path / "in")
    texts = samples.pool_texts()
    samples.write_pool(inputs / "pool.parquet", [*texts, texts[0]])
    run = tmp_path / "twice"
    label_pool(config_for(run, inputs))
    with pytest.raises(InputError, match=r":0 \(space\), pool\.parquet:40 \(sport\)"):
        take(run, tmp_path, [(id_of(40), "sport"), (id_of(0), "space")])
    taken = take(run, tmp_path, [(id_of(40), "sport"), (id_of(0), "sport")])
    assert (taken.added, taken.confirmed) == (1, 1)


def test_two_people_who_agree_are_one_answer(tiny_run: Path, tmp_path: Path) -> None:
    assert take(tiny_run, tmp_path, [(id_of(0), "sport")] * 2).added == 1


def test_answers_to_texts_that_the_pool_does_not_have_are_refused(
    tiny_run: Path, tmp_path: Path
) -> None:
    text = str(samples.pool_texts()[0])
    with pytest.raises(InputError, match=r"other texts: 'pool\.parquet:1'"):
        take(tiny_run, tmp_path, [(id_of(0), "sport", text), (id_of(1), "sport", text)], "text")
    spaced = text.replace(" ", "\r\n")  # what a spreadsheet may do to white space
    assert take(tiny_run, tmp_path, [(id_of(0), "sport", spaced)], "text").added == 1


def test_a_labeled_set_that_is_there_stays(tiny_run: Path, tmp_path: Path) -> None:
    path = answers(tmp_path / "a.csv", [(id_of(0), "sport")])
    (tmp_path / "mine.jsonl").write_text("mine")
    for name, message in (("mine.jsonl", "a name that is free"), ("new.csv", ".jsonl or .parquet")):
        with pytest.raises(InputError, match=message):
            take_answers(tiny_run, path, tmp_path / name, SILENT)
    assert (tmp_path / "mine.jsonl").read_text() == "mine"


def test_without_a_name_the_set_lies_beside_the_run_under_a_name_that_is_free(
    run_copy: Path, tmp_path: Path
) -> None:
    path = answers(tmp_path / "a.csv", [(id_of(0), "sport")])
    names = [take_answers(run_copy, path, None, SILENT).path.name for _ in range(2)]
    assert names == ["news-labeled-1.jsonl", "news-labeled-2.jsonl"]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_what_goes_out_comes_back_with_every_answer(
    tiny_run: Path, tmp_path: Path, format: str
) -> None:
    path = tmp_path / f"r.{format}"
    _, chosen = write_review(tiny_run, path, 6, SILENT)
    if format == "csv":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [{**row, "answer": row["label"]} for row in csv.DictReader(stream)]
        with path.open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, rows[0])
            table.writeheader()
            table.writerows(rows)
    else:
        rows = [{**row, "answer": row["label"]} for row in rows_of(path)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    taken = take_answers(tiny_run, path, tmp_path / "new.jsonl", SILENT)
    assert taken.added == 6
    assert [(row["id"], row["label"]) for row in rows_of(taken.path)[12:]] == [
        (row.id, row.label) for row in chosen
    ]


def test_answers_in_another_encoding_are_refused_not_taken_for_none(
    tiny_run: Path, tmp_path: Path
) -> None:
    """A spreadsheet saves "Störung" in the encoding of its country; every such answer was lost."""
    path = tmp_path / "a.csv"
    path.write_bytes(f"id,answer\n{id_of(0)},sport\n{id_of(1)},St\xf6rung\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"row 2: not valid UTF-8"):
        take_answers(tiny_run, path, tmp_path / "new.jsonl", SILENT)


def test_ids_that_a_database_has_padded_are_found_again(
    config_for: Callable[..., RunConfig], tmp_path: Path
) -> None:
    texts = [text for text in samples.pool_texts() if text and text.strip()]
    rows = [(f"{number}  ", text) for number, text in enumerate(texts)]
    pool = samples.write_csv(tmp_path / "pool.csv", rows, ("id", "text"))
    config = config_for(pool=str(pool))
    label_pool(config)
    assert take(Path(config.out), tmp_path, [("0  ", "sport")]).added == 1


@pytest.mark.parametrize("name", ["new.jsonl", "new.parquet"])
def test_a_labeled_set_with_dates_and_sources_of_its_own_takes_answers(
    config_for: Callable[..., RunConfig], tmp_path: Path, name: str
) -> None:
    texts, labels = zip(*samples.labeled_rows(), strict=True)
    when = [datetime(2026, 1, 1)] * len(texts)
    labeled = tmp_path / "labeled.parquet"
    pq.write_table(
        pa.table({"text": texts, "label": labels, "date": when, "source": range(len(texts))}),
        labeled,
    )
    config = config_for(labeled=str(labeled))
    label_pool(config)
    given = answers(tmp_path / "a.csv", [(id_of(0), "sport")])
    taken = take_answers(Path(config.out), given, tmp_path / name, SILENT)
    assert len(read_labeled(taken.path, ["text"], list(samples.LABELS))) == len(texts) + 1


def test_an_id_that_the_pool_has_twice_is_shown_to_nobody(
    config_for: Callable[..., RunConfig], tmp_path: Path
) -> None:
    """One row's text stood beside the other's label."""
    texts = [text for text in samples.pool_texts() if text and text.strip()]
    (tmp_path / "pool").mkdir()
    for day, own in (("one", texts[:20]), ("two", texts[20:])):
        rows = [(str(number), text) for number, text in enumerate(own)]
        samples.write_csv(tmp_path / "pool" / f"{day}.csv", rows, ("id", "text"))
    config = config_for(pool=str(tmp_path / "pool"))
    listener = samples.Listener()
    label_pool(config, observer=listener)
    assert any("stand on earlier rows, too" in line for line in listener.said)
    review = tmp_path / "review.csv"
    write_review(Path(config.out), review, 40, SILENT)
    with review.open(encoding="utf-8-sig", newline="") as stream:
        shown = [row["id"] for row in csv.DictReader(stream)]
    twice = {str(number) for number in range(len(texts) - 20)}
    assert shown
    assert not twice & set(shown)


def test_the_command_repeats_the_run_with_the_new_labeled_set(
    run_copy: Path, tmp_path: Path
) -> None:
    labeled = samples.write_csv(
        tmp_path / "my labels.csv", samples.labeled_rows(), ("text", "label")
    )
    before = load_config(run_copy / "config.json")
    words = shlex.split(next_command(run_copy, before, str(labeled)))
    assert words[:2] == ["pet", "run"]
    done = CliRunner().invoke(cli.app, [*words[1:], "--plain"])
    assert done.exit_code == 0, done.output
    after = load_config(run_copy.with_name("news-2") / "config.json")
    own = {"labeled": str(labeled), "out": str(run_copy.with_name("news-2"))}
    assert after == before.model_copy(update=own)


def test_a_task_file_that_is_gone_is_taken_from_the_run(run_copy: Path) -> None:
    config = load_config(run_copy / "config.json")
    gone = config.model_copy(update={"task": "gone.toml"})
    assert shlex.split(next_command(run_copy, gone, "l.csv"))[2] == str(run_copy / "task.toml")


def test_answers_that_the_next_run_would_not_learn_from_are_not_taken_in_silence(
    finished_run: Callable[..., Path], tiny_run: Path, tmp_path: Path
) -> None:
    """Thirty more answers, and no model learned from any of them."""
    run = finished_run("untrained", member={"steps": 0}, generations=0)
    taken = take(run, tmp_path, [(id_of(0), "sport")])
    assert taken.unused.startswith("no model learns from the 13 labeled rows: member.steps=0")
    (tmp_path / "learned").mkdir()
    assert not take(tiny_run, tmp_path / "learned", [(id_of(0), "sport")]).unused
    report = read_json(run / "report.json")
    assert report["unused_labels"].startswith("no model learns from the 12 labeled rows")
    assert "which none of them learned from" in (run / "student" / "README.md").read_text()
    assert not read_json(tiny_run / "report.json")["unused_labels"]
