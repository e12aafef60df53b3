"""Raw files in, Parquet files out."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from pet.data import limited_process, readers, text_readers, unpacking
from pet.data.data_files import Source
from pet.data.readers import (
    Chunk,
    count_rows,
    open_sources,
    read_answers,
    read_chunks,
    with_columns,
)
from pet.errors import InputError, PetError
from pet.storage.files import write_parquet
from tests.support.files import read, write


@pytest.fixture
def texts() -> pa.Table:
    return pa.table({"text": [f"text {number}" for number in range(1000)]})


def test_an_empty_file_is_not_taken_for_an_empty_pool(tmp_path: Path) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        with pytest.raises(InputError, match="an empty file"):
            open_sources(write(tmp_path / f"a.{suffix}", ""))


def test_ten_thousand_broken_files_make_one_problem_not_ten_thousand(tmp_path: Path) -> None:
    for number in range(50):
        write(tmp_path / f"{number:02}.csv", "")
    with pytest.raises(InputError, match=r"02\.csv and 47 more files") as caught:
        open_sources(tmp_path)
    assert len(caught.value.problems) == 1


def test_chunks_know_their_place_in_the_file(tmp_path: Path) -> None:
    count = 20_000
    write(tmp_path / "a.csv", "text\n" + "".join(f"t{n}\n" for n in range(count)))
    write(tmp_path / "b.jsonl", "".join(f'{{"text": "t{n}"}}\n' for n in range(count)))
    write_parquet(tmp_path / "c.parquet", pa.table({"text": [f"t{n}" for n in range(count)]}), {})
    for source in open_sources(tmp_path):
        assert count_rows(source) == count
        for chunk in read_chunks(source, ["text"], []):
            assert chunk.table.column("text")[0].as_py() == f"t{chunk.first}"
            assert chunk.cut(3, 5).table.column("text").to_pylist() == [
                f"t{chunk.first + 3}",
                f"t{chunk.first + 4}",
            ]


def test_a_file_that_changes_under_the_reader_fails_the_run(
    tmp_path: Path, texts: pa.Table
) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, texts, {})
    [source] = open_sources(path)
    chunks = read_chunks(source, ["text"], [])
    next(chunks)
    write_parquet(path, texts.slice(1), {})
    with pytest.raises(PetError, match="changed since the start") as caught:
        list(chunks)
    assert caught.value.exit_status == 1


def test_a_file_that_disappears_fails_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\na\n")
    [source] = open_sources(path)
    path.unlink()
    with pytest.raises(PetError, match="it has disappeared"):
        list(read_chunks(source, ["text"], []))
    with pytest.raises(PetError, match="it has disappeared"):
        count_rows(source)


def test_damage_in_the_middle_of_a_parquet_file_is_not_read_over(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.parquet"
    write_parquet(path, pa.table({"text": [rng.bytes(20).hex() for _ in range(5000)]}), {})
    content = bytearray(path.read_bytes())
    content[2000:4000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(InputError, match="a file that can be read to its end"):
        read(path)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path, texts: pa.Table) -> None:
    write_parquet(tmp_path / "a.parquet", texts, {"run": "1", "model": "m"})
    write_parquet(tmp_path / "b.parquet", texts, {"model": "m", "run": "1"})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_metadata_stands_in_the_file(tmp_path: Path, texts: pa.Table) -> None:
    write_parquet(tmp_path / "new" / "a.parquet", texts, {"fingerprint": "f1"})
    file = pq.ParquetFile(tmp_path / "new" / "a.parquet")
    assert file.metadata.metadata[b"fingerprint"] == b"f1"
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.read()["text"].to_pylist() == texts["text"].to_pylist()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, texts: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "a.parquet", texts, {})
    before = (tmp_path / "a.parquet").read_bytes()

    def fail(table: pa.Table, path: Path, **_: object) -> None:
        Path(path).write_bytes(before[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(PetError, match="free some space"):
        write_parquet(tmp_path / "a.parquet", texts.slice(1), {})
    assert (tmp_path / "a.parquet").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_arrow_reports_a_full_disk_in_a_way_that_we_understand(tmp_path: Path) -> None:
    code = """
import sys, pyarrow as pa
from pet.errors import PetError
from pet.storage.files import write_parquet
try:
    write_parquet(sys.argv[1], pa.table({"text": [str(n) for n in range(100_000)]}), {})
except PetError as error:
    sys.exit(str(error))
