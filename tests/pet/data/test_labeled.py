"""Labeled sets, as users bring them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pet.data.labeled import read_labeled
from pet.data.rejections import RejectedRow
from pet.errors import InputError
from tests.support.files import parquet, write

LABELS = ("sport", "space")


def labeled(path: Path, **options: Any) -> Any:
    return read_labeled(path, ["text"], LABELS, **options)


def test_labels_point_into_the_tasks_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", "text,label\nball,sport\nmoon,space\ngoal,sport\n")
    table = labeled(path)
    assert table.labels.tolist() == [0, 1, 0]
    assert table.labels.dtype == np.int64
    assert table.columns == {"text": ["ball", "moon", "goal"]}
    assert (len(table), table.path, table.warnings, table.rejected) == (3, path, [], [])


def test_number_labels_meet_the_tasks_text_in_every_format(tmp_path: Path) -> None:
    parquet(tmp_path / "int.parquet", text=["a", "b"], label=[0, 1])
    parquet(tmp_path / "float.parquet", text=["a", "b"], label=[0.0, 1.0])
    parquet(
        tmp_path / "categories.parquet",
        text=["a", "b"],
        label=pa.array(["0", "1"]).dictionary_encode(),
    )
    write(tmp_path / "a.csv", "text,label\na,0\nb,1\n")
    write(tmp_path / "a.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": "1"}\n')
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 5
    for path in paths:
        assert read_labeled(path, ["text"], ["0", "1"]).labels.tolist() == [0, 1], path


def test_true_and_whole_floats_as_labels_are_the_same_in_json_as_in_parquet(
    tmp_path: Path,
) -> None:
    """A task of the labels True and False, as boolq is, would know none of a JSON file's."""
    values = {"bool": [True, False], "float": [1.0, 0.0], "half": [0.5, 1.5]}
    names = {"bool": ["True", "False"], "float": ["1", "0"], "half": ["0.5", "1.5"]}
    for kind, labels in values.items():
        parquet(tmp_path / f"{kind}.parquet", text=["a", "b"], label=labels)
        lines = [json.dumps({"text": t, "label": v}) for t, v in zip("ab", labels, strict=True)]
        write(tmp_path / f"{kind}.jsonl", "\n".join([*lines, '{"text": "c", "label": NaN}']))
        for path in tmp_path.glob(f"{kind}.*"):
            table = read_labeled(path, ["text"], names[kind], max_rejected=0.5)
            assert (table.ids[:2], table.labels.tolist()) == (table.ids, [0, 1]), path


def test_unknown_labels_are_listed_with_counts_beside_the_tasks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,sports\nb,sports\nc,space\nd,Space\n")
    with pytest.raises(
        InputError, match=r"'sport', 'space'\n.*'sports' \(2 rows\), 'Space' \(1 rows\)"
    ):
        labeled(path)


