"""Faults put into runs of a tiny model: what is said, what stays, and that the run goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from pet.errors import InputError, Interrupted, PetError
from pet.models.model import Classifier
from pet.pipeline import label_pool
from pet.progress import Observer
from pet.storage import files
from pet.storage.units import DONE
from tests.faults.runs import digests
from tests.support import samples

Configure = Callable[..., Any]


class At(Observer):
    """Does something once, when a stage is some way on."""

    def __init__(self, stage: str, act: Callable[[], None]):
        self._stage, self._act = stage, act
        self.stages: list[str] = []
        self.said: list[str] = []

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        self.stages.append(stage)

    def advance(self, amount: int) -> None:
        if self.stages[-1] == self._stage:
            self._stage = ""
            self._act()

    def note(self, line: str) -> None:
        self.said.append(line)


def stop() -> None:
    raise Interrupted("by the test")


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def units(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ino for path in out.rglob(DONE)}


def no_remains(out: Path) -> None:
    assert not list(out.rglob(f"{files.TEMPORARY_PREFIX}*"))


@pytest.mark.parametrize("size", [pytest.param(10, marks=pytest.mark.faults), 60_000])
def test_a_disk_that_is_full_ends_the_run_in_one_screen_and_it_goes_on(
    config_for: Configure, tiny_run: Path, size: int
) -> None:
    """safetensors and tokenizers raise errors of their own, which would be a traceback."""
    config = config_for()
    out = Path(config.out)
    with room_for(size), pytest.raises(InputError, match="room on the disk") as caught:
        label_pool(config)
    assert caught.value.exit_status == 2
    assert "it goes on" in caught.value.problems[0].fix
    no_remains(out)
    before = units(out)
    label_pool(config)
    assert before.items() <= units(out).items(), "what was made was made again"
    assert digests(out) == digests(tiny_run)


def refused(config: Any) -> InputError | None:
    try:
        label_pool(config)
    except InputError as error:
        return error
    return None


@pytest.mark.faults
def test_whichever_write_fails_nothing_is_lost(
    config_for: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tmp_path / "task.toml"
    task.write_text(samples.task_toml(["category"]))
    small = {"task": str(task), "shard_rows": 25, "test": None, **samples.SHIPPED}
    label_pool(config_for(out=tmp_path / "whole" / "news", **small))
    failed: list[Path] = []
    real = files._put_in_place

    def fail_once(new: Path, target: Path, aside: Path) -> None:
        if (name := files.lasting_name(target)) not in failed:
            failed.append(name)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(new, target, aside)

    monkeypatch.setattr(files, "_put_in_place", fail_once)
    config = config_for(**small)
    out = Path(config.out)
    before: dict[str, int] = {}
    while error := refused(config):
        assert error.problems[0].expected == "room on the disk"
        assert error.problems[0].where == str(failed[-1])
        no_remains(out)
        assert before.items() <= units(out).items(), "what was made is lost"
        before = units(out)
    assert len(failed) > 20
    assert digests(out) == digests(tmp_path / "whole" / "news")
    written = [path.relative_to(out).as_posix() for path in failed]
    of_run = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    for file in of_run - {".lock"}:  # there is no other way to write
        assert any(file == name or file.startswith(f"{name}/") for name in written), file


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, where the machine lets us have one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no right to mount a disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


@pytest.mark.durable
def test_a_small_disk_that_is_made_larger(
    config_for: Configure, tiny_run: Path, small_disk: Path
) -> None:
    config = config_for(out=small_disk / "news")
    with pytest.raises(InputError, match="No space left on device"):
        label_pool(config)
    (small_disk / "fill").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
    with pytest.raises(InputError, match="No space left on device"):
        label_pool(config)
    remount(small_disk, "size=50m")
    label_pool(config)
    assert digests(Path(config.out)) == digests(tiny_run)


@pytest.mark.durable
def test_a_disk_that_becomes_read_only(
    config_for: Configure, tiny_run: Path, small_disk: Path
) -> None:
    """For root too, whom permissions do not stop."""
    remount(small_disk, "size=50m")
    config = config_for(out=small_disk / "news")
    with pytest.raises(Interrupted):
        label_pool(config, observer=At("training g0-last-r0", stop))
    remount(small_disk, "ro")
    for where in (config, config_for(out=small_disk / "new")):
        with pytest.raises(InputError, match="a place that can be written") as caught:
            label_pool(where)
        assert "Read-only file system" in str(caught.value)
    remount(small_disk, "rw")
    label_pool(config)
    assert digests(Path(config.out)) == digests(tiny_run)


@pytest.mark.parametrize(
    ("stage", "gone"), [("taking the pool's fingerprint", True), ("labeling the pool", False)]
)
def test_a_pool_that_changes_while_it_is_read(
    config_for: Configure, tiny_run: Path, tmp_path: Path, stage: str, gone: bool
) -> None:
    inputs = samples.write_inputs(tmp_path / "inputs")
    pool = inputs / "pool.parquet"
    content = pool.read_bytes()

    def change() -> None:
        pool.unlink() if gone else samples.write_pool(pool, ["other texts"] * 40)

    config = config_for(inputs=inputs)
    found = "it has disappeared" if gone else "it has changed since the start"
    with pytest.raises(PetError, match=found) as caught:
        label_pool(config, observer=At(stage, change))
    assert str(pool) in str(caught.value)
    assert "fix:" in str(caught.value)
    out = Path(config.out)
    assert not (out / "labels" / ".done.json").exists()
    before = units(out)
    pool.write_bytes(content)
    label_pool(config)
    assert before.items() <= units(out).items()
    assert digests(out) == digests(tiny_run)


def test_a_row_group_that_is_damaged_is_the_inputs_fault(
    config_for: Configure, tiny_run: Path, tmp_path: Path
) -> None:
    inputs = samples.write_inputs(tmp_path / "inputs")
    pool = inputs / "pool.parquet"
    table = pq.read_table(pool)
    pq.write_table(table, pool, row_group_size=10, write_page_checksum=True)
    content = pool.read_bytes()
    start = pq.read_metadata(pool).row_group(2).column(0).data_page_offset
    pool.write_bytes(content[:start] + bytes(40) + content[start + 40 :])
    config = config_for(inputs=inputs)
    with pytest.raises(InputError, match="a file that can be read to its end") as caught:
        label_pool(config)
    assert caught.value.problems[0].where == str(pool)
    assert not Path(config.out).exists()
    pool.write_bytes(content)
    label_pool(config)
    texts = {name: at for name, at in digests(Path(config.out)).items() if "rejected" in name}
    assert texts.items() <= digests(tiny_run).items()


CUT = ("manifest.json", "config.json", "task.toml", "report.json", "rejected.parquet",
       f"unlabeled/{DONE}", f"members/g0-last-r0/{DONE}", f"soft_labels/{DONE}",
       f"student/{DONE}", f"supervised/{DONE}", "student/model.safetensors",
       "members/g0-last-r0/logits/labeled.parquet", "unlabeled/rows.parquet",
       "labels/.done.json", "labels/part-00001.parquet")  # fmt: skip


EMPTY = (f"student/{DONE}", "student/model.safetensors", "labels/part-00001.parquet")


@pytest.mark.parametrize(
    ("name", "share"), [*((name, 0.7) for name in CUT), *((name, 0.0) for name in EMPTY)]
)
def test_a_file_that_was_cut_off_is_made_again_and_little_else(
    config_for: Configure, tiny_run: Path, run_copy: Path, name: str, share: float
) -> None:
    path = run_copy / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    before = units(run_copy)
    label_pool(config_for(out=run_copy))
    assert digests(run_copy) == digests(tiny_run)
    again = {name for name, inode in units(run_copy).items() if before.get(name) != inode}
    assert len(again) <= 1, f"made again: {again}"


def test_a_damaged_manifest_is_reported(config_for: Configure, run_copy: Path) -> None:
    (run_copy / "manifest.json").write_text('{"run_id": "06f')
    observer = At("", stop)
    label_pool(config_for(out=run_copy), observer=observer)
    assert any("manifest.json is damaged: it is written anew" in line for line in observer.said)
    assert "training g0-last-r0" not in observer.stages


def test_a_folder_of_others_with_a_broken_manifest_is_left_alone(
    config_for: Configure, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "manifest.json").write_text("{broken")
    (site / "index.html").write_text("theirs")
    with pytest.raises(InputError, match="a folder with other files"):
        label_pool(config_for(out=site))
    assert {path.name for path in site.iterdir()} == {"manifest.json", "index.html"}


def test_a_run_goes_on_with_less_when_memory_is_full(
    config_for: Configure, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Classifier.outputs

    def outputs(self: Classifier, encoder: Any, texts: Any, rows: Any) -> Any:
        if len(rows) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, encoder, texts, rows)

    monkeypatch.setattr(Classifier, "outputs", outputs)
    config = config_for()
    report = label_pool(config)
    assert report["labels"]["rows"] == 37
    found = pq.read_table(Path(config.out) / "labels")
    assert found["id"] == pq.read_table(tiny_run / "labels")["id"]
    assert min(found["confidence"].to_pylist()) > 1 / len(samples.LABELS)


def test_a_clock_that_jumps_changes_nothing(
    config_for: Configure, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    years = iter(range(10**9))

    def jump() -> float:
        return 1.6e9 + (-1) ** next(years) * 1e9

    monkeypatch.setattr(time, "time", jump)
    monkeypatch.setattr(time, "time_ns", lambda: int(jump() * 1e9))
    config = config_for()
    out = Path(config.out)
    with pytest.raises(Interrupted):
        label_pool(config, observer=At("training the student", stop))
    for number, path in enumerate(sorted(out.rglob("*"))):
        os.utime(path, (0, 0) if number % 2 else (4e9, 4e9))
    before = units(out)
    report = label_pool(config)
    assert before.items() <= units(out).items()
    assert digests(out) == digests(tiny_run)
    assert all(0 <= seconds < 600 for seconds in report["seconds"].values())