"""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    path = tmp_path / "a.parquet"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, preexec_fn=limit
    )
    assert "room on the disk" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_cannot_be_written_into(tmp_path: Path, texts: pa.Table) -> None:
    write(tmp_path / "labels", "a file")
    with pytest.raises(PetError, match="a place that can be written"):
        write_parquet(tmp_path / "labels" / "a.parquet", texts, {})


def test_a_parquet_file_cut_in_half_is_named_not_half_read(tmp_path: Path) -> None:
    texts = pa.table({"text": [f"text {number}" for number in range(1000)]})
    write_parquet(tmp_path / "whole.parquet", texts, {})
    content = (tmp_path / "whole.parquet").read_bytes()
    write(tmp_path / "half.parquet", content[: len(content) // 2])
    with pytest.raises(InputError, match=r"half\.parquet\n(.|\n)*cut off") as caught:
        open_sources(tmp_path)
    assert "whole.parquet" not in str(caught.value)


def test_a_csv_file_that_is_called_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a whole Parquet file"):
        open_sources(write(tmp_path / "a.parquet", "text\nhello world\n"))


def test_a_column_whose_name_begins_another_does_not_bring_it_along(tmp_path: Path) -> None:
    table = pa.table({"text.en": ["en"], "text": ["t"], "text_2": ["2"]})
    write_parquet(tmp_path / "a.parquet", table, {})
    assert read(tmp_path / "a.parquet") == ["t"]
    assert read(tmp_path / "a.parquet", "text.en") == ["en"]


ROWS = {"id": ["1", "2"], "text": ["a", "b\tc"]}


def write_as(path: Path, rows: dict[str, list[str]] = ROWS) -> Path:
    """Write a table as the file's name says."""
    table, frame = pa.table(rows), pd.DataFrame(rows)
    name = path.name
    if ".csv" in name or ".tsv" in name:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",", compression="infer")
    elif "json" in name:
        frame.to_json(path, orient="records", lines=True, compression="infer")
    elif ".feather" in name:
        feather.write_feather(table, path)
    elif ".arrow" in name:
        with pa.ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table)
    else:
        pq.write_table(table, path, compression="gzip")
    return path


@pytest.mark.parametrize(
    "name",
    [
        "a.csv", "a.csv.gz", "a.tsv", "a.TSV", "a.tsv.gz", "a.jsonl", "a.jsonl.gz", "a.ndjson",
        "a.ndjson.gz", "a.parquet", "a.parquet.gzip", "a.snappy.parquet", "a.pq", "a.parq",
        "a.feather", "a.arrow",
    ],
)  # fmt: skip
def test_every_usual_kind_of_file_has_the_same_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.TSV":
        write_as(tmp_path / "a.tsv").rename(path)
    else:
        write_as(path)
    assert read(path) == ROWS["text"]
    assert read(path, "id") == ROWS["id"]
    [source] = open_sources(path)
    assert (count_rows(source), source.schema.names) == (2, ["id", "text"])


