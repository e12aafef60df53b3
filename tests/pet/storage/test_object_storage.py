"""Data files in a bucket: the same rows as on a disk, and the same care."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.data.labeled import read_labeled, table_digest
from pet.data.pool import open_pool
from pet.errors import InputError, PetError
from pet.inputs.reading import open_session
from pet.storage.digests import content_digest
from pet.storage.object_storage import (
    BLOCKS,
    as_disk_error,
    file_system,
    key_of,
    kind_of,
    names_in,
    open_binary,
    path_of,
    storage_error,
)
from tests.pet.test_pipeline import Configure
from tests.support import samples

S3File = pytest.importorskip("s3fs").S3File


def send(folder: Path, address: str) -> None:
    """Copy a folder into the bucket."""
    files = file_system(address)
    for path in folder.rglob("*"):
        if path.is_file():
            files.put_file(str(path), f"{address}/{path.relative_to(folder).as_posix()}")


@pytest.fixture
def pool_folder(tmp_path: Path) -> Path:
    """A pool of three kinds of files, and some that are none of it."""
    folder = tmp_path / "pool"
    (folder / "more").mkdir(parents=True)
    samples.write_pool(folder / "a.parquet", samples.pool_texts())
    samples.write_csv(folder / "more" / "b.csv", [["a \u00fc", "1"], ["b", "2"]], ("text", "id"))
    (folder / "c.jsonl").write_text('{"text": "c"}\n\n{"text": 5}\n')
    for name in ("_log.csv", ".x.csv", "notes.txt"):
        (folder / name).write_text("text\nno\n")
    return folder


def rows_of(place: str | Path) -> list[tuple[str, str]]:
    pool = open_pool(place, ["text"])
    return [row for b in pool.batches(7) for row in zip(b.ids, b.columns["text"], strict=True)]


def test_a_pool_in_a_bucket_has_the_rows_and_the_name_of_one_on_a_disk(
    bucket: str, pool_folder: Path
) -> None:
    """Another digest, and every run would begin anew once its pool has moved."""
    (pool_folder / "more" / "b.csv").unlink()  # it has ids of its own
    send(pool_folder, f"{bucket}/pool")
    here, there = open_pool(pool_folder, ["text"]), open_pool(f"{bucket}/pool/", ["text"])
    assert rows_of(f"{bucket}/pool") == rows_of(pool_folder)
    assert [source.name for source in there.sources] == ["a.parquet", "c.jsonl"]
    assert there.count_rows() == here.count_rows() == 42
    assert content_digest(there.files, root=there.path) == content_digest(
        here.files, root=here.path
    )


@pytest.mark.parametrize("name", ["a.parquet", "more/b.csv", "c.jsonl"])
def test_one_file_in_a_bucket_is_read_by_its_address(
    bucket: str, pool_folder: Path, name: str
) -> None:
    send(pool_folder, f"{bucket}/pool")
    assert rows_of(f"{bucket}/pool/{name}") == rows_of(pool_folder / name)


def test_a_labeled_set_in_a_bucket_is_the_same_set(bucket: str, inputs_folder: Path) -> None:
    send(inputs_folder, bucket)
    there = read_labeled(f"{bucket}/labeled.csv", ["text"], samples.LABELS)
    here = read_labeled(inputs_folder / "labeled.csv", ["text"], samples.LABELS)
    assert table_digest(there) == table_digest(here)


@pytest.mark.parametrize(("change", "said"), [("write", "it has changed"), ("rm", "disappeared")])
@pytest.mark.parametrize("name", ["a.parquet", "c.jsonl"])
def test_a_file_that_changes_or_vanishes_while_it_is_read_is_noticed(
    bucket: str, pool_folder: Path, change: str, said: str, name: str
) -> None:
    """Ranges of two versions make a file that nobody wrote."""
    send(pool_folder, f"{bucket}/pool")
    pool = open_pool(f"{bucket}/pool/{name}", ["text"])
    if change == "rm":
        file_system(bucket).rm_file(f"{bucket}/pool/{name}")
    else:
        file_system(bucket).pipe_file(f"{bucket}/pool/{name}", b'{"text": "new"}\n')
    with pytest.raises(PetError, match=said):
        list(pool.batches())


def test_reading_a_range_of_another_version_fails(bucket: str) -> None:
    file_system(bucket).pipe_file(f"{bucket}/x", bytes(9 << 20))
    with open_binary(path_of(f"{bucket}/x")) as stream:
        stream.read(10)
        file_system(bucket).pipe_file(f"{bucket}/x", bytes(8 << 20) + b"!" * (1 << 20))
        stream.seek(8 << 20)
        with pytest.raises(OSError, match=r".+"):
            stream.read(10)


def test_neither_memory_nor_traffic_grows_with_what_is_not_read(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = np.random.default_rng(0).integers(97, 122, (600, 100_000), np.uint8)
    table = pa.table({"text": [row.tobytes().decode() for row in letters]})
    pq.write_table(table, tmp_path / "big.parquet", row_group_size=100, compression="none")
    file_system(bucket).put_file(str(tmp_path / "big.parquet"), f"{bucket}/big.parquet")
    fetched: list[int] = []
    fetch = S3File._fetch_range

    def count(self: Any, start: int, end: int) -> bytes:
        fetched.append(end - start)
        return fetch(self, start, end)

    monkeypatch.setattr(S3File, "_fetch_range", count)
    assert open_pool(f"{bucket}/big.parquet", ["text"]).count_rows() == 600
    assert sum(fetched) < 10 << 20  # of 60 MB: the footer's surroundings
    with open_binary(path_of(f"{bucket}/big.parquet")) as stream:
        while stream.read(1 << 20):
            pass
        kept = stream.raw._file.cache.cache_info().currsize
    assert 1 < kept <= BLOCKS < len(fetched)


@pytest.mark.parametrize(
    ("address", "said"),
    [("s3://no-such-bucket-here/x", "a bucket that is there"), ("/nothing", "nothing there")],
)
def test_a_place_where_nothing_is_says_so(bucket: str, address: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_pool(address if "://" in address else bucket + address, ["text"])


@pytest.mark.parametrize("name", ["my-bucket-{}", "acme-{}"])
@pytest.mark.parametrize("key", ["runs/a", "bucket/a"])
def test_a_new_folder_in_a_bucket_whose_name_says_bucket_is_no_missing_bucket(
    bucket: str, name: str, key: str
) -> None:
    """Else nobody could begin a run in s3://acme-bucket."""
    address = f"s3://{name.format(bucket.removeprefix('s3://'))}"
    files = file_system(address)
    files.mkdir(key_of(address))
    assert names_in(f"{address}/{key}") == []
    assert kind_of(path_of(f"{address}/{key}")) is None
    files.rmdir(key_of(address))
    with pytest.raises(InputError, match="no bucket of the name"):
        names_in(f"{address}/{key}")


