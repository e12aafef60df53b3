"""People's answers into the labeled set: checked as a whole, with where each row came from."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pet.config import CsvConfig, RunConfig
from pet.data.columns import listed, with_counts
from pet.data.pool import open_pool
from pet.ensemble.lineup import plan_members, unused_labels
from pet.ensemble.members import parse_member
from pet.errors import InputError, Problem
from pet.finished.finished_run import FinishedRun, open_run
from pet.inputs.run_tables import csv_format, labeled_of
from pet.progress import Observer
from pet.reviewing.annotations import Annotation, read_annotations
from pet.reviewing.answer_form import AnswerForm
from pet.reviewing.review_rows import texts_of_ids
from pet.settings import run_command
from pet.storage.files import read_record, sweep, write_parquet, write_text
from pet.storage.units import DONE
from pet.tasks.task import Task, column_names


def next_command(folder: Path, config: RunConfig, labeled: str) -> str:
    """Spell the command for a shell: the settings of the run in `folder`, but this labeled set."""
    changes = {"labeled": labeled, "labeled_csv": CsvConfig(), "out": str(_free_folder(folder))}
    if config.task.endswith(".toml") and not Path(config.task).exists():
        changes["task"] = str(folder / "task.toml")
    return " ".join(run_command(config.model_copy(update=changes)))


def _free_folder(folder: Path) -> Path:
    paths = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(path for path in paths if not path.exists())


PROVENANCE = ("source", "run", "annotator", "date")

RowTexts = tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """What became of a file of answers.

    Attributes:
        path: the new labeled set.
        added: rows that are new in it.
        corrected: rows of the old labeled set that have another label now.
        confirmed: rows of the old labeled set with the label that they had.
        unanswered: rows without an answer.
        next_command: the command that runs with it.
        unused: why that run would not learn from labeled rows, and what to set; or nothing.
    """

    path: Path
    added: int
    corrected: int
    confirmed: int
    unanswered: int
    next_command: str
    unused: str


def take_answers(
    folder: Path,
    answers: Path,
    out: Path | None,
    observer: Observer,
    csv: CsvConfig = CsvConfig(),  # noqa: B008
) -> Taken:
    """Write the run's labeled set with the answers in it, for the next run.

    Args:
        out: the new labeled set, `.jsonl` or `.parquet`; beside the run folder if not given.
        csv: how the file of answers is written, if it is CSV.

    Raises:
        InputError: everything that is wrong with the answers, at once; nothing is written.
    """
    run = open_run(folder)
    form = AnswerForm.of(run.task)
    sweep((out or run.folder).parent, below=False)
    out = _free_name(run.folder) if out is None else _checked_name(out)
    given = read_annotations(answers, run.task.fields, csv_format(csv, "--csv "), form)
    answered = [own for own in given if own.label]
    texts = texts_of_ids(run, {own.id for own in answered}, observer)
    problems = answer_problems(str(answers), answered, form, texts)
    if problems:
        raise InputError(problems)
    unanswered = len({own.id for own in given} - {own.id for own in answered})
    first: dict[str, Annotation] = {}
    for own in answered:
        first.setdefault(own.id, own)
    rows, counts = _merge(run, _old_rows(run), list(first.values()), texts)
    _write(out, rows)
    return Taken(
        out,
        counts["added"],
        counts["corrected"],
        counts["confirmed"],
        unanswered,
        next_command(run.folder, run.config, labeled=str(out)),
        _unused_next(run, out),
    )


def _unused_next(run: FinishedRun, path: Path) -> str:
    """Say why the next run would not learn from its labeled rows, judging by this one."""
    members = read_record(run.folder / "soft_labels" / DONE).get("weights", {})
    if any(parse_member(name).generation is not None for name in members):
        return ""
    config = run.config.model_copy(update={"labeled_csv": CsvConfig()})
    labeled = labeled_of(config, run.task, str(path))
    lineup = plan_members(config, run.task, labeled, None, sys.maxsize)
    return unused_labels(config, labeled.labels, lineup.generations[-1])


def answer_problems(
    where: str,
    answered: Sequence[Annotation],
    form: AnswerForm,
    texts: Mapping[str, Mapping[str, str]],
) -> list[Problem]:
    """Find everything that is wrong with some answers.

    Args:
        form: what an answer is.
        texts: the pool's rows: id -> field -> text.
    """
    problems = []
    if not answered:
        problems.append(
            Problem(
                where,
                "at least one answer",
                "none: every row is empty",
                "write a label into the column `answer`, or submit the annotations",
            )
        )
    unknown = Counter(name for own in answered for name in form.unknown(own.label))
    if unknown:
        problems.append(
            Problem(
                where,
                f"the task's labels: {listed(form.labels)}",
                f"other answers: {with_counts(unknown)}",
                "correct these answers; "
                + (
                    "write [] where a row has none of the labels"
                    if form.several
                    else "leave a row empty that fits no label"
                ),
            )
        )
    strange = list(dict.fromkeys(own.id for own in answered if own.id not in texts))
    if strange:
        problems.append(
            Problem(
                where,
                "ids of the run's pool",
                f"others: {listed(strange, 5)}",
                "give the answers to this run's rows, and keep the column of ids as it was",
            )
        )
    if torn := _contradictions(answered, texts):
        more = f" and {len(torn) - 5:,} more" if len(torn) > 5 else ""
        problems.append(
            Problem(
                where,
                "one answer a text",
                f"several for {'; '.join(torn[:5])}{more}",
                "settle them: keep one answer for each of these",
            )
        )
    moved = [own.id for own in answered if own.id in texts and not _same(own.texts, texts[own.id])]
    if moved:
        problems.append(
            Problem(
                where,
                "the texts that the run's pool has under these ids",
                f"other texts: {listed(moved, 5)}",
                "is it this run's file? was the pool changed since, or a text edited?",
            )
        )
    return problems


def _contradictions(
    answered: Sequence[Annotation], texts: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Describe the texts with several answers, under one id or several."""
    given: dict[RowTexts, dict[str, str]] = {}
    for own in answered:
        text = tuple(texts[own.id].values()) if own.id in texts else (own.id,)
        given.setdefault(text, {}).setdefault(own.label, own.id)
    return [
        ", ".join(f"{id} ({label})" for label, id in sorted(own.items()))
        for own in given.values()
        if len(own) > 1
    ]


