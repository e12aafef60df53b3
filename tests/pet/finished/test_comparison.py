"""pet diff: a join by id that no order and no size disturbs."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from flows.screens.diff import diff
from pet.data.pool import PoolBatch
from pet.errors import InputError
from pet.finished import comparison
from pet.finished.comparison import compare_labels
from pet.method.outcomes import AnyLabels
from pet.student.label_files import Predictions, label_table

LABELS = ("sport", "space", "business")


def write(folder: Path, rows: dict[str, int], confidence: float = 0.8, parts: int = 1) -> Path:
    """Write label files that give each id the label of that number."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = list(rows)
    probabilities = np.full((len(ids), 3), (1 - confidence) / 2)
    probabilities[np.arange(len(ids)), list(rows.values())] = confidence
    batch = PoolBatch(ids, {"text": ids}, np.arange(len(ids)), None, [])
    predictions = Predictions(probabilities, np.full(len(ids), np.nan), "student")
    table = label_table(batch, predictions, LABELS, 0.5)
    size = -(-len(ids) // parts)
    for part in range(parts):
        pq.write_table(table.slice(part * size, size), folder / f"part-{part:05d}.parquet")
    return folder


def test_rows_are_joined_by_id_and_not_by_place(tmp_path: Path) -> None:
    before = write(tmp_path / "a", {"1": 0, "2": 1, "3": 2, "old": 0})
    after = write(tmp_path / "b", {"new": 1, "3": 2, "2": 0, "1": 0}, confidence=0.6, parts=2)
    found = compare_labels(before, after)
    assert (found["common"], found["changed"]) == (3, 1)
    assert (found["only_before"], found["only_after"]) == (1, 1)
    assert found["confusion"] == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert found["labels"] == list(LABELS)
    assert found["shares"]["sport"] == {"before": 0.5, "after": 0.5}
    assert found["mean_confidence"] == [pytest.approx(0.8), pytest.approx(0.6)]
    [example] = found["examples"]
    assert (example["id"], example["before"], example["after"]) == ("2", "space", "sport")


def test_many_parts_give_what_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ids = [f"pool/ü-{n}" for n in range(500)]
    before = write(tmp_path / "a", {i: int(rng.integers(3)) for i in ids}, parts=3)
    after = write(tmp_path / "b", {i: int(rng.integers(3)) for i in rng.permutation(ids)[:400]})
    whole = compare_labels(before, after)
    monkeypatch.setattr(comparison, "ROWS_AT_ONCE", 60)
    assert compare_labels(before, after) == whole
    assert len(whole["examples"]) == comparison.EXAMPLES
    assert whole["changed"] == sum(map(sum, whole["confusion"])) - sum(
        whole["confusion"][i][i] for i in range(3)
    )


def test_ids_that_repeat_are_counted_and_joined_once(tmp_path: Path) -> None:
    """A join of repeated ids multiplies rows: counts would be of rows that nobody has."""
    before, after = write(tmp_path / "a", {"1": 0}), write(tmp_path / "b", {"1": 1})
    again = pq.read_table(before / "part-00000.parquet")
    pq.write_table(pa.concat_tables([again, again]), before / "part-00001.parquet")
    found = compare_labels(before, after)
    assert (found["twice_before"], found["twice_after"], found["common"]) == (2, 0, 1)


def test_a_run_stands_for_its_labels(tiny_run: Path) -> None:
    found = compare_labels(tiny_run, tiny_run / "labels")
    assert (found["changed"], found["common"], found["examples"]) == (0, 37, [])
    assert found["before"]["task"] == "tiny_news"


def test_rows_without_ids_of_their_own_are_reported_as_matched_by_their_place(
    tmp_path: Path,
) -> None:
    """Two versions of a pool, compared so, give changes that nobody has made."""
    by_place = write(tmp_path / "a", {"pool/x.csv:0": 0, "pool/x.csv:1": 1})
    by_id = write(tmp_path / "b", {"pool/x.csv:0": 0, "x-1": 1})
    assert compare_labels(by_place, by_place)["by_place"]
    assert not compare_labels(by_place, by_id)["by_place"]


def test_files_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    labels = write(tmp_path / "a", {"1": 0})
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="a file without label, confidence"):
        compare_labels(labels, tmp_path / "other.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file"):
        compare_labels(labels, tmp_path / "empty")


def test_a_side_without_a_row_is_compared_too(tmp_path: Path) -> None:
    labels, none = write(tmp_path / "a", {"1": 0}), write(tmp_path / "b", {"1": 0})
    table = pq.read_table(none / "part-00000.parquet")
    pq.write_table(table.slice(0, 0), none / "part-00000.parquet")
    assert compare_labels(none, labels)["before"]["rows"] == 0


def write_sets(folder: Path, rows: dict[str, list[int]]) -> Path:
    """Write label files that give each id the labels of these numbers."""
    folder.mkdir()
    probabilities = np.full((len(rows), 3), 0.2)
    for row, own in enumerate(rows.values()):
        probabilities[row, own] = 0.9
    ids = list(rows)
    batch = PoolBatch(ids, {"text": ids}, np.arange(len(ids)), None, [])
    predictions = Predictions(probabilities, np.full(len(ids), np.nan), "student")
    table = label_table(batch, predictions, LABELS, 0.85, AnyLabels())
    pq.write_table(table, folder / "part-00000.parquet")
    return folder


def test_sets_of_labels_are_compared_label_by_label(tmp_path: Path) -> None:
    before = write_sets(tmp_path / "a", {"1": [0, 1], "2": [], "3": [2], "old": [0]})
    after = write_sets(tmp_path / "b", {"3": [2], "2": [1], "1": [1, 2], "new": []})
    found = compare_labels(before, after)
    assert (found["common"], found["changed"]) == (3, 2)
    assert (found["only_before"], found["only_after"]) == (1, 1)
    assert found["by_label"]["sport"] == {"kept": 0, "got": 0, "lost": 1}
    assert found["by_label"]["space"] == {"kept": 1, "got": 1, "lost": 0}
    assert found["by_label"]["business"] == {"kept": 1, "got": 1, "lost": 0}
    assert found["shares"]["sport"] == {"before": 0.5, "after": 0}
    assert found["abstaining"] == [4, 4]
    by_id = {row["id"]: (row["before"], row["after"]) for row in found["examples"]}
    assert by_id == {"1": (["sport", "space"], ["space", "business"]), "2": ([], ["space"])}
    shown = Console(width=100, record=True, file=StringIO())
    diff(shown, found)
    assert "got it" in (text := shown.export_text())
    assert "sport, space" in text


def test_one_label_is_compared_with_lists_as_a_list_of_it(tmp_path: Path) -> None:
    before = write(tmp_path / "a", {"1": 0, "2": 1})
    after = write_sets(tmp_path / "b", {"1": [0], "2": [1, 2]})
    found = compare_labels(before, after)
    assert (found["changed"], found["by_label"]["business"]["got"]) == (1, 1)
