"""Label files: their columns, and shards that are written once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from pet.config import RunConfig
from pet.data.data_files import find_files
from pet.data.pool import Pool, PoolBatch, open_pool
from pet.errors import InputError, Interrupted
from pet.pipeline import label_pool
from pet.progress import SILENT, Tick
from pet.storage.files import TEMPORARY_PREFIX
from pet.storage.mirrors import open_run_folder
from pet.storage.units import LABELS_DONE
from pet.student.label_files import (
    LABELS_REJECTED,
    LabelWriter,
    PredictBatch,
    Predictions,
    close_labels,
    count_labels,
    label_into,
    label_table,
    refuse_other_labels,
)
from tests.support import samples

LABELS = ("sport", "space", "a b/c")


def batch(rows: int, kept: pa.Table | None = None) -> PoolBatch:
    ids = [f"p:{row}" for row in range(rows)]
    return PoolBatch(ids, {"text": ["x"] * rows}, np.arange(rows), kept, [])


def test_a_label_table_is_laid_out_as_promised() -> None:
    sources = np.array(["ensemble", "student"], object)
    probabilities = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    said = Predictions(probabilities, np.array([2 / 3, math.nan]), sources)
    kept = pa.table({"origin": ["s0", "s1"]})
    table = label_table(batch(2, kept), said, LABELS, 0.5)
    number = pa.float32()
    assert table.schema == pa.schema(
        {
            "id": pa.string(),
            "origin": pa.string(),
            "label": pa.string(),
            "confidence": number,
            "probabilities": pa.struct(dict.fromkeys(LABELS, number)),
            "entropy": number,
            "agreement": number,
            "abstain": pa.bool_(),
            "source": pa.string(),
        }
    )
    rows = table.to_pylist()
    assert [row["source"] for row in rows] == ["ensemble", "student"]
    assert [row["label"] for row in rows] == ["sport", "a b/c"]
    assert [row["abstain"] for row in rows] == [False, True]
    assert rows[0]["confidence"] == pytest.approx(0.7)
    assert rows[1]["probabilities"] == pytest.approx({"sport": 0.3, "space": 0.3, "a b/c": 0.4})
    by_hand = -sum(p * math.log(p) for p in (0.7, 0.2, 0.1))
    assert rows[0]["entropy"] == pytest.approx(by_hand)
    assert rows[0]["agreement"] == pytest.approx(2 / 3)
    assert rows[1]["agreement"] is None


def test_a_row_at_the_threshold_does_not_abstain() -> None:
    said = Predictions(np.array([[0.5, 0.5]]), np.array([1.0]), "student")
    assert label_table(batch(1), said, ("a", "b"), 0.5)["abstain"].to_pylist() == [False]


class First:
    """Predicts the first label for every row, and counts the shards that it predicted."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, batch: PoolBatch, tick: Any) -> Predictions:
        self.calls += 1
        rows = len(batch.ids)
        tick(rows)
        return Predictions(np.tile([0.6, 0.3, 0.1], (rows, 1)), np.full(rows, np.nan), "student")


def writer_for(folder: Path, source: str = "m1", **changes: Any) -> LabelWriter:
    settings = {"shard_rows": 4, "abstain_below": 0.5, "keep_columns": (), **changes}
    config = RunConfig.model_construct(**settings)
    return LabelWriter(folder / "labels", LABELS, config, source, {"task": "t"})


def pool_for(folder: Path, texts: Sequence[str | None]) -> Pool:
    samples.write_pool(folder / "pool.parquet", list(texts))
    return open_pool(folder / "pool.parquet", ["text"])


def write(
    folder: Path, texts: Sequence[str | None], predict: PredictBatch, **changes: Any
) -> tuple[int, int]:
    return writer_for(folder, **changes).label(pool_for(folder, texts), predict, SILENT)


def test_shards_that_are_up_to_date_stay(tmp_path: Path) -> None:
    predict = First()
    assert write(tmp_path, ["x"] * 10, predict) == (3, 0)
    before = {
        p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "labels").glob("part-*")
    }
    assert sorted(before) == [f"part-{n:05d}.parquet" for n in range(3)]
    assert write(tmp_path, ["x"] * 10, predict) == (0, 3)
    assert predict.calls == 3
    for path in (tmp_path / "labels").glob("part-*"):
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before[path.name]


@pytest.mark.parametrize(
    "change",
    [{"source": "m2"}, {"abstain_below": 0.7}, {"keep_columns": ("origin",)}, {"shard_rows": 5}],
)
def test_what_shapes_the_labels_writes_them_again(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path, ["x"] * 10, First())
    assert write(tmp_path, ["x"] * 10, First(), **change)[1] == 0


