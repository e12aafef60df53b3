"""Rows out to people: CSV and JSON Lines for anyone, JSON for Label Studio and Argilla."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from pet.errors import InputError, Problem
from pet.escaping import escape_formula
from pet.reviewing.answer_form import AnswerForm
from pet.storage.files import write_json, write_text, writing

ROW_ID = "row_id"  # Label Studio gives every task an `id` of its own

ANSWER = "answer"

OWN = ("id", "label", "confidence", "probabilities", "why", ANSWER, "annotator", "date")

STUDIO_OWN = (
    ROW_ID,
    *OWN,
    "annotation_id",
    "created_at",
    "updated_at",
    "lead_time",
    "was_cancelled",
)

_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*")  # what Argilla takes for a field's name


@dataclass(frozen=True)
class ReviewRow:
    """A row for a person to look at.

    Attributes:
        texts: field -> text.
        label: what is predicted, as `AnswerForm` writes it; "" where it is not shown, so that
            nobody is led by it.
        probabilities: label -> probability.
        why: in words, why it was chosen.
    """

    id: str
    texts: Mapping[str, str]
    label: str
    confidence: float
    probabilities: Mapping[str, float]
    why: str


@dataclass(frozen=True)
class ReviewTask:
    """What the person is asked: the task's description, its fields and labels, and which run.

    Attributes:
        several: whether a text may have several labels, or none.
    """

    description: str
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    run: str
    several: bool = False

    @property
    def form(self) -> AnswerForm:
        """What an answer is."""
        return AnswerForm(self.labels, self.several)


def format_of(path: Path, name: str | None) -> str:
    """Return the format's name: as given, or by the file's ending.

    Raises:
        InputError: the ending is of no format, or contradicts the name.
    """
    endings = {"csv": ".csv", "jsonl": ".jsonl", "label-studio": ".json", "argilla": ".json"}
    found = path.suffix.lower()
    fitting = [key for key, ending in endings.items() if ending == found]
    if name is None and fitting:
        return fitting[0]
    if name in fitting:
        return str(name)
    if name is not None and name not in endings:
        raise InputError(
            Problem(
                "--format",
                f"one of {', '.join(endings)}",
                repr(name),
                "leave it out: the file's ending gives it",
            )
        )
    expected = endings[name] if name else ".csv, .jsonl or .json"
    raise InputError(
        Problem(
            f"--out {path}",
            f"a file name that ends in {expected}",
            found or "no ending",
            "for example --out review.csv, or review.json for Label Studio",
        )
    )


def write_rows(path: Path, format: str, rows: Sequence[ReviewRow], task: ReviewTask) -> list[Path]:
    """Write the rows in one step; return the files, a labeling configuration among them."""
    if format == "label-studio":
        config = path.with_suffix(".xml")
        write_text(config, studio_config(task))
        # Last: after a kill in between, the same command writes both.
        write_json(path, [_studio_task(row, task) for row in rows])
        return [path, config]
    if format == "argilla":
        write_json(path, [_argilla_record(row, task) for row in rows])
        return [path]
    flat = [_flat(row, task) for row in rows]
    if format == "jsonl":
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in flat)
        write_text(path, "".join(lines))
    else:
        _write_csv(path, flat, task.fields)
    return [path]


def check_config(path: Path, task: ReviewTask) -> None:
    """Refuse a labeling configuration beside `path` that is not the one of this task.

    Raises:
        InputError: there is such a file.
    """
    config = path.with_suffix(".xml")
    if config.exists() and (
        not config.is_file() or config.read_bytes() != studio_config(task).encode()
    ):
        raise taken_name(config)


def taken_name(path: Path) -> InputError:
    """Explain that something is in the place of a file of rows."""
    return InputError(
        Problem(
            str(path),
            "a name that is free: answers may stand in a file that is there",
            "a file",
            "choose another --out, or remove it",
        )
    )


def file_names(fields: Sequence[str]) -> dict[str, str]:
    """Name the fields' columns in CSV and JSON Lines: their own names, where those are free."""
    return _names(fields, OWN, lambda name: True)


