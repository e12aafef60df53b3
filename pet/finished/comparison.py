"""What changed between two sets of labels, row by row, in bounded memory."""

from __future__ import annotations

import functools
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.data.data_files import ENDINGS, find_files
from pet.data.label_values import indicators
from pet.data.pool import SEVERAL
from pet.errors import InputError, Problem
from pet.storage.files import read_parquet, read_parquet_batches
from pet.student.answered_rows import PERSON

ROWS_AT_ONCE = 1_000_000  # rows of one side that are joined in memory

EXAMPLES = 20

BY_PLACE = rf"(?i)({'|'.join(ENDINGS.values())}):\d+$"  # how ids are made where a pool has none

BETWEEN = "\x1f"  # between the labels of a row that are joined into one text

COLUMNS = ["id", "label", "confidence", "abstain"]

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("abstain", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class LabelFiles:
    """A folder of label files.

    Attributes:
        labels: in the task's order.
        people: rows that people have labeled.
        several: whether a row may have several labels, or none.
        made: the files' own metadata: task, run, model version.
    """

    path: Path
    files: list[Path]
    labels: list[str]
    rows: int
    people: int
    several: bool
    made: dict[str, str]


def open_labels(path: Path) -> LabelFiles:
    """Open the label files of a run, or of any folder of them.

    Raises:
        InputError: there is none, or a file is no label file.
    """
    folder = path / "labels" if (path / "config.json").is_file() else path
    files = [file for file in find_files(folder).files if file.suffix == ".parquet"]
    labels: dict[str, None] = {}
    made: dict[str, str] = {}
    rows = people = 0
    several = False
    problems = []
    for file in files:
        try:
            footer = pq.read_metadata(file)
            schema = footer.schema.to_arrow_schema()
            given = _given(schema)
            needed = (*COLUMNS, "probabilities")
            missing = [n for n in needed if n not in schema.names and (n != "label" or not given)]
        except pa.ArrowInvalid:
            missing = ["a whole Parquet file"]
        if missing:
            problems.append(
                Problem(
                    str(file),
                    "label files, as `pet run` and `pet label` write them",
                    f"a file without {', '.join(missing)}",
                    "give a run or a label folder",
                )
            )
            continue
        rows += footer.num_rows
        several |= given == SEVERAL
        if "source" in schema.names:
            sources = read_parquet(file, ["source"])["source"]
            people += pc.sum(pc.equal(sources, PERSON)).as_py() or 0
        labels |= dict.fromkeys(field.name for field in schema.field("probabilities").type)
        stored = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
        made |= {k: stored[k] for k in ("task", "run", "model_version") if stored.get(k)}
    if problems or not files:
        raise InputError(
            problems[:5] or Problem(str(path), "label files", "none", "give a run or their folder")
        )
    return LabelFiles(folder, files, list(labels), rows, people, several, made)


def _given(schema: pa.Schema) -> str | None:
    """Name the column of a label file's labels; None where there is none."""
    return next((name for name in ("label", SEVERAL) if name in schema.names), None)


def compare_labels(before: Path, after: Path) -> dict[str, Any]:
    """Join two sets of labels by row id and count what changed.

    Memory does not grow with the rows: they are first dealt into small files by their id.

    Returns:
        counts of rows (common, changed, only in one, ids that occur twice), shares per label on
        both sides, `confusion` (labels before by labels after), the most confident changes, and
        whether rows are matched `by_place`: by file and number, where they have no own ids. Where
        a row may have several labels, in the place of `confusion` is `by_label`: of the common
        rows, those that kept, got and lost each label; a row of one label counts as a list of it.
    """
    sides = [open_labels(before), open_labels(after)]
    labels = list(dict.fromkeys(label for side in sides for label in side.labels))
    parts = 1 + max(side.rows for side in sides) // ROWS_AT_ONCE
    several = any(side.several for side in sides)
    found: _Found = _FoundSets(labels) if several else _FoundOne(labels)
    with tempfile.TemporaryDirectory(prefix="pet-diff-") as room:
        dealt = [_deal(side, parts, Path(room) / str(n)) for n, side in enumerate(sides)]
        for part in range(parts):
            found.add(*(deal(part) for deal in dealt))
    return {
        **{
            name: {"path": str(path), **side.made, "rows": side.rows, "people": side.people}
            for name, path, side in zip(("before", "after"), (before, after), sides, strict=True)
        },
        **found.result(),
    }


def _deal(side: LabelFiles, parts: int, room: Path) -> Any:
    """Return the function that reads one part of the rows; equal ids come into equal parts."""
    if parts == 1:
        return lambda part: _unique(pa.concat_tables([SCHEMA.empty_table(), *_tables(side)]))
    room.mkdir()
    names = [room / f"{part}.arrow" for part in range(parts)]
    writers = [pa.ipc.new_file(str(name), SCHEMA) for name in names]
    for table in _tables(side):
        ids = table["id"].to_pylist()
        place = np.fromiter((zlib.crc32(i.encode()) % parts for i in ids), np.int64, len(ids))
        for part in np.unique(place):
            writers[part].write_table(table.filter(pa.array(place == part)))
    for writer in writers:
        writer.close()
    return lambda part: _unique(pa.ipc.open_file(str(names[part])).read_all())


def _tables(side: LabelFiles) -> Iterator[pa.Table]:
    """Read label files; of several labels `label` is all of a row's, as one text."""
    names = [SEVERAL if side.several and name == "label" else name for name in COLUMNS]
    for file in side.files:
        for batch in read_parquet_batches(file, 100_000, names):
            table = pa.Table.from_batches([batch]).select(names).rename_columns(COLUMNS)
            if side.several:
                unsure = functools.reduce(pc.or_, table["abstain"].combine_chunks().flatten())
                table = table.set_column(1, "label", pc.binary_join(table["label"], BETWEEN))
                table = table.set_column(3, "abstain", pa.chunked_array([unsure]))
            yield table.cast(SCHEMA)


def _unique(table: pa.Table) -> tuple[pa.Table, int]:
    """Keep the first row of every id; count the others."""
    wanted = [(name, "first") for name in COLUMNS[1:]]
    unique = table.group_by("id", use_threads=False).aggregate(wanted)
    names = {f"{name}_first": name for name in COLUMNS[1:]}
    unique = unique.rename_columns([names.get(name, name) for name in unique.column_names])
    return unique.select(COLUMNS), len(table) - len(unique)


class _Found(ABC):
    """What has been counted so far."""

    def __init__(self, labels: Sequence[str]):
        self.labels = list(labels)
        self.twice = [0, 0]
        self.confidence = [0.0, 0.0]
        self.abstaining = [0, 0]
        self.common = self.changed = 0
        self.rows = np.zeros(2, np.int64)
        self.of_label = np.zeros((2, len(labels)), np.int64)
        self.examples: list[dict[str, Any]] = []
        self.by_place = True

    @abstractmethod
    def count(self, old: pa.ChunkedArray, new: pa.ChunkedArray) -> NDArray[np.bool_]:
        """Count joined rows, whose labels are null on a side that lacks them.

        Returns:
            which rows are on both sides with other labels. [rows]
        """

    @abstractmethod
    def detail(self) -> dict[str, Any]:
        """Return what became of each label."""

    def shown(self, label: str) -> Any:
        """Return a row's label, or labels, as examples show them."""
        return label

    def add(self, before: tuple[pa.Table, int], after: tuple[pa.Table, int]) -> None:
        for side, (table, twice) in enumerate((before, after)):
            self.twice[side] += twice
            self.confidence[side] += pc.sum(table["confidence"]).as_py() or 0.0
            self.abstaining[side] += pc.sum(table["abstain"]).as_py() or 0
            at_place = pc.all(pc.match_substring_regex(table["id"], BY_PLACE))
            self.by_place &= at_place.as_py() is not False  # None: no rows in this part
        joined = before[0].join(
            after[0], "id", join_type="full outer", right_suffix="_after", use_threads=False
        )
        old, new = joined["label"], joined["label_after"]
        here, there = (np.asarray(pc.is_valid(side)) for side in (old, new))
        self.rows += np.array([here.sum(), there.sum()])
        self.common += int((here & there).sum())
        changed = self.count(old, new)
        self.changed += int(changed.sum())
        self._keep_examples(joined.filter(pa.array(changed)))

    def _keep_examples(self, changed: pa.Table) -> None:
        """Keep the most confident changes, by the lower of both confidences."""
        lower = pc.min_element_wise(changed["confidence"], changed["confidence_after"])
        order = pc.sort_indices(
            pa.table({"confidence": lower, "id": changed["id"]}),
            sort_keys=[("confidence", "descending"), ("id", "ascending")],
        )
        best = changed.take(order[:EXAMPLES]).to_pylist()
        rows = [
            {
                "id": row["id"],
                "before": self.shown(row["label"]),
                "after": self.shown(row["label_after"]),
                "confidence_before": round(row["confidence"], 4),
                "confidence_after": round(row["confidence_after"], 4),
            }
            for row in best
        ]
        self.examples = sorted([*self.examples, *rows], key=_by_confidence)[:EXAMPLES]

    def result(self) -> dict[str, Any]:
        only = self.rows - self.common
        return {
            "common": self.common,
            "changed": self.changed,
            "share_changed": round(self.changed / max(self.common, 1), 6),
            "by_place": self.by_place and self.common > 0,
            "only_before": int(only[0]),
            "only_after": int(only[1]),
            "twice_before": self.twice[0],
            "twice_after": self.twice[1],
            "shares": {
                label: {
                    side: round(float(self.of_label[n, i] / max(self.rows[n], 1)), 6)
                    for n, side in enumerate(("before", "after"))
                }
                for i, label in enumerate(self.labels)
            },
            "mean_confidence": [
                round(total / max(int(rows), 1), 4)
                for total, rows in zip(self.confidence, self.rows, strict=True)
            ],
            "abstaining": self.abstaining,
            "labels": self.labels,
            **self.detail(),
            "examples": self.examples,
        }


class _FoundOne(_Found):
    """Rows of one label."""

    def __init__(self, labels: Sequence[str]):
        super().__init__(labels)
        self.confusion = np.zeros((len(labels), len(labels)), np.int64)

    def count(self, old: pa.ChunkedArray, new: pa.ChunkedArray) -> NDArray[np.bool_]:
        before, after = (self._indices(side) for side in (old, new))
        for n, side in enumerate((before, after)):
            self.of_label[n] += np.bincount(side[side >= 0], minlength=len(self.labels))
        both = (before >= 0) & (after >= 0)
        np.add.at(self.confusion, (before[both], after[both]), 1)
        return both & (before != after)

    def _indices(self, names: pa.ChunkedArray) -> NDArray[np.int64]:
        found = pc.index_in(names, value_set=pa.array(self.labels, pa.string()))
        return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int64)

    def detail(self) -> dict[str, Any]:
        return {"confusion": self.confusion.tolist()}