def test_labels_that_are_half_old_and_half_new_are_not_said_to_be_whole(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, First())
    done = tmp_path / "labels" / LABELS_DONE
    assert done.exists()

    class Breaks(First):
        def __call__(self, batch: PoolBatch, tick: Tick) -> Predictions:
            if self.calls:
                raise Interrupted("in the middle")
            return super().__call__(batch, tick)

    with pytest.raises(Interrupted):
        write(tmp_path, ["x"] * 10, Breaks(), abstain_below=0.9)
    assert not done.exists()
    write(tmp_path, ["x"] * 10, First(), abstain_below=0.9)
    assert done.exists()


def test_a_shard_that_is_missing_or_cut_off_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, First())
    (tmp_path / "labels" / "part-00000.parquet").unlink()
    cut = tmp_path / "labels" / "part-00002.parquet"
    cut.write_bytes(cut.read_bytes()[:-8])
    assert write(tmp_path, ["x"] * 10, First()) == (2, 1)


def test_a_shard_that_was_damaged_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, First())
    path = tmp_path / "labels" / "part-00001.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[4:60] = bytes(56)
    path.write_bytes(damaged)
    assert write(tmp_path, ["x"] * 10, First()) == (1, 2)


def test_shards_of_a_longer_pool_go(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, First())
    write(tmp_path, ["x"] * 5, First(), source="m2")
    assert len(list((tmp_path / "labels").glob("part-*"))) == 2
    assert count_labels(tmp_path / "labels", LABELS)["rows"] == 5


def test_every_usable_row_has_a_label_and_bad_rows_none(tmp_path: Path) -> None:
    write(tmp_path, ["x", None, "y", "", "z", "  "], First())
    ids = [
        i
        for p in sorted((tmp_path / "labels").glob("part-*"))
        for i in pq.read_table(p)["id"].to_pylist()
    ]
    assert ids == ["pool.parquet:0", "pool.parquet:2", "pool.parquet:4"]


def test_the_metadata_names_task_and_fingerprint(tmp_path: Path) -> None:
    write(tmp_path, ["x"], First())
    stored = pq.read_metadata(tmp_path / "labels" / "part-00000.parquet").metadata
    assert stored[b"task"] == b"t"
    assert len(stored[b"fingerprint"]) == 64


def test_labels_are_counted(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, First(), abstain_below=0.61)
    assert count_labels(tmp_path / "labels", LABELS) == {
        "counts": {"sport": 10, "space": 0, "a b/c": 0},
        "rows": 10,
        "abstained": 10,
        "abstained_of": {"sport": 10, "space": 0, "a b/c": 0},
        "sources": {"student": 10},
        "mean_confidence": 0.6,
        "confidence_counts": [0] * 12 + [10] + [0] * 7,
    }


def rejected_rows(folder: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(folder / LABELS_REJECTED).to_pylist())


TEXTS: list[str | None] = ["x", None, "y", "", "z", "  "]


def test_rows_without_a_label_are_listed_with_file_row_and_reason(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write(tmp_path, TEXTS, First())
    assert rejected_rows(folder) == [
        {"file": "pool.parquet", "row": 1, "reason": "no text"},
        {"file": "pool.parquet", "row": 3, "reason": "empty text"},
        {"file": "pool.parquet", "row": 5, "reason": "empty text"},
    ]


def test_the_list_of_rejected_rows_is_no_part_of_the_labels(tmp_path: Path) -> None:
    """Whoever reads the folder as one dataset would stumble over its other columns."""
    folder = tmp_path / "labels"
    write(tmp_path, TEXTS, First())
    table = dataset.dataset(folder).to_table()
    assert table["id"].to_pylist() == [f"pool.parquet:{row}" for row in (0, 2, 4)]
    assert "reason" not in table.column_names
    assert [path.name for path in find_files(folder).files] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]


