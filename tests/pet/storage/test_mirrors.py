"""Runs in a bucket: the same bytes as on a disk, whatever dies, and nothing half-done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows import cli
from pet.errors import InputError, LockedError, PetError
from pet.pipeline import label_pool
from pet.storage import mirrors
from pet.storage.mirrors import Mirror, fetch_run, open_run_folder, take_scratch
from pet.storage.object_storage import file_system
from pet.storage.run_folders import ALL_LABELS
from pet.storage.units import make_unit
from tests.pet.storage.test_leases import write_lock
from tests.pet.storage.test_object_storage import send
from tests.pet.test_pipeline import Configure, Counter, results_of
from tests.support import samples

Move = Callable[[], None]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Move:
    """Go on as another machine would: with an empty scratch disk."""

    def move() -> None:
        mirrors._mirror.cache_clear()
        fresh = len(list(tmp_path.glob("scratch*")))
        monkeypatch.setenv("PET_SCRATCH", str(tmp_path / f"scratch{fresh}"))

    return move


@pytest.fixture
def sent_run(bucket: str, tiny_run: Path) -> str:
    """The finished run, in the bucket."""
    send(tiny_run, f"{bucket}/news")
    file_system(bucket).rm_file(f"{bucket}/news/.lock")
    return f"{bucket}/news"


def names_in(address: str) -> list[str]:
    return [key.partition("/")[2] for key in sorted(file_system(address).find(address))]


def downloaded(address: str, folder: Path) -> Path:
    """Copy what is in the bucket to a new folder."""
    file_system(address).get(f"{address}/", f"{folder}/", recursive=True)
    return folder


def test_a_run_in_a_bucket_has_the_bytes_of_one_on_a_disk(
    bucket: str, config_for: Configure, inputs_folder: Path, shipped_run: Path, tmp_path: Path
) -> None:
    send(inputs_folder, f"{bucket}/in")
    names = {"labeled": "labeled.csv", "test": "test.csv", "pool": "pool.parquet"}
    there = {name: f"{bucket}/in/{file}" for name, file in names.items()}
    out = f"{bucket}/runs/news/"
    report = label_pool(config_for(out=out, **there, **samples.SHIPPED))
    found = downloaded(out.rstrip("/"), tmp_path / "found")
    assert results_of(found) == results_of(shipped_run)
    ours = {path.relative_to(shipped_run) for path in shipped_run.rglob("*") if path.is_file()}
    assert {path.relative_to(found) for path in found.rglob("*") if path.is_file()} == ours - {
        Path(".lock")
    }
    assert report["run"] == "news"
    assert str(tmp_path) not in (found / "report.html").read_text().replace(
        str(config_for().model), ""
    ).replace(str(inputs_folder), "")


class Died(BaseException):
    """Stands for the moment in which a process is killed."""


def fail_to_put(patch: pytest.MonkeyPatch, bucket: str, part: str, error: BaseException) -> None:
    """Raise where an object is to be sent whose key holds a certain part."""
    files = file_system(bucket)
    put = files.put

    def fail(sources: list[str], keys: list[str]) -> None:
        if any(part in key for key in keys):
            raise error
        put(sources, keys)

    patch.setattr(files, "put", fail)


@pytest.mark.faults
def test_a_kill_between_a_units_files_and_its_done_json_costs_that_unit_alone(
    bucket: str,
    config_for: Configure,
    tiny_run: Path,
    tmp_path: Path,
    elsewhere: Move,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_for(out=f"{bucket}/news")
    with monkeypatch.context() as patch:
        fail_to_put(patch, bucket, "/student/done.json", Died())
        with pytest.raises(Died):
            label_pool(config)
    assert "news/student/model.safetensors" in names_in(config.out)
    assert "news/student/done.json" not in names_in(config.out)
    elsewhere()
    seen = Counter()
    label_pool(config, observer=seen)
    assert "generation 0: members: 3 of 3 reused, up to date" in seen.said
    assert "student: student made again: no readable done.json" in seen.said
    assert results_of(downloaded(config.out, tmp_path / "found")) == results_of(tiny_run)


def test_labels_are_kept_file_by_file(
    bucket: str, sent_run: str, config_for: Configure, tiny_run: Path, tmp_path: Path
) -> None:
    """They take the longest: a killed run labels no file of a large pool twice."""
    config = config_for(out=sent_run)
    before = file_system(bucket).modified(f"{config.out}/labels/part-00000.parquet")
    file_system(bucket).rm(
        [f"{config.out}/labels/{name}" for name in ("part-00001.parquet", ".done.json")]
    )
    label_pool(config)
    assert file_system(bucket).modified(f"{config.out}/labels/part-00000.parquet") == before
    assert results_of(downloaded(config.out, tmp_path / "found")) == results_of(tiny_run)


@pytest.mark.faults
def test_a_file_that_was_altered_in_the_bucket_is_made_anew(
    bucket: str, sent_run: str, config_for: Configure, tiny_run: Path, tmp_path: Path
) -> None:
    config = config_for(out=sent_run)
    for name in ("student/config.json", "labels/part-00002.parquet"):
        content = file_system(bucket).cat_file(f"{config.out}/{name}")
        file_system(bucket).pipe_file(f"{config.out}/{name}", content[:-9] + b" " + content[-9:])
    seen = Counter()
    label_pool(config, observer=seen)
    changed = "student: student made again: config.json was changed or removed after it was made"
    assert changed in seen.said
    assert results_of(downloaded(config.out, tmp_path / "found")) == results_of(tiny_run)


def test_a_run_that_goes_on_has_no_report_of_before(
    sent_run: str, config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads the bucket meanwhile would take it for the new one."""
    config = config_for(out=sent_run)
    assert "news/report.json" in names_in(config.out)

    def stop(*_: object) -> None:
        assert "news/report.json" not in names_in(config.out)
        raise PetError("stopped")

    monkeypatch.setattr("pet.pipeline.train_student", stop)
    with pytest.raises(PetError, match="stopped"):
        label_pool(config)