def test_rows_without_a_label_are_set_aside_under_their_file_and_row(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", text=["a", None, "c"], label=["sport", "sport", None])
    parquet(tmp_path / "b.parquet", text=["d", "e"], label=[" ", "space"])
    table = labeled(tmp_path, max_rejected=0.9)
    assert table.ids == ["a.parquet:0", "b.parquet:1"]
    assert table.labels.tolist() == [0, 1]
    assert table.rejected == [
        RejectedRow("a.parquet", 1, "no text"),
        RejectedRow("a.parquet", 2, "no label"),
        RejectedRow("b.parquet", 0, "no label"),
    ]


def test_too_many_unusable_rows_stop_with_reasons_and_places(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,sport\n,space\nc,space\n d,\n")
    with pytest.raises(InputError, match=r"2 of 4: .*no label \(1\).*row 1 of a\.csv"):
        labeled(path)
    assert len(labeled(path, max_rejected=0.5)) == 2


@pytest.mark.parametrize("rows", ["", ",sport\n,space\n"])
def test_a_labeled_set_without_a_usable_row_is_refused_however_patient(
    tmp_path: Path, rows: str
) -> None:
    with pytest.raises(InputError, match="at least one usable row"):
        labeled(write(tmp_path / "a.csv", "text,label\n" + rows), max_rejected=1.0)


def test_ids_that_occur_twice_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text,label\n1,a,sport\n1,b,space\n2,c,sport\n")
    with pytest.raises(InputError, match="1 ids that occur more than once: '1'"):
        labeled(path)


def test_all_problems_of_a_labeled_set_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        labeled(parquet(tmp_path / "a.parquet", body=["a"], target=["sport"]))
    options = [problem.fix for problem in caught.value.problems]
    assert len(options) == 2
    assert "--text-column" in options[0]
    assert "--label-column" in options[1]
    path = write(tmp_path / "b.csv", "id,text,label\n1,a,x\n1,b,space\n2,,sport\n")
    with pytest.raises(InputError) as caught:
        labeled(path)
    assert len(caught.value.problems) == 3


def test_a_label_without_an_example_is_said_not_passed_over(tmp_path: Path) -> None:
    table = labeled(write(tmp_path / "a.csv", "text,label\na,sport\n"))
    [warning] = table.warnings
    assert "no example of the label 'space'" in warning


def test_one_text_with_two_labels_is_said_with_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,sport\nb,space\na,space\nb,space\n")
    [warning] = labeled(path).warnings
    assert "1 texts occur with more than one label" in warning
    assert "a.csv:0 and a.csv:2" in warning


def test_other_column_names_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "key,body,topic\nk1,a,sport\nk2,b,space\n")
    table = labeled(path, columns={"text": "body"}, label_column="topic", id_column="key")
    assert table.ids == ["k1", "k2"]
    assert table.columns == {"text": ["a", "b"]}


def test_labels_alike_but_for_their_writing_are_one_slip(tmp_path: Path) -> None:
    rows = [("a", "Caf\u00e9"), ("b", "cafe\u0301"), ("c", "CAF\u00c9 "), ("d", "bar")]
    path = parquet(tmp_path / "a.parquet", text=[t for t, _ in rows], label=[n for _, n in rows])
    with pytest.raises(InputError) as caught:
        read_labeled(path, ["text"], ["caf\u00e9", "bar"])
    assert r"a slip? 'Caf\xe9', 'cafe\u0301', 'CAF\xc9 ' for 'caf\xe9'; " in ascii_of(caught.value)
    assert str(caught.value).count("slip") == 1
    assert r"'cafe\u0301'" in str(caught.value), "it looks like the label itself"


def ascii_of(error: Exception) -> str:
    return str(error).encode("ascii", "backslashreplace").decode()


def test_a_text_with_two_labels_is_found_in_another_case(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=["The team won", "the team won "], label=["a", "b"])
    (warning,) = read_labeled(path, ["text"], ["a", "b"]).warnings
    assert "1 texts occur with more than one label" in warning


def test_texts_that_are_taken_for_labels_do_not_fill_the_screen(tmp_path: Path) -> None:
    rows = "".join(f"a text,{number}{'long ' * 5000}\n" for number in range(30))
    path = write(tmp_path / "a.csv", f"text,label\n{rows}")
    with pytest.raises(InputError, match="other labels") as caught:
        read_labeled(path, ["text"], ["sport", "space"])
    assert len(str(caught.value)) < 6000


def sets(path: Path, **options: Any) -> Any:
    return labeled(path, several=True, **options)


def test_lists_of_labels_are_read_alike_from_every_format(tmp_path: Path) -> None:
    wanted = [[True, True], [False, False], [False, True]]
    lists = [["sport", "space", "sport"], [], ["space"]]
    parquet(tmp_path / "a.parquet", text=list("abc"), label=pa.array(lists, pa.list_(pa.string())))
    rows = [{"text": t, "label": own} for t, own in zip("abc", lists, strict=True)]
    write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    write(tmp_path / "a.csv", 'text,label\na,"[""sport"", ""space""]"\nb,[]\nc,space\n')
    for path in sorted(tmp_path.iterdir()):
        table = sets(path)
        assert table.labels.tolist() == wanted, path
        assert table.labels.dtype == np.bool_
    write(tmp_path / "b.csv", "text,label\na,sport; space\nb,[]\nc,space\n")
    assert sets(tmp_path / "b.csv", separator=";").labels.tolist() == wanted


def test_a_row_with_none_of_the_labels_is_known_and_one_without_an_answer_is_not(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,sport\nb,[]\nc,\nd,space\n")
    table = sets(path, max_rejected=0.5)
    assert table.labels.sum(axis=1).tolist() == [1, 0, 1]
    assert [row.reason for row in table.rejected] == ["no label"]


def test_an_unknown_label_in_a_list_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": ["sport", "spce"]}\n')
    with pytest.raises(InputError) as caught:
        sets(path)
    assert "'spce' (1 rows)" in str(caught.value)
    assert "for 'space'" in str(caught.value)


def test_a_list_in_one_cell_asks_for_its_separator(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,sport;space\nb,space\n")
    with pytest.raises(InputError) as caught:
        sets(path)
    assert 'labels_separated_by = ";"' in str(caught.value)


def test_lists_where_one_label_is_meant_name_the_task_files_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": ["sport", "space"]}\n')
    with pytest.raises(InputError) as caught:
        labeled(path)
    assert 'labels_per_text = "any"' in str(caught.value)


def test_one_label_a_row_where_several_may_be_is_read_with_a_warning(tmp_path: Path) -> None:
    table = sets(write(tmp_path / "a.csv", "text,label\na,sport\nb,space\n"))
    assert table.labels.tolist() == [[True, False], [False, True]]
    assert any("exactly one label" in warning for warning in table.warnings)


def test_labels_that_say_nothing_and_texts_that_contradict_are_named(tmp_path: Path) -> None:
    table = sets(write(tmp_path / "a.csv", "text,label\na,sport\na,[]\nb,sport\n"))
    assert len([own for own in table.warnings if "no example of the label 'space'" in own]) == 1
    assert any("occur again with other labels" in own for own in table.warnings)
    table = sets(write(tmp_path / "b.csv", "text,label\na,sport\nb,sport\n"))
    assert any("every row has the label 'sport'" in own for own in table.warnings)


def test_a_column_of_0_and_1_for_each_label_is_read_as_lists_are(tmp_path: Path) -> None:
    """Toxic comments, emotions and Stack Overflow's tags come so."""
    wanted = [[True, True], [False, False], [False, True]]
    sport, space = [True, False, False], [True, False, True]
    text = list("abc")
    parquet(tmp_path / "a.parquet", text=text, space=space, sport=sport)
    parquet(tmp_path / "b.parquet", text=text, space=[1, 0, 1], sport=[1.0, 0.0, 0.0], more=text)
    write(tmp_path / "a.csv", "text,sport,space\na,1,1\nb,0,0\nc,0,True\n")
    rows = zip(text, sport, space, strict=True)
    lines = [json.dumps({"text": t, "sport": a, "space": b}) for t, a, b in rows]
    write(tmp_path / "a.jsonl", "\n".join(lines))
    for path in sorted(tmp_path.iterdir()):
        assert sets(path).labels.tolist() == wanted, path


def test_a_row_is_answered_if_every_label_of_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,sport,space\na,1,1\nb,,0\nc,-1,-1\nd,0,1\ne,0,0\n")
    table = sets(path, max_rejected=0.5)
    assert (table.ids, len(table.rejected)) == (["a.csv:0", "a.csv:3", "a.csv:4"], 2)


def test_what_is_no_indicator_and_a_missing_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'yes \(sport\)' \(1 rows\)"):
        sets(write(tmp_path / "a.csv", "text,sport,space\na,yes,1\n"))
    with pytest.raises(InputError, match="or one of 0 and 1 for every label"):
        sets(write(tmp_path / "b.csv", "text,sport\na,1\n"))
