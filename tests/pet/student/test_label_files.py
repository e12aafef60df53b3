"""Label files: their columns, and shards that are written once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from pet.data.data_files import find_files
from pet.data.pool import Pool, PoolBatch, open_pool
from pet.errors import InputError, Interrupted
from pet.pipeline import label_pool
from pet.progress import SILENT, Tick
from pet.storage.mirrors import open_run_folder
from pet.storage.units import LABELS_DONE
from pet.student.label_files import (
    LABELS_REJECTED,
    Predictions,
    close_labels,
    count_labels,
    label_table,
    refuse_other_labels,
    write_labels,
)
from tests.support import samples

LABELS = ("sport", "space", "a b/c")


def batch(rows: int, kept: pa.Table | None = None) -> PoolBatch:
    ids = [f"p:{row}" for row in range(rows)]
    return PoolBatch(ids, {"text": ["x"] * rows}, np.arange(rows), kept, [])


def test_a_label_table_is_laid_out_as_promised() -> None:
    said = Predictions(np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]]), np.array([2 / 3, math.nan]))
    kept = pa.table({"source": ["s0", "s1"]})
    table = label_table(batch(2, kept), said, LABELS, 0.5)
    number = pa.float32()
    assert table.schema == pa.schema(
        {
            "id": pa.string(),
            "source": pa.string(),
            "label": pa.string(),
            "confidence": number,
            "probabilities": pa.struct(dict.fromkeys(LABELS, number)),
            "entropy": number,
            "agreement": number,
            "abstain": pa.bool_(),
        }
    )
    rows = table.to_pylist()
    assert [row["label"] for row in rows] == ["sport", "a b/c"]
    assert [row["abstain"] for row in rows] == [False, True]
    assert rows[0]["confidence"] == pytest.approx(0.7)
    assert rows[1]["probabilities"] == pytest.approx({"sport": 0.3, "space": 0.3, "a b/c": 0.4})
    by_hand = -sum(p * math.log(p) for p in (0.7, 0.2, 0.1))
    assert rows[0]["entropy"] == pytest.approx(by_hand)
    assert rows[0]["agreement"] == pytest.approx(2 / 3)
    assert rows[1]["agreement"] is None


def test_a_row_at_the_threshold_does_not_abstain() -> None:
    said = Predictions(np.array([[0.5, 0.5]]), np.array([1.0]))
    assert label_table(batch(1), said, ("a", "b"), 0.5)["abstain"].to_pylist() == [False]


class Say:
    """Says the first label of everything, and counts the shards that it was asked about."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, batch: PoolBatch, tick: Any) -> Predictions:
        self.calls += 1
        rows = len(batch.ids)
        tick(rows)
        return Predictions(np.tile([0.6, 0.3, 0.1], (rows, 1)), np.full(rows, np.nan))


def write(tmp_path: Path, texts: list[str | None], note: Any, **changes: Any) -> tuple[int, int]:
    samples.write_pool(tmp_path / "pool.parquet", texts)
    pool = open_pool(tmp_path / "pool.parquet", ["text"])
    settings: dict[str, Any] = {
        "model": "m1",
        "shard_rows": 4,
        "abstain_below": 0.5,
        "keep_columns": (),
        "metadata": {"task": "t"},
        "observer": SILENT,
        **changes,
    }
    return write_labels(pool, tmp_path / "labels", LABELS, note, **settings)


def test_shards_that_are_up_to_date_stay(tmp_path: Path) -> None:
    note = Say()
    assert write(tmp_path, ["x"] * 10, note) == (3, 0)
    before = {
        p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "labels").glob("part-*")
    }
    assert sorted(before) == [f"part-{n:05d}.parquet" for n in range(3)]
    assert write(tmp_path, ["x"] * 10, note) == (0, 3)
    assert note.calls == 3
    for path in (tmp_path / "labels").glob("part-*"):
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before[path.name]


@pytest.mark.parametrize(
    "change",
    [{"model": "m2"}, {"abstain_below": 0.7}, {"keep_columns": ("source",)}, {"shard_rows": 5}],
)
def test_what_shapes_the_labels_writes_them_again(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path, ["x"] * 10, Say())
    assert write(tmp_path, ["x"] * 10, Say(), **change)[1] == 0


def test_labels_that_are_half_old_and_half_new_are_not_said_to_be_whole(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, Say())
    done = tmp_path / "labels" / LABELS_DONE
    assert done.exists()

    class Breaks(Say):
        def __call__(self, batch: PoolBatch, tick: Tick) -> Predictions:
            if self.calls:
                raise Interrupted("in the middle")
            return super().__call__(batch, tick)

    with pytest.raises(Interrupted):
        write(tmp_path, ["x"] * 10, Breaks(), abstain_below=0.9)
    assert not done.exists()
    write(tmp_path, ["x"] * 10, Say(), abstain_below=0.9)
    assert done.exists()


def test_a_shard_that_is_missing_or_cut_off_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, Say())
    (tmp_path / "labels" / "part-00000.parquet").unlink()
    cut = tmp_path / "labels" / "part-00002.parquet"
    cut.write_bytes(cut.read_bytes()[:-8])
    assert write(tmp_path, ["x"] * 10, Say()) == (2, 1)


def test_a_shard_that_was_damaged_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, Say())
    path = tmp_path / "labels" / "part-00001.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[4:60] = bytes(56)
    path.write_bytes(damaged)
    assert write(tmp_path, ["x"] * 10, Say()) == (1, 2)