def _same(shown: Mapping[str, str], texts: Mapping[str, str]) -> bool:
    """Compare texts as far as a spreadsheet keeps them: it may cut, and change white space."""
    for field, text in shown.items():
        own, whole = "".join(text.split()), "".join(texts[field].split())
        if own != whole and not (len(text) > 30_000 and whole.startswith(own)):
            return False
    return True


Row = dict[str, Any]


def _old_rows(run: FinishedRun) -> list[Row]:
    """Read the run's labeled set under its own column names, provenance of earlier rounds too."""
    config, columns = run.config, _columns(run)
    if config.labeled is None:
        return []
    table = labeled_of(config, run.task, config.labeled)
    pool = open_pool(
        config.labeled,
        run.task.fields,
        columns=columns,
        id_column=config.id_column,
        keep_columns=[*_provenance(run)],
        written=csv_format(config.labeled_csv, "--set labeled_csv."),
    )
    kept = pool.keepable([*_provenance(run)], lambda line: None)
    earlier: dict[str, Row] = {}
    for batch in pool.batches(keep_columns=kept):
        own = batch.kept.to_pylist() if batch.kept is not None else [{}] * len(batch)
        written = [{name: _written(value) for name, value in row.items()} for row in own]
        earlier.update(zip(batch.ids, written, strict=True))
    return [
        {
            config.id_name: id,
            **{columns[name]: table.columns[name][row] for name in run.task.fields},
            config.label_column: _label_of(run.task, table.labels[row]),
            **earlier.get(id, {}),
        }
        for row, id in enumerate(table.ids)
    ]


