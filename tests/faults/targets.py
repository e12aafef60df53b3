"""What is damaged: texts and labels of every format, tasks, answers, models, a finished run."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import shutil
import tomllib
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pyarrow import feather

from pet.data.labeled import read_labeled
from pet.data.pool import open_pool
from pet.finished.finished_run import open_run
from pet.finished.inference import predict_texts
from pet.finished.labeled_pool import write_labeled_csv
from pet.finished.predictors import predictor_of
from pet.inputs.model_checks import check_patterns
from pet.models.scoring import score_columns
from pet.models.teachers import load_teacher
from pet.progress import SILENT, no_tick
from pet.reviewing.annotations import read_annotations
from pet.storage.files import read_parquet, write_parquet
from pet.student.student_folder import open_student
from pet.tasks.compilation import pattern_encoder
from pet.tasks.task import load_task, parse_task
from tests.faults.damage import Target
from tests.faults.scenarios import Samples
from tests.support import samples

ROWS = [
    (f"row {number}", text.replace("game", 'game, "they said"'), label)
    for number, (text, label) in enumerate(samples.labeled_rows() * 2)
]
COLUMNS = ("id", "text", "label")
TEXTS = ["the team won", "a rocket to the moon", "the price of the stock"]


def targets(starting: Samples, folder: Path) -> list[list[Target]]:
    """List them by kind, in folders of their own below `folder`; frequent kinds several times."""
    tables, own = list(_tables(folder / "tables")), list(_own_tables(folder / "own"))
    tasks = list(_tasks(folder / "task"))
    answers = list(_answers(folder / "answers"))
    models = list(_models(starting.inputs, starting.model, folder / "model"))
    student = list(_students(starting.run, folder / "student"))
    run = list(_runs(starting.run, folder / "run"))
    return [*[tables] * 6, own, *[tasks] * 2, *[answers] * 2, *[models] * 2, student, run]


def _tables(folder: Path) -> Iterable[Target]:
    """Labeled sets as others write them; several of each kind, since they are met most."""
    folder.mkdir(parents=True)
    table = pa.table(dict(zip(COLUMNS, map(list, zip(*ROWS, strict=True)), strict=True)))
    writers: dict[str, Callable[[Path], object]] = {
        "a.csv": lambda path: samples.write_csv(path, ROWS, COLUMNS),
        "a.tsv": lambda path: path.write_bytes(_csv_bytes("\t")),
        "a.jsonl": lambda path: path.write_bytes(_json_lines()),
        "a.csv.gz": lambda path: path.write_bytes(gzip.compress(_csv_bytes(","), mtime=0)),
        "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(_json_lines(), mtime=0)),
        "a.parquet": lambda path: pq.write_table(table, path),
        "b.parquet": lambda path: pq.write_table(
            table, path, use_dictionary=False, compression="none", write_page_checksum=True
        ),
        "c.parquet": lambda path: pq.write_table(
            table, path, data_page_version="2.0", compression="gzip", row_group_size=5
        ),
        "d.parquet": lambda path: pq.write_table(
            table,
            path,
            use_dictionary=False,
            column_encoding={"text": "DELTA_BYTE_ARRAY", "id": "DELTA_LENGTH_BYTE_ARRAY"},
        ),
        "a.feather": lambda path: feather.write_feather(table, path),
        "b.feather": lambda path: feather.write_feather(table, path, compression="uncompressed"),
        "a.arrow": lambda path: _write_stream(table, path),
    }
    for name, write in writers.items():
        path = folder / name
        write(path)
        yield Target(f"labeled {name}", path, path.read_bytes(), _read_rows, _are_rows(name))


def _csv_bytes(delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([COLUMNS, *ROWS])
    return text.getvalue().encode()


def _json_lines() -> bytes:
    rows = (dict(zip(COLUMNS, row, strict=True)) for row in ROWS)
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def _write_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table)


def _read_rows(path: Path) -> list[tuple[str, str, str]]:
    """Read a file as a pool and as a labeled set."""
    pool = open_pool(path, ["text"])
    kept = [name for name in ("label",) if all(name in own.schema.names for own in pool.sources)]
    batches = list(pool.batches(7, kept))
    assert sum(len(own) + len(own.rejected) for own in batches) == pool.count_rows()
    found = read_labeled(path, ["text"], samples.LABELS, max_rejected=1.0)
    labels = [samples.LABELS[index] for index in found.labels]
    return list(zip(found.ids, found.columns["text"], labels, strict=True))


def _are_rows(name: str) -> Callable[[Any, bytes], bool]:
    """Each row is one that was written, or stands so in the damaged file."""

    def check(found: Any, content: bytes) -> bool:
        if name == "b.parquet":  # its pages have checksums
            return bool(found == ROWS)
        if not name.endswith((".csv", ".tsv", ".jsonl", ".gz")):
            return True
        content = _unpacked(content) if name.endswith(".gz") else content
        delimiter = "\t" if ".tsv" in name else ","
        rows = [set(row) for row in _rows_as_others_read_them(content, delimiter)]
        return all(
            row in ROWS or any({value.strip() for value in row[1:]} <= own for own in rows)
            for row in found
        )

    return check


def _unpacked(content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, ValueError, zlib.error):
        return b""


def _rows_as_others_read_them(content: bytes, delimiter: str) -> Iterator[list[str]]:
    """Read JSON, JSON Lines or CSV, line by line and as a whole, with Python's own modules."""
    text = content.decode("utf-8-sig", "replace")
    for document in (text, *text.splitlines()):
        with contextlib.suppress(ValueError, RecursionError):
            records = json.loads(document)
            yield from map(_values, records if isinstance(records, list) else [records])
    for lines in (text.splitlines(keepends=True), *([own] for own in text.splitlines())):
        rows = csv.reader(lines, delimiter=delimiter)
        while True:
            try:
                yield [value.strip() for value in next(rows)]
            except csv.Error:
                continue
            except StopIteration:
                break