def test_shards_of_a_longer_pool_go(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, Say())
    write(tmp_path, ["x"] * 5, Say(), model="m2")
    assert len(list((tmp_path / "labels").glob("part-*"))) == 2
    assert count_labels(tmp_path / "labels", LABELS)["rows"] == 5


def test_every_usable_row_has_a_label_and_bad_rows_none(tmp_path: Path) -> None:
    write(tmp_path, ["x", None, "y", "", "z", "  "], Say())
    ids = [
        i
        for p in sorted((tmp_path / "labels").glob("part-*"))
        for i in pq.read_table(p)["id"].to_pylist()
    ]
    assert ids == ["pool.parquet:0", "pool.parquet:2", "pool.parquet:4"]


def test_the_metadata_names_task_and_fingerprint(tmp_path: Path) -> None:
    write(tmp_path, ["x"], Say())
    stored = pq.read_metadata(tmp_path / "labels" / "part-00000.parquet").metadata
    assert stored[b"task"] == b"t"
    assert len(stored[b"fingerprint"]) == 64


def test_labels_are_counted(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, Say(), abstain_below=0.61)
    assert count_labels(tmp_path / "labels", LABELS) == {
        "counts": {"sport": 10, "space": 0, "a b/c": 0},
        "rows": 10,
        "abstained": 10,
        "abstained_of": {"sport": 10, "space": 0, "a b/c": 0},
        "mean_confidence": 0.6,
        "confidence_counts": [0] * 12 + [10] + [0] * 7,
    }


def rejected_rows(folder: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(folder / LABELS_REJECTED).to_pylist())


TEXTS: list[str | None] = ["x", None, "y", "", "z", "  "]


def test_rows_without_a_label_are_listed_with_file_row_and_reason(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write(tmp_path, TEXTS, Say(), rejected=folder / LABELS_REJECTED)
    assert rejected_rows(folder) == [
        {"file": "pool.parquet", "row": 1, "reason": "no text"},
        {"file": "pool.parquet", "row": 3, "reason": "empty text"},
        {"file": "pool.parquet", "row": 5, "reason": "empty text"},
    ]


def test_the_list_of_rejected_rows_is_no_part_of_the_labels(tmp_path: Path) -> None:
    """Whoever reads the folder as one dataset would stumble over its other columns."""
    folder = tmp_path / "labels"
    write(tmp_path, TEXTS, Say(), rejected=folder / LABELS_REJECTED)
    table = dataset.dataset(folder).to_table()
    assert table["id"].to_pylist() == [f"pool.parquet:{row}" for row in (0, 2, 4)]
    assert "reason" not in table.column_names
    assert [path.name for path in find_files(folder)] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]


def test_rejected_rows_of_shards_that_are_reused_are_not_lost(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write(tmp_path, TEXTS, Say(), rejected=folder / LABELS_REJECTED)
    before = (folder / LABELS_REJECTED).read_bytes()
    (folder / LABELS_REJECTED).unlink()
    (folder / "part-00001.parquet").unlink()
    assert write(tmp_path, TEXTS, Say(), rejected=folder / LABELS_REJECTED) == (1, 1)
    assert (folder / LABELS_REJECTED).read_bytes() == before


def test_a_run_that_breaks_off_leaves_no_half_list_of_rejected_rows(tmp_path: Path) -> None:
    def fail(batch: PoolBatch, tick: Any) -> Predictions:
        raise Interrupted("you asked for it")

    folder = tmp_path / "labels"
    with pytest.raises(Interrupted):
        write(tmp_path, TEXTS, fail, rejected=folder / LABELS_REJECTED)
    assert not list(folder.glob("*"))


def test_rejected_rows_of_other_labels_are_not_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write(tmp_path, [None], Say(), rejected=folder / LABELS_REJECTED)
    (folder / "part-00000.parquet").unlink()
    refuse_other_labels(open_run_folder(folder), "m1")
    with pytest.raises(InputError, match=LABELS_REJECTED):
        refuse_other_labels(open_run_folder(folder), "m2")


def test_shards_labeled_apart_make_the_same_folder_as_all_in_one_go(tmp_path: Path) -> None:
    texts = ["x"] * 10
    for place in ("whole", "apart"):
        (tmp_path / place).mkdir()
    write(tmp_path / "whole", texts, Say())
    for shards in (range(2, 3), range(0, 2)):
        write(tmp_path / "apart", texts, Say(), shards=shards)
        assert not (tmp_path / "apart" / "labels" / LABELS_DONE).exists()
    close_labels(tmp_path / "apart" / "labels", "m1", 3, 10)
    found = {
        place: {p.name: p.read_bytes() for p in (tmp_path / place / "labels").iterdir()}
        for place in ("whole", "apart")
    }
    assert found["whole"] == found["apart"]
    assert len(found["whole"]) == 4


def test_rows_that_are_known_are_not_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To count the rows of a CSV pool is to read it: once for every block of shards."""
    monkeypatch.setattr(Pool, "count_rows", lambda pool: pytest.fail("the pool was counted"))
    assert write(tmp_path, ["x"] * 10, Say(), total=10) == (3, 0)


def test_a_run_that_goes_on_does_not_count_its_pool(
    config_for: Any, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool, "count_rows", lambda pool: pytest.fail("the pool was counted"))
    assert label_pool(config_for(out=run_copy))["labels"]["rows"] == 37