def _label_of(task: Task, known: Any) -> str | list[str]:
    """Return a labeled row's label, or the list of its labels."""
    if task.several:
        return [label for label, has in zip(task.labels, known, strict=True) if has]
    return task.labels[known]


def _written(value: object) -> str | None:
    """Write provenance as text: a set of labels may have dates and numbers of its own there."""
    return None if value is None else str(value)


def _columns(run: FinishedRun) -> dict[str, str]:
    named = column_names(run.task, run.config.text_column) or {}
    return {field: named.get(field, field) for field in run.task.fields}


def _provenance(run: FinishedRun) -> dict[str, str]:
    """Name the columns of provenance; where one is taken, it is called `review_...`."""
    config = run.config
    taken = {config.id_name, config.label_column, *_columns(run).values()}
    return {(f"review_{name}" if name in taken else name): name for name in PROVENANCE}


def _merge(
    run: FinishedRun,
    old: Sequence[Row],
    answers: Sequence[Annotation],
    texts: Mapping[str, Mapping[str, str]],
) -> tuple[list[Row], Counter[str]]:
    """Put answers behind the old rows; an answer about a text that is there replaces its label."""
    config, columns, counts = run.config, _columns(run), Counter[str]()
    form = AnswerForm.of(run.task)
    rows = [{**row, **{name: row.get(name) for name in _provenance(run)}} for row in old]
    places: dict[RowTexts, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(tuple(row[name] for name in columns.values()), []).append(place)
    ids = {row[config.id_name] for row in rows}
    for own in answers:
        values = {
            "source": "review",
            "run": run.folder.name,
            "annotator": own.annotator or None,
            "date": own.date or None,
        }
        provenance = {name: values[meaning] for name, meaning in _provenance(run).items()}
        text, label = texts[own.id], form.value(own.label)
        there = places.setdefault(tuple(text[field] for field in run.task.fields), [])
        if there:
            same = all(rows[place][config.label_column] == label for place in there)
            counts["confirmed" if same else "corrected"] += 1
            for place in there:
                rows[place] |= {config.label_column: label, **provenance}
            continue
        counts["added"] += 1
        id = own.id if own.id not in ids else f"{run.folder.name}:{own.id}"
        ids.add(id)
        there.append(len(rows))
        named = {columns[field]: text[field] for field in run.task.fields}
        rows.append({config.id_name: id, **named, config.label_column: label, **provenance})
    return rows, counts


def _free_name(folder: Path) -> Path:
    """Name a file beside the run folder that is not there yet."""
    paths = (folder.with_name(f"{folder.name}-labeled-{n}.jsonl") for n in itertools.count(1))
    return next(path for path in paths if not path.exists())


def _checked_name(out: Path) -> Path:
    if out.suffix.lower() not in (".jsonl", ".parquet"):
        raise InputError(
            Problem(
                f"--labeled {out}",
                "a name that ends in .jsonl or .parquet",
                out.suffix or "no ending",
                "texts have to stay as they are; spreadsheets run cells that begin with =",
            )
        )
    if out.exists():
        raise InputError(
            Problem(
                f"--labeled {out}",
                "a name that is free",
                "a file",
                "choose another name, or remove it",
            )
        )
    return out


def _write(out: Path, rows: Sequence[Row]) -> None:
    if out.suffix.lower() == ".parquet":
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        kinds = {name: pa.string() for name in columns}
        kinds |= {n: pa.list_(pa.string()) for n, own in rows[0].items() if isinstance(own, list)}
        arrays = {name: pa.array(values, kinds[name]) for name, values in columns.items()}
        write_parquet(out, pa.table(arrays), {})
    else:
        write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