class _FoundSets(_Found):
    """Rows of any number of labels."""

    def __init__(self, labels: Sequence[str]):
        super().__init__(labels)
        self.kept, self.got, self.lost = np.zeros((3, len(labels)), np.int64)

    def count(self, old: pa.ChunkedArray, new: pa.ChunkedArray) -> NDArray[np.bool_]:
        both = np.asarray(pc.and_(pc.is_valid(old), pc.is_valid(new)))
        before, after = (self._sets(side) for side in (old, new))
        self.of_label += np.stack([before.sum(axis=0), after.sum(axis=0)])
        self.kept += (before & after)[both].sum(axis=0)
        self.got += (~before & after)[both].sum(axis=0)
        self.lost += (before & ~after)[both].sum(axis=0)
        return both & (before != after).any(axis=1)

    def _sets(self, texts: pa.ChunkedArray) -> NDArray[np.bool_]:
        """Return whether each row has each label, none where it is not on this side."""
        rows = [self.shown(text) if text is not None else [] for text in texts.to_pylist()]
        return indicators(rows, self.labels)

    def shown(self, label: str) -> list[str]:
        return label.split(BETWEEN) if label else []

    def detail(self) -> dict[str, Any]:
        counts = zip(self.labels, self.kept, self.got, self.lost, strict=True)
        return {
            "by_label": {
                label: {"kept": int(kept), "got": int(got), "lost": int(lost)}
                for label, kept, got, lost in counts
            }
        }


def _by_confidence(row: Mapping[str, Any]) -> tuple[float, str]:
    return -min(row["confidence_before"], row["confidence_after"]), row["id"]
