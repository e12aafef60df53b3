"""Nights: files that arrive, change, go bad and leave; drift, renewal, and a kill anywhere."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from pet.data import limited_process
from pet.errors import InputError, Interrupted, Problem
from pet.finished.past_runs import show_run
from pet.jobs import InProcess, Job
from pet.nightly import file_labeling
from pet.nightly.ledger import read_entries, read_state
from pet.nightly.night import label_new
from pet.nightly.nightly_config import NightlyConfig
from pet.pipeline import label_pool
from pet.progress import Observer
from pet.storage.units import with_digest
from pet.student.label_files import LabelWriter
from tests.support import samples
from tests.support.nights import arrive, night_settings

Night = Callable[..., dict[str, Any]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "pool").mkdir()
    return tmp_path


@pytest.fixture
def settings(place: Path, tiny_run: Path, inputs_folder: Path) -> Callable[..., NightlyConfig]:
    return lambda **changes: night_settings(
        place, tiny_run, inputs_folder / "labeled.csv", **changes
    )


@pytest.fixture
def night(settings: Callable[..., NightlyConfig]) -> Night:
    return lambda **changes: label_new(settings(**changes))


@pytest.fixture(scope="module")
def other_run(
    inputs_folder: Path, model_folder: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that reads its texts from the column `body`."""
    folder = tmp_path_factory.mktemp("body")
    texts = [text for text in samples.pool_texts() if text and text.strip()]
    pool = samples.write_csv(folder / "pool.csv", [(text,) for text in texts], ("body",))
    rows = samples.labeled_rows()
    labeled = samples.write_csv(folder / "labeled.csv", rows, ("body", "label"))
    config = samples.tiny_config(
        inputs_folder,
        model_folder("bert"),
        folder / "run",
        pool=str(pool),
        labeled=str(labeled),
        text_column="body",
        test=None,
    )
    label_pool(config)
    return folder / "run"


def labels_of(folder: str | Path) -> dict[str, str]:
    table = dataset.dataset(folder).to_table(columns=["id", "label"])
    found = dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert len(found) == len(table), "an id stands there twice"
    return found


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_three_nights_with_new_changed_bad_and_deleted_files(place: Path, night: Night) -> None:
    pool, store = place / "pool", place / "store"
    arrive(pool, "monday.csv", 10)
    arrive(pool, "more/tuesday.csv", 6)
    (pool / "broken.parquet").write_bytes(b"PAR1 cut off")
    first = night()
    assert set(first["labeled"]) == {"monday.csv", "more/tuesday.csv"}
    assert list(first["bad"]) == ["broken.parquet"]
    assert set(labels_of(first["labels"])) == {
        *(f"monday-{n}" for n in range(10)),
        *(f"tuesday-{n}" for n in range(6)),
    }

    arrive(pool, "monday.csv", 4, first=20)  # replaced by other rows
    (pool / "more" / "tuesday.csv").unlink()
    (pool / "broken.parquet").unlink()
    arrive(pool, "broken.csv", 3)
    second = night()
    assert (second["replaced"], second["deleted"]) == (
        ["monday.csv"],
        ["broken.parquet", "more/tuesday.csv"],
    )
    assert not second["bad"]
    kept = {*(f"tuesday-{n}" for n in range(6)), *(f"broken-{n}" for n in range(3))}
    assert set(labels_of(second["labels"])) == {*(f"monday-{n}" for n in range(20, 24)), *kept}
    aside = labels_of(Path(second["labels"]) / "_set_aside")
    assert set(aside) == {f"monday-{n}" for n in range(10)}

    third = night(keep_deleted=False)
    assert not third["labeled"]
    assert not any(name.startswith("tuesday") for name in labels_of(third["labels"]))
    assert len(read_entries(store)) == 3  # a model adopted, two nights; the third had no news