def test_rejected_rows_of_shards_that_are_reused_are_not_lost(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write(tmp_path, TEXTS, First())
    before = (folder / LABELS_REJECTED).read_bytes()
    (folder / LABELS_REJECTED).unlink()
    (folder / "part-00001.parquet").unlink()
    assert write(tmp_path, TEXTS, First()) == (1, 1)
    assert (folder / LABELS_REJECTED).read_bytes() == before


def test_a_run_that_breaks_off_leaves_no_half_list_of_rejected_rows(tmp_path: Path) -> None:
    def fail(batch: PoolBatch, tick: Any) -> Predictions:
        raise Interrupted("you asked for it")

    folder = tmp_path / "labels"
    with pytest.raises(Interrupted):
        write(tmp_path, TEXTS, fail)
    assert not list(folder.glob("*"))


def test_rejected_rows_of_other_labels_are_not_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    write(tmp_path, [None], First())
    (folder / "part-00000.parquet").unlink()
    refuse_other_labels(open_run_folder(folder), "m1")
    with pytest.raises(InputError, match=LABELS_REJECTED):
        refuse_other_labels(open_run_folder(folder), "m2")


def test_shards_labeled_apart_make_the_same_folder_as_all_in_one_go(tmp_path: Path) -> None:
    texts = ["x"] * 10
    for place in ("whole", "apart"):
        (tmp_path / place).mkdir()
    write(tmp_path / "whole", texts, First())
    writer, pool = writer_for(tmp_path / "apart"), pool_for(tmp_path / "apart", texts)
    for shards in (range(2, 3), range(0, 2)):
        writer.label_shards(pool, shards, 10, First(), SILENT)
        assert not (tmp_path / "apart" / "labels" / LABELS_DONE).exists()
    close_labels(tmp_path / "apart" / "labels", "m1", 3, 10)
    found = {
        place: {p.name: p.read_bytes() for p in (tmp_path / place / "labels").iterdir()}
        for place in ("whole", "apart")
    }
    assert found["whole"].pop(LABELS_REJECTED)  # of whole pools only: a run has a list of its own
    assert found["whole"] == found["apart"]
    assert len(found["whole"]) == 4


def test_rows_that_are_known_are_not_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting the rows of a CSV pool means reading it: once for every block of shards."""
    monkeypatch.setattr(Pool, "count_rows", lambda pool: pytest.fail("the pool was counted"))
    pool = pool_for(tmp_path, ["x"] * 10)
    written = writer_for(tmp_path).label_shards(pool, range(3), 10, First(), SILENT)
    assert written == (3, 0)


def test_every_file_is_sent_when_it_is_written_and_none_that_is_reused(tmp_path: Path) -> None:
    sent: list[str] = []

    def send(paths: list[Path]) -> None:
        assert all(path.is_file() for path in paths)
        sent.extend(path.name for path in paths)

    config = RunConfig.model_construct(shard_rows=4, abstain_below=0.5, keep_columns=())
    writer = LabelWriter(tmp_path / "labels", LABELS, config, "m1", {}, send)
    pool = pool_for(tmp_path, ["x"] * 10)
    writer.label(pool, First(), SILENT)
    assert sent == [f"part-{n:05d}.parquet" for n in range(3)]
    (tmp_path / "labels" / sent.pop()).unlink()
    writer.label(pool, First(), SILENT)
    assert sent == [f"part-{n:05d}.parquet" for n in range(3)]


def test_a_shard_that_is_written_by_itself_opens_a_complete_folder_again(tmp_path: Path) -> None:
    write(tmp_path, ["x"] * 10, First())
    writer, done = writer_for(tmp_path, source="m2"), tmp_path / "labels" / LABELS_DONE
    assert done.exists()
    assert not writer.is_current(1)
    writer.write(1, batch(2), Predictions(np.tile([0.6, 0.3, 0.1], (2, 1)), np.ones(2), "student"))
    assert writer.is_current(1)
    assert not done.exists()
    with pytest.raises(InputError, match="made from something else"):
        refuse_other_labels(open_run_folder(tmp_path / "labels"), "m1")


def test_predictions_for_other_rows_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    writer = writer_for(tmp_path)
    with pytest.raises(pa.ArrowInvalid, match="length"):
        writer.write(
            0, batch(3), Predictions(np.tile([0.6, 0.3, 0.1], (2, 1)), np.ones(2), "student")
        )
    assert not (tmp_path / "labels").exists()


def test_labels_of_a_folder_are_counted_with_its_rejected_rows(tmp_path: Path) -> None:
    out = open_run_folder(tmp_path / "labels")
    abandoned = tmp_path / "labels" / f"{TEMPORARY_PREFIX}killed"
    abandoned.mkdir(parents=True)
    writer, pool = writer_for(tmp_path), pool_for(tmp_path, TEXTS)
    written, reused, counts = label_into(out, writer, pool, First(), SILENT)
    assert (written, reused) == (2, 0)
    assert (counts["rows"], counts["rejected"]) == (3, 3)
    assert counts["rejected_file"] == str(tmp_path / "labels" / LABELS_REJECTED)
    assert not abandoned.exists()
    assert label_into(out, writer, pool, First(), SILENT) == (0, 2, counts)


def test_a_run_that_goes_on_does_not_count_its_pool(
    config_for: Any, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool, "count_rows", lambda pool: pytest.fail("the pool was counted"))
    assert label_pool(config_for(out=run_copy))["labels"]["rows"] == 37