def test_who_may_not_look_at_a_whole_bucket_may_use_a_part_of_it(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = file_system(bucket)
    info = files.info

    def refuse(key: str) -> Any:
        if "/" not in key:
            raise PermissionError("Forbidden")
        return info(key)

    monkeypatch.setattr(files, "info", refuse)
    assert names_in(f"{bucket}/nothing") == []
    assert kind_of(path_of(f"{bucket}/nothing")) is None


def test_all_places_that_are_wrong_are_reported_at_once(bucket: str, config_for: Configure) -> None:
    wrong = {"pool": f"{bucket}/no", "test": f"{bucket}/none", "out": "s3://no-such-bucket-at-all"}
    with pytest.raises(InputError) as caught:
        open_session(config_for().model_copy(update=wrong))
    assert {problem.where for problem in caught.value.problems} == set(wrong.values())


def test_no_credentials_are_said_to_be_missing(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    file_system(bucket).clear_instance_cache()
    with pytest.raises(InputError, match="no credentials"):
        open_pool(f"{bucket}/x", ["text"])


def test_a_storage_that_does_not_answer_is_no_fault_of_the_input(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    files = file_system(bucket)
    files.clear_instance_cache()
    monkeypatch.setattr(type(files), "retries", 1)
    with pytest.raises(PetError, match="it goes on") as caught:
        open_pool(f"{bucket}/x", ["text"])
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PermissionError("Access Denied"), 2),
        (FileNotFoundError("no bucket"), 2),
        (TimeoutError(), 1),
        (ConnectionResetError(104, "reset"), 1),
        (OSError(5, "Slow Down"), 1),
    ],
)
def test_every_answer_of_a_storage_becomes_one_screen(error: OSError, status: int) -> None:
    with pytest.raises(OSError, match=r".+") as caught, as_disk_error("s3://bucket/x"):
        raise error
    assert caught.value.errno
    said = storage_error("s3://bucket/x", caught.value)
    assert said.exit_status == status
    assert [f"\n  {part}: " in str(said) for part in ("expected", "found", "fix")] == [True] * 3


def test_trouble_with_this_machines_disk_is_not_blamed_on_the_storage(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))
    with pytest.raises(OSError, match="No space") as caught, as_disk_error("s3://bucket/x"):
        raise full
    assert caught.value is full


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ImportError("no gcsfs")

    monkeypatch.setattr("fsspec.filesystem", refuse)
    with pytest.raises(InputError, match=r"gcsfs[\s\S]*pip install 'pet\[gs\]'"):
        open_pool("gs://bucket/x", ["text"])


def test_a_path_on_a_disk_stays_what_it_is(tmp_path: Path) -> None:
    assert type(path_of(tmp_path)) is type(path_of(str(tmp_path))) is type(tmp_path)
    shutil.copy(__file__, tmp_path / "s3:x")
    assert path_of(tmp_path / "s3:x").is_file()