def test_the_same_night_twice_changes_no_byte(place: Path, night: Night) -> None:
    arrive(place / "pool", "a.csv", 5)
    night()
    before = bytes_below(place / "store")
    os.utime(place / "pool" / "a.csv")  # a time stamp is no news
    again = night()
    assert not again["labeled"]
    after = bytes_below(place / "store")
    before.pop(".digests.json"), after.pop(".digests.json")
    assert after == before
    again = bytes_below(place / "store")
    night()
    assert bytes_below(place / "store") == again


def test_a_night_without_news_loads_no_model_and_no_prefect(
    place: Path, night: Night, settings: Callable[..., NightlyConfig]
) -> None:
    arrive(place / "pool", "a.csv", 5)
    night()
    path = place / "nightly.json"
    path.write_text(settings().model_dump_json())
    program = (
        "import sys; from pathlib import Path\n"
        "from pet.nightly.night import label_new\n"
        "from pet.nightly.nightly_config import load_nightly_config\n"
        f"found = label_new(load_nightly_config(Path({str(path)!r})))\n"
        "assert not found['labeled']\n"
        "print([name for name in ('torch', 'transformers', 'prefect') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_file_that_comes_back_has_its_labels_again(place: Path, night: Night) -> None:
    path = arrive(place / "pool", "a.csv", 5)
    content = path.read_bytes()
    first = labels_of(night(keep_deleted=False)["labels"])
    arrive(place / "pool", "b.csv", 2)
    path.unlink()
    assert set(labels_of(night(keep_deleted=False)["labels"])) == {"b-0", "b-1"}
    path.write_bytes(content)
    back = night(keep_deleted=False)
    assert (back["returned"], back["labeled"]) == (["a.csv"], {})
    found = labels_of(back["labels"])
    assert {name: found[name] for name in first} == first


def test_a_file_that_changes_to_a_bad_one_keeps_its_labels_until_it_is_mended(
    place: Path, night: Night
) -> None:
    path = arrive(place / "pool", "a.csv", 5)
    content = path.read_bytes()
    first = labels_of(night()["labels"])
    path.write_text("id,other\n1,2\n")
    found = night()
    assert found["bad"]["a.csv"]["expected"] == "a column 'text' of text"
    assert labels_of(found["labels"]) == first
    path.write_bytes(content)
    mended = night()
    assert (mended["bad"], mended["returned"], mended["labeled"]) == ({}, ["a.csv"], {})


def test_a_file_of_mostly_unusable_rows_is_set_aside_whole(place: Path, night: Night) -> None:
    samples.write_csv(place / "pool" / "a.csv", [("1", ""), ("2", "the game")], ("id", "text"))
    found = night()
    assert found["bad"]["a.csv"]["found"].startswith("1 of 2: empty text (1)")
    assert not found["labeled"]


def test_a_file_without_a_column_to_keep_is_labeled_all_the_same(
    place: Path, settings: Callable[..., NightlyConfig], run_copy: Path
) -> None:
    samples.change_settings(run_copy, keep_columns=["origin"])
    arrive(place / "pool", "a.csv", 5)
    notes: list[str] = []
    observer = Observer()
    observer.note = notes.append  # type: ignore[method-assign]
    found = label_new(settings(run=str(run_copy)), observer=observer)
    assert (list(found["labeled"]), found["bad"]) == (["a.csv"], {})
    assert "warning: a.csv has no column 'origin': it is not kept" in notes


def test_labels_that_were_lost_are_made_again(place: Path, night: Night) -> None:
    arrive(place / "pool", "a.csv", 5)
    first = night()
    before = labels_of(first["labels"])
    shutil.rmtree(first["labels"])
    again = night()
    assert list(again["labeled"]) == ["a.csv"]
    assert labels_of(again["labels"]) == before


def test_every_label_file_names_model_file_and_labeled_set(
    place: Path, night: Night, tiny_run: Path
) -> None:
    arrive(place / "pool", "a.csv", 5)
    found = night()
    [path] = Path(found["labels"]).rglob("part-*.parquet")
    stored = {k.decode(): v.decode() for k, v in pq.read_metadata(path).metadata.items()}
    record = json.loads((tiny_run / "provenance.json").read_text())
    assert stored["file"] == "a.csv"
    assert stored["file_sha256"] == found["labeled"]["a.csv"]["digest"]
    assert stored["made_from"] == record["models"]["student"]["made_from"]
    assert stored["labeled_set"] == record["labeled_set"]["digest"]
    assert stored["model_version"] == "1"
    assert {"pet", "source"} <= set(stored)
    assert stored["run"] == json.loads((tiny_run / "manifest.json").read_text())["run_id"]
    assert stored["model"] == stored["made_from"]


def grow(labeled: Path, rows: Sequence[tuple[str, str]]) -> None:
    with labeled.open("a", newline="") as stream:
        csv.writer(stream).writerows(rows)


def test_a_grown_labeled_set_renews_the_model_and_the_old_labels_stay(
    place: Path, night: Night
) -> None:
    arrive(place / "pool", "a.csv", 20)
    first = night(retrain_labeled=3)
    old = bytes_below(Path(first["labels"]))
    more = [(f"{text} today", label) for text, label in samples.labeled_rows()[:3]]
    grow(place / "labeled.csv", more)
    arrive(place / "pool", "b.csv", 3)
    second = night(retrain_labeled=3)
    assert second["came_into_use"]["version"] == 2
    assert second["came_into_use"]["reason"] == "3 more labeled rows"
    assert second["came_into_use"]["labeled_rows"] == 15
    assert set(second["labeled_anew"]) == {"a.csv", "b.csv"}
    assert len(labels_of(second["labels"])) == 23
    assert Path(second["labels"]).name == "v0002"
    now = bytes_below(Path(first["labels"]))
    assert {name: now[name] for name in old} == old
    run = place / "store" / "models" / "0002"
    assert show_run(run)["state"] == "finished"
    before = bytes_below(place / "store")
    assert night(retrain_labeled=3)["came_into_use"] is None
    assert bytes_below(place / "store") == before


def test_a_labeled_set_that_went_bad_costs_no_labels(place: Path, night: Night) -> None:
    """The night fails, but what it labeled stands, and replaced labels are out of the way."""
    arrive(place / "pool", "a.csv", 4)
    night(retrain_labeled=1)
    arrive(place / "pool", "a.csv", 3, first=10)
    (place / "labeled.csv").write_text("text,label\nthe game,weather\n")
    with pytest.raises(InputError, match="weather"):
        night(retrain_labeled=1)
    assert set(labels_of(place / "store" / "labels" / "v0001")) == {"a-10", "a-11", "a-12"}


def test_drift_renews_the_model_and_then_is_over(place: Path, night: Night) -> None:
    arrive(place / "pool", "a.csv", 30)
    assert night(retrain_on_drift=True)["came_into_use"]["version"] == 1
    arrive(place / "pool", "b.csv", 120, text="trade of the market and a stock price " * 4)
    found = night(retrain_on_drift=True)
    assert found["came_into_use"]["version"] == 2
    assert "words" in found["came_into_use"]["reason"]
    entry = read_entries(place / "store")[-2]
    assert {"words", "length"} <= set(entry.drifted)
    assert (found["drift"], found["drift_rows"]) == (entry.drift, 120), "it must not go unreported"
    arrive(place / "pool", "c.csv", 30)  # the same mixture as in the pool by now
    arrive(place / "pool", "d.csv", 120, text="trade of the market and a stock price " * 4)
    calm = night(retrain_on_drift=True)
    assert calm["drift_rows"] == 150
    assert not [test["what"] for test in calm["drift"] if test["drifted"]]
    assert calm["came_into_use"] is None


def test_few_rows_are_no_drift_until_nights_add_up(place: Path, night: Night) -> None:
    for number, seen in enumerate((12, 24)):
        arrive(place / "pool", f"{number}.csv", 12)
        found = night()
        assert found["drift_rows"] == seen
        assert bool(found["drift"]) == (seen >= 20)


def test_enough_nights_renew_the_model(place: Path, night: Night) -> None:
    arrive(place / "pool", "a.csv", 20)
    assert night(retrain_nights=2)["came_into_use"]["version"] == 1
    assert not night(retrain_nights=2)["came_into_use"]  # nothing new: it does not count
    arrive(place / "pool", "b.csv", 5)
    assert night(retrain_nights=2)["came_into_use"]["reason"] == "2 nights with new texts"


def another_model(run: Path) -> str:
    """Let a copy of a run pass for one that was made from other texts."""
    record = json.loads((run / "student" / "done.json").read_text())
    changed = with_digest({**record, "fingerprint": record["fingerprint"][::-1]})
    (run / "student" / "done.json").write_text(json.dumps(changed))
    return str(run)


def test_another_run_in_the_settings_labels_from_then_on_and_so_does_the_first_again(
    place: Path, night: Night, run_copy: Path
) -> None:
    """Who takes a change back would else be labeled for by what he has just got rid of."""
    arrive(place / "pool", "a.csv", 5)
    night()
    other = another_model(run_copy)
    found = night(run=other)
    assert (found["came_into_use"]["version"], found["labeled_anew"]) == (2, ["a.csv"])
    assert night(run=other)["came_into_use"] is None
    ensemble = night(run=other, predictor="ensemble")
    assert ensemble["came_into_use"]["predictor"] == "ensemble"
    assert night(run=other)["came_into_use"]["version"] == 4
    back = night()
    assert (back["came_into_use"]["version"], back["labeled_anew"]) == (5, ["a.csv"])


def test_another_path_of_the_same_run_rolls_back_no_renewal(
    place: Path, night: Night, run_copy: Path, tiny_run: Path
) -> None:
    arrive(place / "pool", "a.csv", 20)
    assert night(run=str(run_copy), retrain_nights=1)["came_into_use"]["version"] == 2
    for path in (os.path.relpath(run_copy), str(tiny_run)):
        found = night(run=path)
        assert (found["came_into_use"], found["model"]["version"]) == (None, 2)


def test_a_run_that_was_moved_labels_from_its_new_place(
    place: Path, night: Night, run_copy: Path
) -> None:
    arrive(place / "pool", "a.csv", 5)
    night(run=str(run_copy))
    moved = run_copy.rename(place / "moved")
    arrive(place / "pool", "b.csv", 5)
    found = night(run=str(moved))
    assert (list(found["labeled"]), found["came_into_use"]) == (["b.csv"], None)


def test_labels_of_other_settings_are_another_versions(
    place: Path, night: Night, run_copy: Path
) -> None:
    """The student is the same, but half the files of a version would lack what is kept."""
    arrive(place / "pool", "a.csv", 5)
    assert night(run=str(run_copy))["model"]["version"] == 1
    samples.change_settings(run_copy, abstain_below=0.0)
    found = night(run=str(run_copy))
    assert (found["model"]["version"], found["labeled_anew"]) == (2, ["a.csv"])
    assert night(run=str(run_copy))["came_into_use"] is None


def test_a_test_set_that_is_gone_stops_no_renewal(
    place: Path, night: Night, run_copy: Path
) -> None:
    samples.change_settings(run_copy, test=str(place / "gone.csv"))
    arrive(place / "pool", "a.csv", 20)
    assert night(run=str(run_copy), retrain_nights=1)["model"]["version"] == 2


class Killed(BaseException):
    """Stands in for a kill: nothing in the library catches it."""


@pytest.mark.parametrize("step", range(8))
def test_a_night_killed_anywhere_is_gone_on_with_and_gives_the_same_labels(
    place: Path,
    settings: Callable[..., NightlyConfig],
    step: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every write of a night is a place to die in: before it, nothing of it is there."""
    pool = place / "pool"
    for name in ("a.csv", "b.csv", "c.csv"):
        arrive(pool, name, 4)
    config = settings()
    whole = settings(out=str(place / "whole"))
    label_new(whole)
    from pet.storage import files

    replace, count = files._put_in_place, 0

    def die(*paths: Path) -> None:
        nonlocal count
        count += 1
        if count > step:
            raise Killed
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_put_in_place", die)
        with pytest.raises(Killed):
            label_new(config)
    label_new(config)
    label = Path("labels") / "v0001"
    assert bytes_below(place / "store" / label) == bytes_below(place / "whole" / label)
    assert read_state(place / "store").files == read_state(place / "whole").files


@pytest.mark.faults
def test_a_renewal_that_was_killed_is_gone_on_with(
    place: Path, settings: Callable[..., NightlyConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels of the night are in the ledger before the training begins."""
    arrive(place / "pool", "a.csv", 20)
    config = settings(retrain_nights=1)
    label_new(settings(out=str(place / "whole"), retrain_nights=1))
    from pet import pipeline

    def die(*_: Any) -> Any:
        raise Killed

    for stage in ("write_soft_labels", "label_own_pool"):
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, stage, die)
            with pytest.raises(Killed):
                label_new(config)
        assert [entry.model for entry in read_entries(place / "store")] == [1, 1]
    arrive(place / "pool", "b.csv", 2)  # the next evening
    found = label_new(config)
    assert (list(found["labeled"]), found["model"]["version"]) == (["b.csv"], 2)
    label = Path("labels") / "v0001"
    whole = bytes_below(place / "whole" / label)
    now = bytes_below(place / "store" / label)
    assert {name: now[name] for name in whole} == whole


@pytest.mark.faults
def test_a_drift_whose_renewal_was_killed_is_not_forgotten_by_a_calm_night(
    place: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pet.nightly import renewal

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    arrive(place / "pool", "a.csv", 120, text="trade of the market and a stock price " * 4)
    with monkeypatch.context() as patch:
        patch.setattr(renewal, "label_pool", die)
        with pytest.raises(Killed):
            night(retrain_on_drift=True)
    arrive(place / "pool", "b.csv", 40)
    found = night(retrain_on_drift=True)
    assert not [test["what"] for test in found["drift"] if test["drifted"]]
    assert "words" in found["came_into_use"]["reason"]


@pytest.mark.parametrize("replaced", [["b.csv"], ["a.csv", "b.csv"]])
def test_a_file_that_is_replaced_after_it_was_labeled_does_not_fail_the_renewal(
    place: Path, night: Night, monkeypatch: pytest.MonkeyPatch, replaced: list[str]
) -> None:
    from pet.nightly.renewal import Renewal

    arrive(place / "pool", "a.csv", 20)
    arrive(place / "pool", "b.csv", 20)
    sample = Renewal.sample

    def replace_first(self: Any) -> Any:
        for name in replaced:
            arrive(place / "pool", name, 10, first=30)
        return sample(self)

    with monkeypatch.context() as patch:
        patch.setattr(Renewal, "sample", replace_first)
        found = night(retrain_nights=1)
    assert found["late"] == replaced
    assert found["labeled_anew"] == (["a.csv"] if replaced == ["b.csv"] else [])
    assert found["model"]["version"] == (2 if replaced == ["b.csv"] else 1)
    again = night(retrain_nights=1)
    assert sorted(again["labeled"]) == replaced
    assert again["came_into_use"], "the next night does what this one has left"


def test_a_stop_keeps_what_is_labeled(
    place: Path, settings: Callable[..., NightlyConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(place / "pool", "a.csv", 4)
    arrive(place / "pool", "b.csv", 4)

    class Stops(Observer):
        seen = 0

        def begin(self, stage: str, total: int | None, unit: str) -> None:
            if stage == "labeling the pool":
                self.seen += 1
            if self.seen == 2:
                raise Interrupted("asked to")

    with pytest.raises(Interrupted):
        label_new(settings(), observer=Stops())
    asked = []
    labeled_as_before = file_labeling.FileLabeler.label

    def note(self: Any, file: Any) -> Any:
        asked.append(file.name)
        return labeled_as_before(self, file)

    monkeypatch.setattr(file_labeling.FileLabeler, "label", note)
    label_new(settings())
    assert asked == ["a.csv", "b.csv"]


def test_jobs_are_named_for_whoever_executes_them(
    place: Path, settings: Callable[..., NightlyConfig]
) -> None:
    arrive(place / "pool", "a.csv", 4)
    names = []

    class Named(InProcess):
        def __call__(self, jobs: Sequence[Job[Any]]) -> list[Any]:
            names.extend(job.name for job in jobs)
            return super().__call__(jobs)

    label_new(settings(), Named())
    assert names == ["look at the pool", "label 1 new or changed files"]


def test_a_store_in_the_pool_or_among_other_files_is_refused(
    place: Path, settings: Callable[..., NightlyConfig]
) -> None:
    with pytest.raises(InputError, match="outside the pool"):
        label_new(settings(out=str(place / "pool" / "store")))
    (place / "store").mkdir()
    (place / "store" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"other files \(thesis.txt\)"):
        label_new(settings())


def test_a_missing_pool_is_no_empty_pool(place: Path, night: Night) -> None:
    """A disk that is not mounted would else delete every file of the night before."""
    arrive(place / "pool", "a.csv", 4)
    night()
    shutil.rmtree(place / "pool")
    with pytest.raises(InputError, match="mount it"):
        night()
    assert not read_state(place / "store").deleted


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8_stops_no_night(place: Path, night: Night) -> None:
    """Old archives leave such names; nothing at all was labeled because of one of them."""
    arrive(place / "pool", "monday.csv", 4)
    shutil.copy(place / "pool" / "monday.csv", os.fsencode(place / "pool") + b"/caf\xe9.csv")
    done = night()
    assert list(done["labeled"]) == ["monday.csv"]
    assert "rename it" in done["unreadable"]["caf\\udce9.csv"]


def test_files_of_kinds_that_are_not_read_are_named_and_stand_in_the_ledger(
    place: Path, night: Night
) -> None:
    """They were passed over in silence, every night."""
    pool, store = place / "pool", place / "store"
    arrive(pool, "monday.csv", 4)
    (pool / "tuesday.xlsx").write_bytes(b"PK")
    first = night()
    assert list(first["passed_over"]) == ["tuesday.xlsx"]
    assert "read_excel" in first["passed_over"]["tuesday.xlsx"]
    assert read_entries(store)[-1].passed_over == first["passed_over"]
    before = bytes_below(store)
    assert night()["passed_over"] == first["passed_over"]
    assert bytes_below(store) == before
    (pool / "tuesday.xlsx").unlink()
    assert night()["passed_over"] == {}
    assert read_entries(store)[-1].passed_over == {}


def test_a_bad_file_is_read_again_when_the_settings_say_how_it_is_written(
    place: Path, night: Night
) -> None:
    (place / "pool" / "monday.csv").write_text("id;text\na;the team won, at last\n")
    assert "pool_csv.delimiter=';'" in night()["bad"]["monday.csv"]["fix"]
    second = night(pool_csv={"delimiter": ";"})
    assert (list(second["labeled"]), second["bad"]) == (["monday.csv"], {})
    assert labels_of(second["labels"]).keys() == {"a"}


def test_a_disk_that_failed_once_makes_no_file_bad(
    place: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(place / "pool", "monday.csv", 4)
    opened = file_labeling.open_source

    def fails(path: Path, *_: object) -> Any:
        raise InputError(
            Problem(str(path), "a file that can be read", "Input/output error", "-")
        ) from OSError(5, "Input/output error")

    monkeypatch.setattr(file_labeling, "open_source", fails)
    assert (night()["late"], night()["bad"]) == (["monday.csv"], {})
    monkeypatch.setattr(file_labeling, "open_source", opened)
    assert list(night()["labeled"]) == ["monday.csv"]


def test_a_file_that_was_half_written_when_it_was_opened_is_not_bad_for_ever(
    place: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is whole again under the very digest that would have been called bad."""
    path = arrive(place / "pool", "monday.csv", 4)
    whole, opened = path.read_bytes(), file_labeling.open_source

    def early(path: Path, *more: Any) -> Any:
        path.write_bytes(b"")
        return opened(path, *more)

    monkeypatch.setattr(file_labeling, "open_source", early)
    assert night()["late"] == ["monday.csv"]
    path.write_bytes(whole)
    monkeypatch.setattr(file_labeling, "open_source", opened)
    assert list(night()["labeled"]) == ["monday.csv"]


def test_another_run_looks_again_at_files_that_the_first_could_not_use(
    place: Path, night: Night, other_run: Path
) -> None:
    rows = [("a", samples.pool_texts()[0])]
    samples.write_csv(place / "pool" / "other.csv", rows, ("id", "body"))
    arrive(place / "pool", "monday.csv", 4)
    assert list(night()["bad"]) == ["other.csv"]
    shutil.copy(other_run.parent / "labeled.csv", place / "labeled.csv")
    done = night(run=str(other_run))
    assert list(done["bad"]) == ["monday.csv"], "the night ended before anything new was labeled"
    assert list(done["labeled"]) == ["other.csv"]


def test_a_store_that_was_moved_has_its_renewed_model_with_it(place: Path, night: Night) -> None:
    arrive(place / "pool", "monday.csv", 10)
    night()
    arrive(place / "pool", "tuesday.csv", 10, first=20)
    assert night(retrain_nights=2)["model"]["version"] == 2
    (place / "store").rename(place / "moved")
    arrive(place / "pool", "wednesday.csv", 4, first=40)
    done = night(out=str(place / "moved"))
    assert list(done["labeled"]) == ["wednesday.csv"]
    assert done["model"]["run"] == str(place / "moved" / "models" / "0002")


def test_a_job_that_is_begun_anew_counts_no_text_twice_for_drift(
    place: Path, settings: Callable[..., NightlyConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(place / "pool", "monday.csv", 10)
    arrive(place / "pool", "tuesday.csv", 10)
    labeled, tries = file_labeling.FileLabeler.label, []

    def fails_once(labeler: Any, file: Any) -> Any:
        tries.append(file.name)
        if tries == ["monday.csv", "tuesday.csv"]:
            raise OSError(116, "Stale file handle")
        return labeled(labeler, file)

    class Retrying(InProcess):
        def __call__(self, jobs: Sequence[Job[Any]]) -> list[Any]:
            try:
                return super().__call__(jobs)
            except OSError:
                return super().__call__(jobs)

    monkeypatch.setattr(file_labeling.FileLabeler, "label", fails_once)
    label_new(settings(), Retrying())
    assert len(tries) == 4
    [sketch] = [entry.sketch for entry in read_entries(place / "store") if entry.sketch]
    assert sum(sketch["lengths"]) == 20


def test_a_full_disk_is_no_files_fault(
    place: Path, night: Night, other_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called bad, a file would never be labeled again; left for later, nobody would know."""

    def full(*args: Any, **options: Any) -> None:
        raise InputError(Problem("store", "room on the disk", "none", "-")) from OSError(28, "full")

    rows = [(str(number), text, text) for number, text in enumerate(samples.pool_texts()[:4])]
    samples.write_csv(place / "pool" / "a.csv", rows, ("id", "text", "body"))
    for run, labeled in ((None, None), (other_run, other_run.parent / "labeled.csv")):
        changes = {}
        if labeled is not None:
            shutil.copy(labeled, place / "labeled.csv")
            changes = {"run": str(run)}
        with monkeypatch.context() as patch:
            patch.setattr(LabelWriter, "label", full)
            with pytest.raises(InputError, match="room on the disk"):
                night(**changes)
        assert read_state(place / "store").bad == {}
        assert night(**changes)["bad"] == {}


def bomb(path: Path) -> None:
    """289 bytes that decode to one text of a megabyte, in each of 8,192 rows."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 8192, pa.int32()), ["a" * (1 << 20)])
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", store_schema=False)


def bad_name(path: Path) -> None:
    """The name of a column is no UTF-8."""
    pq.write_table(pa.table({"text": ["the team won"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"text", b"te\xffx"))


@pytest.mark.parametrize(
    ("name", "make", "found"),
    [
        ("bomb.parquet", bomb, "one that takes more"),
        ("pipe.csv", os.mkfifo, "a named pipe"),
        ("zero.csv", lambda path: path.symlink_to("/dev/zero"), "a device"),
        ("name.parquet", bad_name, "cut off"),
    ],
)
def test_a_file_that_cannot_be_read_stops_no_night_and_is_in_the_ledger(
    place: Path,
    night: Night,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[Path], object],
    found: str,
) -> None:
    monkeypatch.setattr(limited_process, "MEMORY_BYTES", 256 << 20)
    make(place / "pool" / name)
    arrive(place / "pool", "monday.csv", 4)
    done = night()
    assert list(done["labeled"]) == ["monday.csv"]
    assert list(done["bad"]) == [name]
    assert found in done["bad"][name]["found"]
    entries = len(read_entries(place / "store"))
    again = night()
    assert (list(again["bad"]), again["labeled"]) == ([name], {})
    assert len(read_entries(place / "store")) == entries, (
        "the same night twice is written down once"
    )
    (place / "pool" / name).unlink()
    arrive(place / "pool", "tuesday.csv", 4)
    assert night()["bad"] == {}


def test_a_link_to_a_plain_file_elsewhere_is_labeled(place: Path, night: Night) -> None:
    """Snapshots of the hub are folders of such links."""
    arrive(place / "elsewhere", "blob.csv", 4)
    (place / "pool" / "monday.csv").symlink_to(place / "elsewhere" / "blob.csv")
    assert list(night()["labeled"]) == ["monday.csv"]


def test_a_file_that_takes_too_long_is_set_aside_and_the_others_are_labeled(
    place: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_process, "SECONDS", 1)
    monkeypatch.setattr(limited_process, "SECONDS_PER_MB", 0)
    arrive(place / "pool", "a.csv", 4)
    slow = place / "pool" / "slow.csv"
    with slow.open("w") as stream:
        stream.write("id,text\n")
        stream.writelines(f"{n},the team won\n" for n in range(1_000_000))
    done = night()
    assert (list(done["labeled"]), list(done["bad"])) == (["a.csv"], ["slow.csv"])
    assert done["bad"]["slow.csv"]["expected"] == "a file that can be read in 1 seconds"


def cut(folder: Path) -> None:
    path = folder / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def exchange(folder: Path) -> None:
    """With the labels of another file."""
    other = next(path for path in folder.parent.glob("b.csv-*"))
    shutil.copy(other / "part-00000.parquet", folder / "part-00000.parquet")


@pytest.mark.parametrize(
    "damage", [lambda folder: (folder / "part-00000.parquet").unlink(), cut, exchange]
)
def test_labels_that_were_deleted_cut_or_exchanged_are_made_again_by_the_next_night(
    place: Path, night: Night, damage: Callable[[Path], object]
) -> None:
    """Only the mark that the folder is complete was looked at."""
    arrive(place / "pool", "a.csv", 5)
    arrive(place / "pool", "b.csv", 7)
    labels = Path(night()["labels"])
    before = bytes_below(labels)
    damage(next(labels.glob("a.csv-*")))
    assert bytes_below(labels) != before
    assert list(night()["labeled"]) == ["a.csv"]
    assert bytes_below(labels) == before
    assert night()["labeled"] == {}


def test_ids_that_stand_in_files_of_several_nights_are_told(
    place: Path, settings: Callable[..., NightlyConfig]
) -> None:
    """As a run tells of its pool: labels cannot be joined by such ids."""
    notes: list[str] = []
    observer = Observer()
    observer.note = notes.append  # type: ignore[method-assign]
    arrive(place / "pool", "a.csv", 5)
    label_new(settings(), observer=observer)
    assert not any("stand on earlier rows" in note for note in notes)
    shutil.copy(place / "pool" / "a.csv", place / "pool" / "b.csv")
    label_new(settings(), observer=observer)
    assert "warning: the ids of about 50.0% of the pool's rows stand on earlier rows" in notes[-1]