def test_large_batches_of_arrow_are_read_in_pieces(tmp_path: Path) -> None:
    table = pa.table({"text": [f"t{n}" for n in range(20_000)], "more": range(20_000)})
    feather.write_feather(table, tmp_path / "a.feather", chunksize=15_000, compression="zstd")
    [source] = open_sources(tmp_path)
    sizes = [len(chunk) for chunk in read_chunks(source, ["text"], [])]
    assert sizes == [8192, 15_000 - 8192, 5000]
    assert read(tmp_path / "a.feather")[17_000] == "t17000"


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.feather", "a.arrow"])
def test_packed_files_that_are_cut_off_or_no_such_files_are_named(
    tmp_path: Path, name: str
) -> None:
    rows = {"text": [f"text {number * 7919 % 10007}" for number in range(5000)]}
    content = write_as(tmp_path / name, rows).read_bytes()
    path = write(tmp_path / "half" / name, content[: len(content) // 2])
    with pytest.raises(InputError, match="write or copy it again"):
        count_rows(open_sources(path)[0])
    with pytest.raises(InputError, match="a whole"):
        open_sources(write(tmp_path / "other" / name, "text\na\n"))


def test_what_a_small_file_may_unpack_to_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_UNPACKED", 1 << 20)
    line = b'{"text": "a"}\n'
    small = write(tmp_path / "a.jsonl.gz", gzip.compress(line * 1000))
    assert len(read(small)) == 1000
    path = write(tmp_path / "b.jsonl.gz", gzip.compress(line * 200_000))
    with pytest.raises(InputError, match="unpacks to at most 1,048,576 bytes"):
        count_rows(open_sources(path)[0])
    texts = pa.table({"text": ["a" * 1000] * 2000})
    feather.write_feather(texts, tmp_path / "c.feather", compression="zstd")
    with pytest.raises(InputError, match="unpacks to at most 1,048,576 bytes"):
        read(tmp_path / "c.feather")


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl", "a.feather"])
def test_columns_of_folder_names_are_columns_of_their_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "lang=de" / name
    path.parent.mkdir()
    write_as(path)
    [source] = open_sources(tmp_path)
    assert source.schema.names == ["id", "text", "lang"]
    for texts, others in ((["text"], ["lang"]), ([], ["lang"]), ([], ["lang", "id"])):
        [chunk] = read_chunks(source, texts, others)
        assert chunk.table.schema.names == [*texts, *others]
        assert chunk.table.column("lang").to_pylist() == ["de", "de"]


def test_a_key_that_first_stands_far_down_is_a_column(tmp_path: Path) -> None:
    """Ids became places, and a column to keep was unknown."""
    lines = ['{"text": "a"}'] * 30 + ['{"text": "b", "id": "x", "\\u00e9": 1}', '{"text": "c"}']
    [source] = open_sources(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert source.schema.names == ["text"]
    found = with_columns(source, ["id", "none", "text"])
    assert (found.schema.names, found.rows) == (["text", "id"], 32)
    assert with_columns(source, ["\u00e9"]).schema.names == ["text", "\u00e9"]
    assert with_columns(source, None).schema.names == ["text", "id", "\u00e9"]


@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_replaced_by_one_of_the_same_size_and_time_is_refused(
    tmp_path: Path, in_place: bool
) -> None:
    """The time of the last write can be set; the labels would be of other texts than the ids."""
    path = write(tmp_path / "a.csv", "text\nthe team won\n")
    (source,) = open_sources(path)
    status = path.stat()
    if not in_place:
        path.unlink()
    write(path, "text\nthe moon won\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(PetError, match="it has changed since the start"):
        list(read_chunks(source, ["text"], ()))


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.csv"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="expected: a plain file"):
        open_sources(tmp_path)


def test_a_dictionary_index_out_of_bounds_is_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = pa.array(["the team won", "a rocket"] * 20).dictionary_encode()
    write_parquet(tmp_path / "a.parquet", pa.table({"text": texts}), {})
    (source,) = open_sources(tmp_path)
    broken = pa.DictionaryArray.from_arrays(pa.array([0, 7]), ["a", "b"], safe=False)
    batch = pa.RecordBatch.from_arrays([broken], ["text"])
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: iter([batch]))
    with pytest.raises(InputError, match="a file that can be read to its end"):
        list(read_chunks(source, ["text"], ()))


def test_a_column_name_that_is_no_unicode_is_the_files_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["the team won"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"text", b"te\xffx"))
    with pytest.raises(InputError, match="a whole Parquet file"):
        open_sources(tmp_path)


def bomb(path: Path) -> None:
    """A few hundred bytes that decode to a text of a megabyte in each of 8,192 rows."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 8192, pa.int32()), ["a" * (1 << 20)])
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", store_schema=False)


def many_rows(path: Path) -> None:
    """A few kilobytes that decode to twenty million rows without a text."""
    with pq.ParquetWriter(path, pa.schema([("text", pa.string())]), compression="zstd") as file:
        file.write_table(pa.table({"text": pa.nulls(20_000_000, pa.string())}))


def packed(path: Path) -> None:
    texts = pa.table({"text": ["a" * (1 << 20)] * 150})
    feather.write_feather(texts, path, compression="zstd")


@pytest.mark.parametrize(
    ("name", "make", "found"),
    [
        ("a.parquet", bomb, "one that takes more"),
        ("b.parquet", many_rows, "unpacks to at most"),
        ("c.feather", packed, "one that takes more|unpacks to at most"),
    ],
)
def test_a_small_file_that_asks_for_gigabytes_is_refused_by_every_reader(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[Path], None],
    found: str,
) -> None:
    monkeypatch.setattr(limited_process, "MEMORY_BYTES", 128 << 20)
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [source] = open_sources(tmp_path / name)
    for read_it in (lambda: list(read_chunks(source, ["text"], ())), lambda: read_labels(source)):
        with pytest.raises(InputError, match=found) as caught:
            read_it()
        assert str(tmp_path / name) in str(caught.value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 << 10, "it was decoded here"


def read_labels(source: Source) -> list[Chunk]:
    return list(read_answers(source, ["text"]))


def test_a_file_is_decoded_once_more_only_when_it_has_changed(tmp_path: Path) -> None:
    """The look at it would cost as much time again with every pass."""
    write_parquet(tmp_path / "a.parquet", pa.table({"text": ["a", "b"]}), {})
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "call_limited", lambda *_, **named: calls.append(named["name"]))
        for _ in range(3):
            assert read(tmp_path / "a.parquet") == ["a", "b"]
        assert len(calls) == 1
        write_parquet(tmp_path / "a.parquet", pa.table({"text": ["c"]}), {})
        assert read(tmp_path / "a.parquet") == ["c"]
        assert len(calls) == 2


def test_long_texts_are_held_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (readers, text_readers):
        monkeypatch.setattr(module, "CHUNK_BYTES", 32 << 10)
    rng = np.random.default_rng(0)
    long = [rng.bytes(512).hex() for _ in range(100)]
    write_parquet(tmp_path / "a.parquet", pa.table({"text": long}), {})
    write(tmp_path / "b.jsonl", "".join(f'{{"text": "{text}"}}\n' for text in long))
    write(tmp_path / "c.csv", "text\n" + "".join(f"{text}\n" for text in long))
    for source in open_sources(tmp_path):
        chunks = [chunk.table.column("text") for chunk in read_chunks(source, ["text"], ())]
        assert [text for chunk in chunks for text in chunk.to_pylist()] == long
        assert 3 < len(chunks) < 6


def test_a_column_name_that_is_no_text_is_the_files_fault(tmp_path: Path) -> None:
    """Arrow reads it where it is first asked for."""
    path = tmp_path / "a.arrow"
    write_as(path)
    path.write_bytes(path.read_bytes().replace(b"text", b"te\xffx"))
    with pytest.raises(InputError, match="a whole Arrow or Feather file"):
        open_sources(path)
