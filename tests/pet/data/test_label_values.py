"""Labels as files write them: what each is to a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.data.label_values import drop_unlabeled, label_name, labels_of_rows
from pet.data.labeled import read_labeled
from pet.errors import InputError
from tests.support.files import parquet, write

LABELS = ("sport", "space")


def classes(path: Path, names: list[str], labels: list[int | None]) -> Path:
    """A Parquet file as `datasets` writes one with a ClassLabel."""
    about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    table = pa.table({"text": [f"text {n}" for n in range(len(labels))], "label": labels})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), path)
    return path


def read(path: Path, labels: tuple[str, ...] = LABELS) -> list[str]:
    return [labels[index] for index in read_labeled(path, ["text"], labels).labels]


def test_the_numbers_of_a_datasets_file_are_the_classes_it_names(tmp_path: Path) -> None:
    path = classes(tmp_path / "a.parquet", ["space", "sport"], [0, 1, 1])
    assert read(path) == ["space", "sport", "sport"]


def test_class_names_that_are_numbers_are_names_and_no_places(tmp_path: Path) -> None:
    """Stars from 1 to 3 are written as 0 to 2: read as numbers, each label would be one off."""
    path = classes(tmp_path / "a.parquet", ["1", "2", "3"], [0, 1, 2])
    assert read(path, ("1", "2", "3")) == ["1", "2", "3"]


def test_a_task_of_numbers_still_takes_the_numbers_of_a_datasets_file(tmp_path: Path) -> None:
    path = classes(tmp_path / "a.parquet", ["space", "sport"], [0, 1, 1])
    assert read(path, ("0", "1")) == ["0", "1", "1"]


def test_files_that_number_their_classes_differently_are_refused(tmp_path: Path) -> None:
    classes(tmp_path / "a.parquet", ["space", "sport"], [0, 1])
    classes(tmp_path / "b.parquet", ["sport", "space"], [0, 1])
    with pytest.raises(InputError, match=r"b\.parquet\n.*'space', 'sport'\n.*'sport', 'space'"):
        read(tmp_path)


@pytest.mark.parametrize("about", ["", "[]", "{", '{"info": {"features": {"label": 3}}}'])
def test_other_metadata_is_passed_over(tmp_path: Path, about: str) -> None:
    table = pa.table({"text": ["a", "b"], "label": ["sport", "space"]})
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == ["sport", "space"]


def test_a_list_of_one_label_is_that_label(tmp_path: Path) -> None:
    """Doccano writes every label as a list."""
    lines = [json.dumps({"text": name, "label": [name]}) for name in LABELS]
    write(tmp_path / "a.jsonl", "\n".join(lines))
    parquet(tmp_path / "a.parquet", text=["a", "b"], label=[[name] for name in LABELS])
    for path in tmp_path.iterdir():
        assert read(path) == list(LABELS), path


def test_several_labels_of_one_row_are_refused_with_the_row(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "a", "label": ["sport"]})] * 30
    lines += [json.dumps({"text": "b", "label": ["sport", "space"]})]
    with pytest.raises(InputError, match=r"several in 1 rows.*'a\.jsonl:30': 'sport', 'space'"):
        read(write(tmp_path / "a.jsonl", "\n".join(lines)))


def test_a_label_that_looks_like_a_list_is_a_label_where_the_task_has_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\na,"[""x""]"\nb,space\n')
    assert read(path, ('["x"]', "space")) == ['["x"]', "space"]


@pytest.mark.parametrize("mark", ["-1", "-1.0"])
def test_minus_one_is_no_label_and_no_mistake(tmp_path: Path, mark: str) -> None:
    """Snorkel's label functions abstain on any share of the rows."""
    path = write(tmp_path / "a.csv", f"text,label\na,0\nb,{mark}\nc,{mark}\nd,1\n")
    table = read_labeled(path, ["text"], ("0", "1"))
    assert table.columns["text"] == ["a", "d"]
    [warning] = table.warnings
    assert "2 of 4 rows cannot be used: -1 for no label (2)" in warning


def test_minus_one_is_a_label_where_the_task_has_it(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "text,label\na,-1\nb,1\n"), ("-1", "1")) == ["-1", "1"]


def test_whole_floats_in_text_are_the_integers_that_a_gap_made_of_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,1.0\nb,0.0\n")
    assert read(path, ("0", "1")) == ["1", "0"]
    assert read(path, ("0.0", "1.0")) == ["1.0", "0.0"]


@pytest.mark.parametrize(
    ("found", "kept"),
    [("-1 0 1 2", "0 1 2"), ("-1 0 1", "-1 0 1"), ("-1 1", "-1 1"), ("-1 a b c", "-1 a b c")],
)
def test_minus_one_is_left_out_of_a_first_task_where_it_plainly_is_none(
    found: str, kept: str
) -> None:
    assert drop_unlabeled(found.split()) == set(kept.split())


@pytest.mark.parametrize(
    ("value", "name"),
    [(1.0, "1"), (0.5, "0.5"), (True, "True"), (b"a", "a"), (None, None), (" ", None)],
)
def test_a_label_is_text(value: Any, name: str | None) -> None:
    assert label_name(value) == name
    assert labels_of_rows([value], ()) == [() if name is None else (name,)]
