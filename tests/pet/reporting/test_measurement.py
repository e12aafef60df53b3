"""Rows that are shown: the right ones, with their own texts, and never more than a few."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.inputs.reading import open_session
from pet.pipeline import label_pool
from pet.reporting import measurement as examples
from pet.reporting.measurement import count_rejected, find_examples
from pet.storage.files import read_json
from tests.support import samples
from tests.support.run_files import label_rows

Configure = Callable[..., Any]


def test_the_rows_of_lowest_confidence_are_shown_with_their_texts(tiny_run: Path) -> None:
    found = read_json(tiny_run / "report.json")["examples"]
    texts = {f"pool.parquet:{n}": text for n, text in enumerate(samples.pool_texts())}
    by_confidence = sorted(label_rows(tiny_run / "labels"), key=lambda row: row["confidence"])
    assert [row["id"] for row in found["doubtful"]] == [
        row["id"] for row in by_confidence[: examples.DOUBTFUL]
    ]
    for row in found["doubtful"]:
        assert row["texts"] == {"text": texts[row["id"]]}
        assert row["second"]["label"] != row["label"]
        assert row["second"]["probability"] <= row["confidence"]
    assert found["among"] == 37


def test_every_label_has_its_most_confident_rows(tiny_run: Path) -> None:
    found = read_json(tiny_run / "report.json")["examples"]["surest"]
    assert list(found) == list(samples.LABELS)
    rows = label_rows(tiny_run / "labels")
    for label, shown in found.items():
        own = [row["confidence"] for row in rows if row["label"] == label]
        expected = sorted(own, reverse=True)[: examples.MOST_CONFIDENT]
        assert [row["confidence"] for row in shown] == pytest.approx(expected, abs=1e-4)
    assert any(found.values())


def test_ids_that_occur_twice_do_not_swap_texts(config_for: Configure, tmp_path: Path) -> None:
    """Rows are found by their place: an id is no key where a pool gives it to two rows."""
    texts = [f"{text} number {n}" for n, text in enumerate(filter(None, samples.pool_texts()))]
    table = {"id": ["same"] * len(texts), "text": texts}
    pq.write_table(pa.table(table), tmp_path / "pool.parquet")
    pool = str(tmp_path / "pool.parquet")
    config = config_for(pool=pool, unlabeled_rows=9, keep_columns=["text"])
    report = label_pool(config)
    rows = label_rows(Path(config.out) / "labels")
    given = {row["text"]: round(row["confidence"], 4) for row in rows}
    for row in report["examples"]["doubtful"]:
        assert given[" ".join(row["texts"]["text"].split())] == row["confidence"]


def test_of_a_large_pool_only_rows_that_the_members_scored_are_shown(
    config_for: Configure,
) -> None:
    config = config_for(unlabeled_rows=5)
    report = label_pool(config)
    found = report["examples"]
    assert found["among"] == report["pool"]["scored_by_members"] <= 5
    rows = label_rows(Path(config.out) / "labels")
    known = {row["id"] for row in rows if row["agreement"] is not None}
    assert {row["id"] for row in found["doubtful"]} == known


def test_however_many_shards_there_are_few_rows_are_kept(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory must not grow with the pool."""
    config = config_for(shard_rows=3)
    whole = label_pool(config)["examples"]
    sizes: list[int] = []
    shrink = examples._doubtful

    def watched(table: pa.Table) -> pa.Table:
        sizes.append(len(table))
        return shrink(table)

    monkeypatch.setattr(examples, "_doubtful", watched)
    assert find_examples(open_session(config)) == whole
    assert len(sizes) == 14
    assert max(sizes) <= examples.DOUBTFUL + 3


def test_a_long_text_is_cut_and_put_on_one_line() -> None:
    assert examples._cut("two\n lines\t of it ") == "two lines of it"
    assert examples._cut(None) == ""
    cut = examples._cut("word " * 10**6)
    assert len(cut) <= examples.LONGEST + 1
    assert cut.endswith("word…")


def test_rejected_rows_are_counted_by_reason(config_for: Configure, tmp_path: Path) -> None:
    samples.write_csv(
        tmp_path / "test.csv", [*samples.test_rows(), ("a text", "")], ("text", "label")
    )
    config = config_for(test=str(tmp_path / "test.csv"))
    label_pool(config)
    found = count_rejected(open_session(config))
    assert found["pool"]["reasons"] == {"empty text": 2, "no text": 1}
    assert found["pool"]["first"][0] == {"file": "pool.parquet", "row": 7, "reason": "no text"}
    assert found["labeled"] == {"reasons": {}, "first": []}
    assert found["test"]["reasons"] == {"no label": 1}


def test_a_report_has_its_figures_in_the_same_order_in_every_process(tiny_run: Path) -> None:
    """A set of strings has another order in another process, and report.json other bytes."""
    found = [name for name in read_json(tiny_run / "report.json")["test"] if "linear" in name]
    assert found == ["linear_supervised", "linear_student"]