def _values(record: Any) -> list[str]:
    """Return everything that stands in a record, as text."""
    parts = record.values() if isinstance(record, dict) else record
    if not isinstance(record, dict | list):
        return [str(record).strip()]
    return [value for part in parts for value in _values(part)]


def _own_tables(folder: Path) -> Iterable[Target]:
    """Parquet that we write, with a checksum in every page."""
    path = folder / "a.parquet"
    columns = dict(zip(COLUMNS, map(list, zip(*ROWS, strict=True)), strict=True))
    table = pa.table({**columns, "confidence": np.linspace(0, 1, len(ROWS))})
    write_parquet(path, table, {"run": "r"})

    def read(path: Path) -> pa.Table:
        return read_parquet(path, table.schema.names)

    yield Target("own Parquet", path, path.read_bytes(), read, lambda found, _: found == table)


def _tasks(folder: Path) -> Iterable[Target]:
    folder.mkdir(parents=True)
    for name, text in (("task", samples.task_toml()), ("tickets", samples.TICKETS)):
        path = folder / f"{name}.toml"
        path.write_text(text, encoding="utf-8")

        def is_right(task: Any, content: bytes) -> bool:
            document = tomllib.loads(content.decode("utf-8-sig"))
            names = tuple(own.name for own in task.patterns)
            fields = tuple(document["fields"])
            labels, patterns = tuple(document["labels"]), tuple(document["patterns"])
            return (task.labels, task.fields, names) == (labels, fields, patterns)

        yield Target(path.name, path, path.read_bytes(), load_task, is_right)


ANSWERED = [
    (f"pool.parquet:{n}", label, text) for n, (text, label) in enumerate(samples.test_rows())
]


