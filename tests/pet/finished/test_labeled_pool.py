"""Labels beside their texts, in the shape that `datasets` reads: names, split, rows."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.data.labeled import read_labeled
from pet.data.pool import PoolBatch
from pet.errors import InputError, PetError
from pet.finished.exports import export_run
from pet.finished.inference import predict_texts
from pet.finished.labeled_pool import _join, _labels_of
from pet.tasks.task import parse_task
from tests.support import samples
from tests.support.run_files import label_table


def table_of(folder: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((folder / "data").iterdir()))


def test_every_label_stands_beside_its_text(tiny_run: Path, tmp_path: Path) -> None:
    """By id: rejected rows of the pool must not shift the texts against the labels."""
    found = export_run(tiny_run, "datasets", tmp_path / "out")
    table = table_of(tmp_path / "out")
    labels = pa.concat_tables(map(pq.read_table, sorted((tiny_run / "labels").glob("*.parquet"))))
    assert table["id"].to_pylist() == labels["id"].to_pylist()
    named = [samples.LABELS[index] for index in table["label"].to_pylist()]
    assert named == labels["label"].to_pylist()
    texts = samples.pool_texts()
    for row in table.to_pylist():
        assert row["text"] == texts[int(row["id"].partition(":")[2])]
    for name in ("confidence", "probabilities", "entropy", "agreement", "abstain", "source"):
        assert table[name].to_pylist() == labels[name].to_pylist()
    assert found["rows"] == len(table) == 37


def test_the_schema_names_the_labels_as_datasets_does(tiny_run: Path, tmp_path: Path) -> None:
    export_run(tiny_run, "datasets", tmp_path / "out")
    files = sorted((tmp_path / "out" / "data").iterdir())
    assert [path.name for path in files] == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    for path in files:
        schema = pq.read_schema(path)
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert features["label"] == {"names": list(samples.LABELS), "_type": "ClassLabel"}
        assert schema.field("label").type == pa.int64()
        assert list(features) == schema.names  # one that is not named would be guessed
        for name, feature in features.items():
            if feature.get("_type") == "Value":
                kind = str(schema.field(name).type).replace("float", "float32")  # Arrow's name
                assert kind == feature["dtype"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "path: data/train-*.parquet" in card


def test_a_pool_that_was_moved_is_named(
    run_copy: Path, inputs_folder: Path, tmp_path: Path
) -> None:
    config = json.loads((run_copy / "config.json").read_text())
    moved = shutil.copy(inputs_folder / "pool.parquet", tmp_path / "pool.parquet")
    (run_copy / "config.json").write_text(json.dumps({**config, "pool": str(tmp_path / "gone")}))
    with pytest.raises(InputError, match="gone"):
        export_run(run_copy, "datasets", tmp_path / "out")
    assert export_run(run_copy, "datasets", tmp_path / "out", pool=str(moved))["rows"] == 37


def test_another_pool_gets_no_labels_of_this_one(tiny_run: Path, tmp_path: Path) -> None:
    texts = [text and f"{text}!" for text in samples.pool_texts()]  # the same ids
    other = samples.write_pool(tmp_path / "pool.parquet", texts)
    with pytest.raises(InputError, match="the pool that the run labeled"):
        export_run(tiny_run, "datasets", tmp_path / "out", pool=str(other))
    assert not (tmp_path / "out").exists()


def test_a_missing_label_file_is_an_error_and_no_smaller_dataset(
    run_copy: Path, tmp_path: Path
) -> None:
    (run_copy / "labels" / "part-00001.parquet").unlink()
    with pytest.raises(InputError, match="all label files"):
        export_run(run_copy, "datasets", tmp_path / "out")
    shutil.copy(
        run_copy / "labels" / "part-00000.parquet", run_copy / "labels" / "part-00001.parquet"
    )
    with pytest.raises(PetError, match="the ids of the pool's rows"):
        export_run(run_copy, "datasets", tmp_path / "out")


def test_rows_that_a_former_version_set_aside_for_a_null_are_left_out(
    tiny_run: Path, tmp_path: Path
) -> None:
    shard = pq.read_table(tiny_run / "labels" / "part-00000.parquet").slice(0, 1)
    pq.write_table(shard, tmp_path / "part-00000.parquet")
    task = parse_task(samples.task_toml(), "task")
    [id] = shard["id"].to_pylist()

    def joined(text: str) -> pa.Table:
        batch = PoolBatch([id, "2"], {"text": ["a", text]}, np.arange(2), None, [])
        labeled, batch = _labels_of(batch, [tmp_path / "part-00000.parquet"], 0)
        return _join(batch, labeled, task)

    assert joined("")["text"].to_pylist() == ["a"]
    with pytest.raises(PetError, match="the ids of the pool's rows"):
        joined("a text of its own")


def test_labels_of_a_former_version_are_the_students(tiny_run: Path, tmp_path: Path) -> None:
    labeled = pq.read_table(tiny_run / "labels" / "part-00000.parquet")
    pq.write_table(labeled.drop_columns("source"), tmp_path / "part-00000.parquet")
    ids = labeled["id"].to_pylist()
    batch = PoolBatch(ids, {"text": ["a"] * len(ids)}, np.arange(len(ids)), None, [])
    found, _ = _labels_of(batch, [tmp_path / "part-00000.parquet"], 0)
    assert set(found["source"].to_pylist()) == {"student"}


def by_source(table: pa.Table) -> dict[str, int]:
    return dict(Counter(table["source"].to_pylist()))


def test_the_runs_labels_are_exported_as_they_are_or_as_one_model_gives_them(
    mixed_run: Path, tmp_path: Path
) -> None:
    """Of rows that the ensemble labels, the student's labels were lost."""
    labels = pa.concat_tables(map(pq.read_table, sorted((mixed_run / "labels").glob("*.parquet"))))
    for who in (None, "student", "ensemble"):
        export_run(mixed_run, "datasets", tmp_path / str(who), who=who)
    own, student, ensemble = (table_of(tmp_path / who) for who in ("None", "student", "ensemble"))
    scored = by_source(own)["ensemble"]
    assert by_source(own) == {"ensemble": scored, "student": 37 - scored}
    assert own["probabilities"].to_pylist() == labels["probabilities"].to_pylist()
    assert by_source(student) == {"student": 37}
    assert by_source(ensemble) == {"ensemble": 37}
    for row, by_student, by_ensemble in zip(
        *(table.to_pylist() for table in (own, student, ensemble)), strict=True
    ):
        same = {"student": by_student, "ensemble": by_ensemble}[row["source"]]
        assert same["probabilities"] == pytest.approx(row["probabilities"], abs=1e-6)
        assert same["agreement"] == row["agreement"]
    again = predict_texts(mixed_run, own["text"].to_pylist())
    for found, row in zip(again, student.to_pylist(), strict=True):
        assert row["probabilities"] == pytest.approx(found["probabilities"], abs=1e-3)