@pytest.mark.faults
def test_a_network_that_fails_midway_loses_nothing_that_was_made(
    bucket: str,
    config_for: Configure,
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_for(out=f"{bucket}/news")
    with monkeypatch.context() as patch:
        error = ConnectionResetError(104, "Connection reset by peer")
        fail_to_put(patch, bucket, "/student/", error)
        with pytest.raises(PetError, match=r"found:    Connection reset by peer[\s\S]*it goes on"):
            label_pool(config)
    seen = Counter()
    label_pool(config, observer=seen)
    assert "student: 1 of 1 reused, up to date" in seen.said
    assert results_of(downloaded(config.out, tmp_path / "found")) == results_of(tiny_run)


def test_a_second_run_is_turned_away_and_changes_nothing(
    bucket: str, config_for: Configure
) -> None:
    config = config_for(out=f"{bucket}/run")
    write_lock(bucket)
    with pytest.raises(LockedError, match="on elsewhere"):
        label_pool(config)
    assert names_in(bucket) == ["run/.lock"]


def test_a_run_whose_lock_was_taken_sends_nothing_more(bucket: str, config_for: Configure) -> None:
    mirror = Mirror(f"{bucket}/run")
    with mirror.locked(print):
        mirror.fetch()
        (mirror.path / "a.json").write_text("{}")
        mirror._lease.taken_by = "another"  # type: ignore[union-attr]
        with pytest.raises(LockedError, match="held by another"):
            mirror.push()
    assert "run/a.json" not in names_in(bucket)


def test_inputs_that_turn_out_wrong_leave_nothing_in_the_bucket(
    bucket: str, config_for: Configure, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").write_text("text\n\n\n")
    with pytest.raises(InputError, match="usable"):
        label_pool(config_for(out=f"{bucket}/news", pool=str(tmp_path / "empty.csv")))
    assert names_in(bucket) == []


def test_files_of_others_are_refused_and_not_fetched(
    bucket: str, config_for: Configure, tmp_path: Path
) -> None:
    file_system(bucket).pipe_file(f"{bucket}/mine/a.txt", b"a")
    with pytest.raises(InputError, match=r"other files \(a\.txt\)"):
        label_pool(config_for(out=f"{bucket}/mine"))
    assert not list((tmp_path / "scratch").rglob("a.txt"))
    assert names_in(bucket) == ["mine/a.txt"]


@pytest.mark.parametrize("name", ["../../../../evil", "x/../../evil"])
def test_no_object_leads_out_of_the_mirror(bucket: str, tmp_path: Path, name: str) -> None:
    """Whoever may write into the bucket would write anywhere on this machine."""
    file_system(bucket).pipe_file(f"{bucket}/run/{name}", b"evil")
    assert name in "".join(names_in(bucket))
    with pytest.raises(InputError, match="names that files can have"):
        Mirror(f"{bucket}/run").fetch()
    assert not list(tmp_path.rglob("evil"))


@pytest.fixture
def unit(bucket: str) -> tuple[Mirror, Callable[[str], Any]]:
    """A mirror, and what makes a unit in it anew."""
    mirror = Mirror(f"{bucket}/run")
    mirror.fetch()

    def make(text: str) -> None:
        make_unit(
            mirror.path / "unit", text, lambda folder: (folder / text).write_text(text) and {}
        )

    return mirror, make


def test_a_unit_has_no_done_json_while_it_is_replaced(
    bucket: str, unit: tuple[Mirror, Callable[[str], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of two versions beside a `done.json` would be taken for a whole unit."""
    mirror, make = unit
    make("old")
    mirror.push()
    files, steps = file_system(bucket), list[tuple[str, list[str]]]()
    rm_file, put = files.rm_file, files.put

    def note_rm(key: str) -> None:
        steps.append(("rm", [key.partition("run/unit/")[2]]))
        rm_file(key)

    def note_put(sources: list[str], keys: list[str]) -> None:
        steps.append(("put", [key.partition("run/unit/")[2] for key in keys]))
        put(sources, keys)

    monkeypatch.setattr(files, "rm_file", note_rm)
    monkeypatch.setattr(files, "put", note_put)
    make("new")
    mirror.push()
    assert steps == [
        ("rm", ["done.json"]),
        ("rm", ["old"]),
        ("put", ["new"]),
        ("put", ["done.json"]),
    ]
    steps.clear()
    mirror.push()
    assert steps == []


def test_a_scratch_disk_that_was_wiped_takes_nothing_from_the_bucket(
    bucket: str, unit: tuple[Mirror, Callable[[str], Any]]
) -> None:
    """Cache folders are emptied by people and by the clock."""
    mirror, make = unit
    make("a")
    mirror.push()
    shutil.rmtree(mirror.path)
    assert mirror.fetch() == 2
    mirror.push()
    assert names_in(bucket) == ["run/unit/a", "run/unit/done.json"]


def test_what_others_removed_or_replaced_is_so_here_too(
    bucket: str, unit: tuple[Mirror, Callable[[str], Any]]
) -> None:
    mirror, make = unit
    make("mine")
    (mirror.path / "report.json").write_text("{}")
    mirror.push()
    other = Mirror(f"{bucket}/run")
    assert other.path != mirror.path  # no two processes share a mirror
    other.fetch()
    (other.path / "report.json").unlink()
    make_unit(other.path / "unit", "x", lambda folder: (folder / "other").write_text("x") and {})
    other.push()
    make("unsent")
    mirror.fetch()
    assert sorted(path.name for path in mirror.path.rglob("*")) == ["done.json", "other", "unit"]
    assert json.loads((mirror.path / "unit/done.json").read_text())["fingerprint"] == "x"


def test_label_files_and_weights_come_when_they_are_asked_for(sent_run: str) -> None:
    """They may be more than a node's disk holds."""
    mirror = Mirror(sent_run)
    mirror.fetch()
    assert not list(mirror.path.glob("labels/part-*"))
    assert (mirror.path / "members/g0-last-r0/logits/part-00000.parquet").is_file()
    assert not list(mirror.path.glob("members/*/*.safetensors"))
    mirror.fetch(weights=["g0-last-r0"])
    assert [path.parent.name for path in mirror.path.glob("members/*/*.safetensors")] == [
        "g0-last-r0"
    ]
    mirror.fetch(labels=range(1, 2))
    assert [path.name for path in mirror.path.glob("labels/part-*")] == ["part-00001.parquet"]
    mirror.fetch(labels=ALL_LABELS)
    mirror.push()
    assert len([name for name in names_in(sent_run) if "news/labels/part" in name]) == 3


def test_no_more_is_fetched_than_is_wanted(sent_run: str) -> None:
    folder = fetch_run(sent_run, parts=("student",)).path
    kinds = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_dir()}
    assert kinds == {"student"}
    assert (folder / "report.json").is_file()


def test_a_place_without_a_run_says_so(bucket: str) -> None:
    with pytest.raises(InputError, match=r"the folder of a run[\s\S]*nothing there"):
        fetch_run(f"{bucket}/no")


def test_a_scratch_disk_that_cannot_be_written_is_named(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PET_SCRATCH", "/proc/nowhere")
    with pytest.raises(InputError, match="/proc/nowhere"):
        open_run_folder(f"{bucket}/run")


def pet(*words: str) -> str:
    result = CliRunner().invoke(cli.app, [*words])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_finished_run_in_a_bucket_is_used_by_its_address(
    sent_run: str, bucket: str, inputs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(inputs_folder, f"{bucket}/in")
    pool, out = f"{bucket}/in/pool.parquet", f"{bucket}/labels"
    assert "3 files written" in pet("label", sent_run, "--pool", pool, "--out", out)
    assert "3 reused" in pet("label", sent_run, "--pool", pool, "--out", out)
    assert names_in(out) == [
        "labels/.done.json",
        "labels/_rejected.parquet",
        *(f"labels/part-{n:05d}.parquet" for n in range(3)),
    ]
    shown = pet("label", sent_run, "--pool", pool, "--out", f"{out}-2", "--with", "ensemble")
    assert f"{out}-2" in shown
    assert "accuracy" in pet("evaluate", sent_run, "--test", f"{bucket}/in/test.csv")
    assert json.loads(pet("predict", sent_run, "the moon", "--json"))["text"] == "the moon"
    assert f"{sent_run}/labels" in pet("runs", "show", sent_run)
    assert "0 of 37 common rows changed" in pet("diff", sent_run, out)
    file_system(bucket).rm_file(f"{sent_run}/report.html")
    assert pet("report", sent_run).strip() == f"{sent_run}/report.html"
    assert "news/report.html" in names_in(sent_run)


def test_a_report_drawn_anew_sends_nothing_but_itself(sent_run: str) -> None:
    """It holds no lock: what else it sent or removed could be what another process works on."""
    (fetch_run(sent_run).path / "members" / "stray.txt").write_text("what could not be sent")
    before = names_in(sent_run)
    file_system(sent_run).rm_file(f"{sent_run}/report.html")
    pet("report", sent_run)
    assert names_in(sent_run) == before


def test_labels_of_another_pool_in_a_bucket_are_protected(sent_run: str, bucket: str) -> None:
    file_system(bucket).pipe_file(f"{bucket}/p.csv", b"text\na goal\n")
    result = CliRunner().invoke(
        cli.app, ["label", sent_run, "--pool", f"{bucket}/p.csv", "--out", f"{sent_run}/labels"]
    )
    assert result.exit_code == 2
    assert "labels of the same model and pool" in result.stderr


@pytest.mark.parametrize("name", ["tmp-tickets", "tmp", "lock", "index.json"])
def test_a_runs_name_is_never_that_of_something_of_the_rooms_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What a killed process could not send was swept away with the leftovers of fetches."""
    monkeypatch.setenv("PET_SCRATCH", str(tmp_path))
    monkeypatch.setattr("pet.storage.mirrors.file_system", lambda address: None)
    mirror = Mirror(f"s3://bucket/{name}")
    unit = mirror.path / "members" / "x"
    unit.mkdir(parents=True)
    monkeypatch.setattr(
        "pet.storage.mirrors.hold_file", lambda path: None
    )  # as after that process's end
    take_scratch(f"s3://bucket/{name}")
    assert unit.exists()