def tool_names(fields: Sequence[str]) -> dict[str, str]:
    """Name the fields in Label Studio and Argilla, which take plain names only."""
    return _names(fields, STUDIO_OWN, lambda name: _PLAIN_NAME.fullmatch(name) is not None)


def _names(
    fields: Sequence[str], taken: Sequence[str], allowed: Callable[[str], bool]
) -> dict[str, str]:
    names = {}
    for number, field in enumerate(fields, start=1):
        name = field
        if not allowed(field) or field in taken:
            name = f"text_{number}"
            while name in fields:
                name += "_"
        names[field] = name
    return names


def _flat(row: ReviewRow, task: ReviewTask) -> dict[str, Any]:
    names = file_names(task.fields)
    return {
        "id": row.id,
        **{names[field]: row.texts[field] for field in task.fields},
        **_prediction(row, task),
        "why": row.why,
        ANSWER: "",
    }


def _prediction(row: ReviewRow, task: ReviewTask) -> dict[str, Any]:
    if not row.label:
        return {"label": "", "confidence": "", "probabilities": {}}
    shown = {"label": task.form.value(row.label), "confidence": row.confidence}
    return {**shown, "probabilities": dict(row.probabilities)}


def _write_csv(path: Path, rows: Sequence[dict[str, Any]], fields: Sequence[str]) -> None:
    header = ["id", *file_names(fields).values(), *OWN[1:6]]
    with (
        writing(path) as temporary,
        # The mark at the start lets Excel read the file as UTF-8.
        temporary.open("w", encoding="utf-8-sig", newline="") as stream,
    ):
        table = csv.writer(stream)
        table.writerow(map(escape_formula, header))
        for row in rows:
            table.writerow([escape_formula(_cell(row[name])) for name in header])


def _cell(value: Any) -> str:
    nested = isinstance(value, dict | list)
    return json.dumps(value, ensure_ascii=False) if nested else str(value)


def _studio_task(row: ReviewRow, task: ReviewTask) -> dict[str, Any]:
    """Lay out a row as Label Studio's JSON: https://labelstud.io/guide/predictions"""
    names = tool_names(task.fields)
    return {
        "data": {
            ROW_ID: row.id,
            **{names[field]: row.texts[field] for field in task.fields},
            **_prediction(row, task),
            "why": row.why,
        },
        "predictions": []
        if not row.label
        else [
            {
                "model_version": task.run,
                "score": row.confidence,
                "result": [
                    {
                        "from_name": ANSWER,
                        "to_name": names[task.fields[0]],
                        "type": "choices",
                        "value": {"choices": task.form.names(row.label)},
                    }
                ],
            }
        ],
    }


def studio_config(task: ReviewTask) -> str:
    """Write Label Studio's labeling configuration: every field, then a choice of the labels."""
    names = tool_names(task.fields)
    lines = ["<View>", f"  <Header value={quoteattr(task.description or 'Which label?')}/>"]
    for field in task.fields:
        if len(task.fields) > 1:
            lines.append('  <Header size="5" value=' + quoteattr(field) + "/>")
        lines.append(f'  <Text name="{names[field]}" value="${names[field]}"/>')
    first = names[task.fields[0]]
    how = 'choice="multiple"' if task.several else 'choice="single" required="true"'
    lines.append(f'  <Choices name="{ANSWER}" toName="{first}" {how}>')
    lines += [f"    <Choice value={quoteattr(label)}/>" for label in task.labels]
    return "\n".join([*lines, "  </Choices>", "</View>", ""])


def _argilla_record(row: ReviewRow, task: ReviewTask) -> dict[str, Any]:
    """Lay out a row as `rg.Record.to_dict` does, for `dataset.records.from_json`."""
    names = tool_names(task.fields)
    return {
        "id": row.id,
        "fields": {names[field]: row.texts[field] for field in task.fields},
        "metadata": {"why": row.why, **({"confidence": row.confidence} if row.label else {})},
        "suggestions": {
            ANSWER: {
                "value": task.form.value(row.label),
                "score": row.confidence,
                "agent": task.run,
            }
        }
        if row.label
        else {},
        "responses": {},
        "vectors": {},
    }