def test_no_row_that_the_run_has_scored_is_scored_again(
    mixed_run: Path, tmp_path: Path, asked: list[int]
) -> None:
    export_run(mixed_run, "csv", tmp_path / "out", who="ensemble")
    scored = pq.read_metadata(mixed_run / "unlabeled" / "rows.parquet").num_rows
    assert sum(asked) == 37 - scored


@pytest.mark.parametrize(
    ("kind", "who", "said"), [("hf", "student", "leave out --with"), ("csv", "x", "'x'")]
)
def test_a_model_that_cannot_label_is_refused(
    tiny_run: Path, tmp_path: Path, kind: str, who: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        export_run(tiny_run, kind, tmp_path / "out", who=who)
    assert not (tmp_path / "out").exists()


def test_lists_of_labels_stand_beside_their_texts(several_run: Path, tmp_path: Path) -> None:
    labels = label_table(several_run / "labels")
    for who in (None, "student", "ensemble"):
        export_run(several_run, "datasets", tmp_path / str(who), who=who)
    own, student, ensemble = (table_of(tmp_path / who) for who in ("None", "student", "ensemble"))
    named = [[samples.LABELS[place] for place in row] for row in own["labels"].to_pylist()]
    assert named == labels["labels"].to_pylist()
    assert own["abstain"].to_pylist() == labels["abstain"].to_pylist()
    assert student["labels"].to_pylist() == own["labels"].to_pylist()
    assert set(ensemble["source"].to_pylist()) == {"ensemble"}
    schema = pq.read_schema(tmp_path / "None" / "data" / "train-00000-of-00003.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    one = {"names": list(samples.LABELS), "_type": "ClassLabel"}
    assert features["labels"] == {"feature": one, "_type": "Sequence"}
    assert list(features) == schema.names
    assert schema.field("labels").type == pa.list_(pa.int64())
    card = (tmp_path / "None" / "README.md").read_text()
    assert 'features["labels"].feature.names' in card


def test_a_spreadsheet_of_lists_is_read_as_labeled_rows(several_run: Path, tmp_path: Path) -> None:
    export_run(several_run, "csv", tmp_path / "csv")
    found = read_labeled(
        tmp_path / "csv" / "labeled.csv",
        ["text"],
        samples.LABELS,
        label_column="labels",
        several=True,
    )
    labels = label_table(several_run / "labels")
    given = [[samples.LABELS[n] for n in np.flatnonzero(row)] for row in found.labels]
    assert given == labels["labels"].to_pylist()