def _answers(folder: Path) -> Iterable[Target]:
    """Rows that people labeled: as our CSV, JSON Lines, Label Studio's and Argilla's JSON."""
    folder.mkdir(parents=True)
    ours = [
        {"id": id, "text": text, "label": "space", "answer": label} for id, label, text in ANSWERED
    ]
    studio = [
        {
            "id": place,
            "data": {"row_id": id, "text": text},
            "annotations": [
                {"result": [{"type": "choices", "value": {"choices": [label]}}], "completed_by": 1}
            ],
        }
        for place, (id, label, text) in enumerate(ANSWERED)
    ]
    argilla = [
        {
            "id": id,
            "status": "completed",
            "fields": {"text": text},
            "metadata": {},
            "responses": {"answer": [{"value": label, "user_id": "u", "status": "submitted"}]},
        }
        for id, label, text in ANSWERED
    ]
    keys = list(ours[0])
    samples.write_csv(folder / "a.csv", [list(row.values()) for row in ours], keys)
    (folder / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ours))
    (folder / "studio.json").write_text(json.dumps(studio))
    (folder / "argilla.json").write_text(json.dumps(argilla))

    def read(path: Path) -> list[tuple[str, str]]:
        return [(own.id, own.label) for own in read_annotations(path, ["text"])]

    known = {id: label for id, label, _ in ANSWERED}

    def is_right(found: Any, content: bytes) -> bool:
        """Answers of rows, and of labels, that nobody has are refused by what asks for these."""
        rows = [set(row) for row in _rows_as_others_read_them(content, ",")]
        return all(
            known.get(id, label) == label
            or label not in {"", *samples.LABELS}
            or any({id, label} - {""} <= row for row in rows)
            for id, label in found
        )

    for path in sorted(folder.iterdir()):
        intact = read(path)
        assert intact == [(id, label) for id, label, _ in ANSWERED], path.name
        yield Target(f"answers {path.name}", path, path.read_bytes(), read, is_right)


def _files(folder: Path, original: Path) -> list[Path]:
    shutil.copytree(original, folder)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _models(inputs: Path, original: Path, folder: Path) -> Iterable[Target]:
    """A model folder of others: refused, or all of its scores are numbers."""
    task = parse_task(samples.task_toml(), "task")
    config = samples.tiny_config(inputs, folder, folder)

    def read(path: Path) -> Any:
        check_patterns(config, task)
        model = load_teacher(config.model_ref, torch.device("cpu"))
        pattern = task.patterns[0]
        encoder = pattern_encoder(model.tokenizer, pattern, task.words[pattern.name], "masked", 32)
        return score_columns(model, encoder, {"text": TEXTS}, 512, no_tick)

    for path in _files(folder, original):
        yield Target(
            f"model {path.name}", path, path.read_bytes(), read, lambda s, _: np.isfinite(s).all()
        )


def _students(run: Path, folder: Path) -> Iterable[Target]:
    """A student by itself, of which every file that is loaded is under a digest."""
    shutil.rmtree(folder, ignore_errors=True)
    student = open_student(run / "student", device="cpu")
    student.save(folder)
    intact = student.probabilities({"text": TEXTS})

    def read(path: Path) -> Any:
        return open_student(folder, device="cpu").probabilities({"text": TEXTS})

    for path in sorted(folder.iterdir()):
        yield Target(
            f"student {path.name}",
            path,
            path.read_bytes(),
            read,
            lambda s, _: np.array_equal(s, intact),
        )


def _runs(run: Path, folder: Path) -> Iterable[Target]:
    """A finished run: it predicts and exports as before, or refuses."""

    def read(path: Path) -> Any:
        opened = open_run(folder)
        room = folder.with_name("exported")
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir()
        write_labeled_csv(opened, None, None, room, SILENT)
        written = {own.name: own.read_bytes() for own in sorted(room.iterdir())}
        found = [(own["label"], own["confidence"]) for own in predict_texts(folder, TEXTS)]
        ensemble = predictor_of(opened, "ensemble")({"text": TEXTS}, no_tick)
        return found, written, ensemble.probabilities.tolist()

    files = _files(folder, run)
    intact = read(folder)
    for path in files:
        name = path.relative_to(folder).as_posix()
        yield Target(f"run {name}", path, path.read_bytes(), read, lambda s, _: s == intact)
