"""People's answers among a model's labels, and the model's labels back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pet.config import RunConfig
from pet.storage.files import write_parquet
from pet.student.answered_rows import as_predicted, read_predicted, with_answers

CONFIG = RunConfig.model_construct(keep_columns=(), abstain_below=0.5)

TABLE = pa.table(
    {
        "id": ["a", "b", "c"],
        "label": ["sport", "space", "sport"],
        "confidence": pa.array([0.9, 0.4, 0.6], pa.float32()),
        "abstain": [False, True, False],
        "source": ["student", "ensemble", "student"],
    }
)


def test_an_answer_is_the_label_and_what_was_predicted_stays_beside_it() -> None:
    rows = with_answers(TABLE, {"b": "sport", "c": "sport", "x": "space"}, CONFIG).to_pylist()
    assert [row["label"] for row in rows] == ["sport", "sport", "sport"]
    assert [row["source"] for row in rows] == ["student", "person", "person"]
    assert [row["abstain"] for row in rows] == [False, False, False]
    assert [row["predicted"] for row in rows] == [None, "space", "sport"]
    assert [row["predicted_by"] for row in rows] == [None, "ensemble", "student"]


def test_what_the_model_made_comes_back_whole(tmp_path: Path) -> None:
    answered = with_answers(TABLE, {"b": "sport"}, CONFIG)
    assert as_predicted(answered, CONFIG).equals(TABLE)
    write_parquet(tmp_path / "a.parquet", answered, {})
    columns = ["label", "source"]
    assert read_predicted(tmp_path / "a.parquet", columns, CONFIG).equals(TABLE.select(columns))


def test_columns_of_the_pool_are_not_taken_for_answers() -> None:
    """A pool may keep a column `predicted` of its own."""
    config = RunConfig.model_construct(keep_columns=("predicted",), abstain_below=0.5)
    table = TABLE.append_column("predicted", pa.array(["x", "y", "z"]))
    assert as_predicted(table, config).equals(table)
    answered = with_answers(table, {"b": "sport"}, config)
    assert answered["predicted_label"].to_pylist() == [None, "space", None]
    assert as_predicted(answered, config).equals(table)


def test_lists_of_labels_are_answered_and_come_back_whole(tmp_path: Path) -> None:
    chances = pa.StructArray.from_arrays(
        [pa.array([0.9, 0.4, 0.1], pa.float32()), pa.array([0.2, 0.3, 0.8], pa.float32())],
        names=["sport", "space"],
    )
    unsure = pa.StructArray.from_arrays(
        [pa.array([False, True, False]), pa.array([False, False, False])], names=["sport", "space"]
    )
    table = pa.table(
        {
            "id": ["a", "b", "c"],
            "labels": pa.array([["sport"], ["sport"], ["space"]], pa.list_(pa.string())),
            "confidence": pa.array([0.72, 0.28, 0.72], pa.float32()),
            "probabilities": chances,
            "abstain": unsure,
            "source": ["student"] * 3,
        }
    )
    answered = with_answers(table, {"b": [], "c": ["sport", "space"]}, CONFIG)
    rows = answered.to_pylist()
    assert [row["labels"] for row in rows] == [["sport"], [], ["sport", "space"]]
    assert [row["predicted"] for row in rows] == [None, ["sport"], ["space"]]
    assert rows[1]["abstain"] == {"sport": False, "space": False}
    assert as_predicted(answered, CONFIG).equals(table)
    write_parquet(tmp_path / "a.parquet", answered, {})
    columns = ["labels", "source"]
    assert read_predicted(tmp_path / "a.parquet", columns, CONFIG).equals(table.select(columns))
