"""What people answered, read back: our CSV and JSON Lines, exports of Label Studio and Argilla."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pet.data.columns import listed
from pet.data.data_files import UNSTATED, CsvFormat, special_kind
from pet.data.readers import open_sources, read_answers, with_columns
from pet.data.spreadsheets import is_escaped
from pet.data.text_readers import is_unicode
from pet.errors import InputError, Problem, input_error
from pet.escaping import unescape_formula
from pet.reviewing.annotation_files import ANSWER, ROW_ID, file_names, tool_names
from pet.reviewing.answer_form import ONE_LABEL, AnswerForm, NotAnAnswer, identity, plain_text

Record = Mapping[str, Any]

SUFFIXES = (".csv", ".jsonl", ".json")


@dataclass(frozen=True)
class Annotation:
    """One person's answer to one row.

    Attributes:
        label: the answer as `AnswerForm` writes it; empty where the row was passed over.
        texts: field -> text as the file shows it, for the fields that it shows.
        annotator, date: empty where the file has none.
    """

    id: str
    label: str
    texts: Mapping[str, str]
    annotator: str = ""
    date: str = ""


def read_annotations(
    path: Path,
    fields: Sequence[str],
    written: CsvFormat = UNSTATED,
    form: AnswerForm = ONE_LABEL,
) -> list[Annotation]:
    """Read a file of answers: CSV, JSON Lines, or JSON as Label Studio and Argilla export it.

    Args:
        written: how it is written, if it is CSV.
        form: what an answer is.

    Raises:
        InputError: no such file, or rows that cannot be read; all of them at once.
    """
    found: list[Annotation] = []
    wrong: list[str] = []
    for number, record in enumerate(_records(path, written), start=1):
        try:
            own = list(_annotations(record, fields, form))
            if not all(map(is_unicode, _strings(own))):
                raise NotAnAnswer("half of a Unicode character")
            found += own
        except NotAnAnswer as error:
            wrong.append(f"row {number}: {error}")
        except (TypeError, AttributeError, KeyError):  # a number for a list, and the like
            wrong.append(f"row {number}: an answer of another form")
    if wrong:
        more = f" and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
        raise InputError(
            Problem(
                str(path),
                "a list of labels for every row"
                if form.several
                else "one label, or none, for every row",
                "; ".join(wrong[:5]) + more,
                "correct these rows",
            )
        )
    if not found:
        raise InputError(Problem(str(path), "rows with answers", "no rows", "export it again"))
    return found


def _strings(annotations: Sequence[Annotation]) -> Iterator[str]:
    for own in annotations:
        yield from (own.id, own.label, own.annotator, own.date, *own.texts.values())


def _records(path: Path, written: CsvFormat) -> Iterator[Record]:
    if path.suffix.lower() not in SUFFIXES and path.exists():
        raise InputError(
            Problem(
                str(path),
                f"a file that ends in {', '.join(SUFFIXES)}",
                path.name,
                "export CSV or JSON, or save the spreadsheet as CSV with commas",
            )
        )
    return _json_records(path) if path.suffix.lower() == ".json" else table_records(path, written)


def _json_records(path: Path) -> Iterator[Record]:
    try:
        if kind := special_kind(path):
            raise input_error(path, "a plain file", kind, "write or copy a file there")
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            Problem(str(path), "a file of answers", reason, "check the path")
        ) from None
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(
            Problem(str(path), "JSON in UTF-8", str(error).splitlines()[0], "export it again")
        ) from None
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise InputError(
            Problem(
                str(path),
                "a list of objects, as Label Studio and Argilla export it",
                "other JSON",
                "in Label Studio choose JSON, JSON-MIN or CSV; in Argilla dataset.records.to_json",
            )
        )
    yield from document


def table_records(path: Path, written: CsvFormat = UNSTATED) -> Iterator[Record]:
    """Read CSV or JSON Lines; a row that cannot be read is a problem, not a rejected row."""
    sources = [with_columns(source, None) for source in open_sources(path, written)]
    names = list(dict.fromkeys(name for source in sources for name in source.schema.names))
    is_argilla = {"fields", "responses"} <= set(names)
    if not is_argilla and not (ANSWER in names and {"id", ROW_ID} & set(names)):
        raise InputError(
            Problem(
                str(path),
                f"the columns 'id' and {ANSWER!r}",
                f"the columns {listed(names)}",
                "keep the columns of the file that `--out` wrote" + _other_commas(names),
            )
        )
    is_ours = path.suffix.lower() == ".csv" and ROW_ID not in names
    unescape = str if is_escaped(names) else unescape_formula  # whole, it has been read so already
    wrong: list[str] = []
    for source in sources:
        for chunk in read_answers(source, source.schema.names):
            for number, row in enumerate(chunk.table.to_pylist()):
                if chunk.faults[number] is not None:
                    wrong.append(f"row {chunk.first + number + 1}: {chunk.faults[number]}")
                elif is_ours:
                    yield {key: unescape(value or "") for key, value in row.items()}
                else:
                    yield {key: _parsed(key, value) for key, value in row.items()}
    if wrong:
        raise InputError(
            Problem(
                str(path),
                "rows that can be read",
                "; ".join(wrong[:5]),
                f"correct {'this row' if len(wrong) == 1 else f'these {len(wrong):,} rows'}",
            )
        )


def _other_commas(names: Sequence[str]) -> str:
    """Name what stands where commas are expected, if that is how the columns became one."""
    mark = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
    if mark is None:
        return ""
    shown = r"\t" if mark == "\t" else mark
    return f"; commas between them, or add --csv delimiter='{shown}'"


def _parsed(key: str, value: str | None) -> Any:
    """Undo what the JSON Lines reader does to nested values; anything else stays text."""
    nested = key in ("fields", "responses", "data", "annotations", ANSWER)
    if value is None or not nested or value[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _annotations(record: Record, fields: Sequence[str], form: AnswerForm) -> Iterator[Annotation]:
    """Read any of the shapes: Label Studio's tasks, Argilla's records, flat rows."""
    if isinstance(data := record.get("data"), dict) and "annotations" in record:
        yield from _of_studio(record, data, fields, form)
    elif isinstance(shown := record.get("fields"), dict):
        yield from _of_argilla(record, shown, fields, form)
    else:
        key = ROW_ID if record.get(ROW_ID) is not None else "id"
        names = tool_names(fields) if key == ROW_ID else file_names(fields)
        cancelled = str(record.get("was_cancelled") or "").lower() == "true"
        yield Annotation(
            identity(record.get(key)),
            "" if cancelled else form.read(record.get(ANSWER)),
            _texts(record, names),
            _person(record.get("annotator")),
            plain_text(record.get("date") or record.get("updated_at") or record.get("created_at")),
        )


def _of_studio(
    record: Record, data: Record, fields: Sequence[str], form: AnswerForm
) -> Iterator[Annotation]:
    """Read a task of Label Studio's; several labels that were submitted without any are none."""
    id, texts = identity(data.get(ROW_ID)), _texts(data, tool_names(fields))
    given = [own for own in record["annotations"] or [] if isinstance(own, dict)]
    if not given:
        yield Annotation(id, "", texts)
    for own in given:
        chosen = [
            result["value"].get("choices")
            for result in own.get("result") or []
            if isinstance(result, dict)
            and isinstance(result.get("value"), dict)
            and result.get("type") == "choices"
        ]
        if len(chosen) > 1:
            raise NotAnAnswer(f"{len(chosen)} choices")
        nothing = form.read([])
        label = "" if own.get("was_cancelled") else form.read(chosen[0]) if chosen else nothing
        date = own.get("updated_at") or own.get("created_at")
        yield Annotation(id, label, texts, _person(own.get("completed_by")), plain_text(date))


def _of_argilla(
    record: Record, shown: Record, fields: Sequence[str], form: AnswerForm
) -> Iterator[Annotation]:
    id, texts = identity(record.get("id")), _texts(shown, tool_names(fields))
    responses = record.get("responses")
    given = responses.get(ANSWER) if isinstance(responses, dict) else None
    if not given:
        yield Annotation(id, "", texts)
    for own in given or []:
        if not isinstance(own, dict):
            raise NotAnAnswer("a response that is no object")
        submitted = own.get("status") in (None, "submitted")
        label = form.read(own.get("value")) if submitted else ""
        yield Annotation(id, label, texts, plain_text(own.get("user_id")))


def _texts(shown: Record, names: Mapping[str, str]) -> dict[str, str]:
    found = {field: shown.get(name) for field, name in names.items()}
    return {field: text for field, text in found.items() if isinstance(text, str) and text}


def _person(value: Any) -> str:
    """Name who answered: Label Studio gives a number, an address, or a record of the user."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return plain_text(value)
