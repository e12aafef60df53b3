"""Runs from end to end: what lies in the folder, what is reused, and what an accident leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.errors import InputError, Interrupted, LockedError, PetError
from pet.jobs import InProcess, Job
from pet.pipeline import label_pool
from pet.progress import Observer
from pet.settings import load_config
from pet.storage.files import TEMPORARY_PREFIX, read_json
from pet.storage.locks import LOCK, locked
from pet.storage.units import DONE
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.marks import thorough
from tests.support.run_files import label_rows, scores_in

Configure = Callable[..., Any]


class Counter(Observer):
    """Counts every advance, and stops the run at one of them."""

    def __init__(self, stop_at: int = -1) -> None:
        self.advances = 0
        self.stop_at = stop_at
        self.stages: list[str] = []
        self.said: list[str] = []

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        self.stages.append(stage)

    def advance(self, amount: int) -> None:
        self.advances += 1
        if self.advances == self.stop_at:
            raise Interrupted("stopped by the test")

    def note(self, line: str) -> None:
        self.said.append(line)


def results_of(run: Path) -> dict[str, bytes]:
    """What must be the same, byte for byte, whenever a run is repeated."""
    paths = [
        *run.glob("labels/part-*"),
        *run.glob("soft_labels/part-*"),
        *run.glob("student/*.safetensors"),
        *run.glob("supervised/*.safetensors"),
        *run.glob("members/*/*.safetensors"),
        *run.glob("members/*/logits/*"),
    ]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in paths}


def everything_in(run: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(run).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in run.rglob("*")
        if path.is_file()
    }


def own_task(tmp_path: Path, names: list[str], name: str = "task.toml") -> str:
    path = tmp_path / name
    path.write_text(samples.task_toml(names))
    return str(path)


def test_a_run_leaves_the_files_that_are_promised(tiny_run: Path) -> None:
    for name in (
        "config.json",
        "task.toml",
        "manifest.json",
        "report.json",
        "soft_labels/done.json",
        "student/model.safetensors",
        "student/config.json",
        "student/tokenizer.json",
        "student/README.md",
        "student/done.json",
        "rejected.parquet",
        *(f"labels/part-{n:05d}.parquet" for n in range(3)),
        *(f"soft_labels/part-{n:05d}.parquet" for n in range(3)),
    ):
        assert (tiny_run / name).is_file(), name
    for name in samples.PATTERNS:
        member = tiny_run / "members" / f"g0-{name}-r0"
        for file in ("model.safetensors", "done.json", "logits/part-00000.parquet"):
            assert (member / file).is_file(), file
    assert (tiny_run / "task.toml").read_text() == samples.task_toml()
    assert load_config(tiny_run / "config.json").out == str(tiny_run)
    assert (tiny_run / LOCK).read_text() == ""
    assert not list(tiny_run.rglob(".pet-tmp-*"))


def test_label_files_have_exactly_the_promised_columns(tiny_run: Path) -> None:
    number = pa.float32()
    promised = pa.schema(
        {
            "id": pa.string(),
            "label": pa.string(),
            "confidence": number,
            "probabilities": pa.struct(dict.fromkeys(samples.LABELS, number)),
            "entropy": number,
            "agreement": number,
            "abstain": pa.bool_(),
            "source": pa.string(),
        }
    )
    for path in (tiny_run / "labels").glob("part-*"):
        assert pq.read_schema(path).remove_metadata() == promised
        stored = pq.read_metadata(path).metadata
        assert stored[b"task"] == b"tiny_news"
        assert len(stored[b"run"]) == 12
        assert stored[b"labeled_with"] == b"student"


def test_every_usable_pool_row_is_labeled_once_and_in_order(tiny_run: Path) -> None:
    rows = label_rows(tiny_run / "labels")
    usable = [n for n, text in enumerate(samples.pool_texts()) if (text or "").strip()]
    assert [row["id"] for row in rows] == [f"pool.parquet:{n}" for n in usable]
    for row in rows:
        assert row["probabilities"][row["label"]] == max(row["probabilities"].values())
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["confidence"] == row["probabilities"][row["label"]]
        assert row["abstain"] == (row["confidence"] < 0.4)
        assert row["agreement"] in (pytest.approx(k / 3) for k in range(4))


def test_agreement_is_the_share_of_members_with_the_students_label(tiny_run: Path) -> None:
    stack = np.stack(
        [scores_in(folder / "logits") for folder in sorted((tiny_run / "members").glob("g0-*"))]
    )
    rows = label_rows(tiny_run / "labels")
    said = np.array([samples.LABELS.index(row["label"]) for row in rows])
    expected = (stack.argmax(-1) == said).mean(0)
    np.testing.assert_allclose([row["agreement"] for row in rows], expected, atol=1e-6)


def test_bad_rows_are_set_aside_with_file_row_and_reason(tiny_run: Path) -> None:
    assert pq.read_table(tiny_run / "rejected.parquet").to_pylist() == [
        {"file": "pool.parquet", "row": 7, "reason": "no text"},
        {"file": "pool.parquet", "row": 20, "reason": "empty text"},
        {"file": "pool.parquet", "row": 33, "reason": "empty text"},
    ]


def test_a_pool_row_of_the_labeled_set_is_labeled_but_never_trained_on(tiny_run: Path) -> None:
    table = pq.read_table(tiny_run / "unlabeled" / "rows.parquet").to_pylist()
    assert [row["id"] for row in table if not row["trainable"]] == ["pool.parquet:5"]
    assert "pool.parquet:5" in [row["id"] for row in label_rows(tiny_run / "labels")]


def test_a_second_call_reuses_everything_and_changes_no_byte(
    config_for: Configure, run_copy: Path
) -> None:
    before = everything_in(run_copy)
    before_report = read_json(run_copy / "report.json")
    counter = Counter()
    report = label_pool(config_for(out=run_copy), observer=counter)
    after = everything_in(run_copy)
    assert report == before_report
    assert set(after) == set(before)
    changed = {name for name in after if after[name][0] != before[name][0]}
    # The copy lies elsewhere: `out` is another, and the report names it.
    assert changed <= {"manifest.json", "config.json", "report.html"}
    touched = {name for name in after if after[name][1] != before[name][1]}
    assert not [name for name in touched if name.endswith((".safetensors", DONE))]
    assert not [name for name in touched if name.startswith(("labels", "soft_labels", "members"))]
    assert set(counter.stages) == {"taking the pool's fingerprint", "labeling the pool"}, (
        "something was made again"
    )
    assert any("reused, up to date" in line for line in counter.said)
    assert report == read_json(run_copy / "report.json")


def test_the_same_run_gives_the_same_bytes(
    config_for: Configure, tiny_run: Path, tmp_path: Path
) -> None:
    label_pool(config_for(out=tmp_path / "again" / "news"))
    assert results_of(tmp_path / "again" / "news") == results_of(tiny_run)


def advances_of_a_run(config_for: Configure, out: Path) -> int:
    counter = Counter()
    label_pool(config_for(out=out), observer=counter)
    return counter.advances


@pytest.mark.faults
def test_a_killed_run_that_is_started_again_gives_the_same_bytes(
    config_for: Configure, shipped_run: Path, tmp_path: Path
) -> None:
    config_for = partial(config_for, **samples.SHIPPED)
    expected = results_of(shipped_run)
    total = advances_of_a_run(config_for, tmp_path / "whole" / "news")
    for share in (0.5, 1.0):
        stop_at = max(1, round(share * total))
        out = tmp_path / f"killed-{stop_at}" / "news"
        with pytest.raises(Interrupted, match="stopped by the test"):
            label_pool(config_for(out=out), observer=Counter(stop_at))
        assert not (out / "report.json").exists()
        assert not list(out.rglob(".pet-tmp-*")), f"half-written pieces after {stop_at}"
        label_pool(config_for(out=out))
        assert results_of(out) == expected, f"killed at {stop_at} of {total}"


@pytest.mark.faults
def test_a_run_that_is_killed_again_and_again_ends(
    config_for: Configure, tiny_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "news"
    for stop_at in (9, 8, 7):
        with pytest.raises(Interrupted, match="stopped"):
            label_pool(config_for(out=out), observer=Counter(stop_at))
    label_pool(config_for(out=out))
    assert results_of(out) == results_of(tiny_run)


def test_a_member_that_was_tampered_with_is_made_again_and_said_so(
    config_for: Configure, run_copy: Path
) -> None:
    expected = results_of(run_copy)
    weights = run_copy / "members" / "g0-last-r0" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"evil")
    counter = Counter()
    label_pool(config_for(out=run_copy), observer=counter)
    assert results_of(run_copy) == expected
    assert any("g0-last-r0 made again" in line for line in counter.said)
    assert "training g0-category-r0" not in counter.stages


def test_adding_a_pattern_leaves_the_other_members_as_they_are(
    config_for: Configure, shipped_run: Path, tmp_path: Path
) -> None:
    """Held-out members share the labeled rows out among the patterns, in the task's order."""
    config_for = partial(config_for, **samples.SHIPPED)
    out = tmp_path / "grown" / "news"
    label_pool(config_for(out=out, task=own_task(tmp_path, ["last", "category"], "two.toml")))
    everything = everything_in(out / "members")
    before = {name: own for name, own in everything.items() if not name.startswith("held-out")}
    counter = Counter()
    label_pool(config_for(out=out), observer=counter, update=True)
    after = everything_in(out / "members")
    assert {name: after[name] for name in before} == before
    assert [stage for stage in counter.stages if stage.startswith("training g")] == [
        "training g0-bracket-r0"
    ]
    assert results_of(out) == results_of(shipped_run)


def test_removing_a_pattern_takes_its_member_out_of_the_ensemble(
    config_for: Configure, run_copy: Path, tmp_path: Path
) -> None:
    task = own_task(tmp_path, ["category", "last"])
    report = label_pool(config_for(out=run_copy, task=task), update=True)
    assert set(report["weights"]) == {"g0-category-r0", "g0-last-r0"}
    assert {row["agreement"] for row in label_rows(run_copy / "labels")} <= {0.0, 0.5, 1.0}


def change_inputs(what: str, inputs: Path, model_folder: ModelFolder) -> dict[str, Any]:
    if what == "task":
        (inputs / "task.toml").write_text(samples.task_toml(["last"]))
    if what == "labeled":
        samples.write_csv(inputs / "labeled.csv", samples.labeled_rows()[1:], ("text", "label"))
    if what == "pool":
        samples.write_pool(inputs / "pool.parquet", samples.pool_texts()[:-1])
    return {"model": str(model_folder("roberta"))} if what == "model" else {}


@pytest.mark.parametrize(
    "what",
    [
        "task",
        "labeled",
        *thorough("pool", "model"),
    ],
)
def test_other_inputs_in_the_same_folder_are_refused_unless_asked_for(
    config_for: Configure, run_copy: Path, own_inputs: Path, model_folder: ModelFolder, what: str
) -> None:
    changes = change_inputs(what, own_inputs, model_folder)
    before = everything_in(run_copy)
    with pytest.raises(InputError, match=f"a run of another {what}"):
        label_pool(config_for(out=run_copy, inputs=own_inputs, **changes))
    assert everything_in(run_copy).keys() == before.keys()
    assert {n: b for n, (b, _) in everything_in(run_copy).items()} == {
        n: b for n, (b, _) in before.items()
    }
    label_pool(config_for(out=run_copy, inputs=own_inputs, **changes), update=True)
    expected = own_inputs.parent / "expected" / "news"
    label_pool(config_for(out=expected, inputs=own_inputs, **changes))
    found = results_of(run_copy)
    assert {name: found[name] for name in results_of(expected)} == results_of(expected)


def test_a_folder_with_other_files_is_refused_and_left_alone(
    config_for: Configure, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="a folder with other files"):
        label_pool(config_for(out=out))
    assert (out / "thesis.txt").read_text() == "years of work"
    assert not (out / "config.json").exists()


def test_a_folder_that_is_refused_keeps_its_temporary_folders(
    config_for: Configure, tmp_path: Path
) -> None:
    """With --out at a home folder, other programs' folders would be gone."""
    out = tmp_path / "mine"
    draft = out / "deep" / f"{TEMPORARY_PREFIX}editor" / "draft"
    draft.parent.mkdir(parents=True)
    draft.write_text("unsaved")
    with pytest.raises(InputError, match="a folder with other files"):
        label_pool(config_for(out=out))
    assert draft.exists()


def test_wrong_inputs_write_nothing(config_for: Configure, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing there"):
        label_pool(config_for(out=tmp_path / "new", pool=str(tmp_path / "missing.parquet")))
    assert not (tmp_path / "new").exists()


def test_too_many_bad_rows_stop_the_run(config_for: Configure, tmp_path: Path) -> None:
    samples.write_pool(tmp_path / "pool.parquet", ["the game", None, None, "news"])
    pool = str(tmp_path / "pool.parquet")
    with pytest.raises(InputError, match="at most 10% unusable rows"):
        label_pool(config_for(pool=pool))
    samples.write_pool(tmp_path / "pool.parquet", [None, ""])
    with pytest.raises(InputError, match="at least one row with text"):
        label_pool(config_for(out=tmp_path / "other", pool=pool))


def test_too_many_bad_rows_stop_a_second_start_that_allows_fewer(
    config_for: Configure, run_copy: Path
) -> None:
    """The rows were read when more was allowed, and what was read is reused."""
    with pytest.raises(InputError, match=r"at most 5% unusable rows(.|\n)*3 or more of 40"):
        label_pool(config_for(out=run_copy, max_rejected=0.05))


def test_a_shard_of_bad_rows_only_does_not_stop_the_run(
    config_for: Configure, tmp_path: Path
) -> None:
    """Damage comes in runs: 10,000 bad rows side by side are 1 % of a million."""
    texts = samples.pool_texts()
    texts[4] = texts[5] = ""
    texts[7] = texts[20] = texts[33] = "news"
    samples.write_pool(tmp_path / "pool.parquet", texts)
    report = label_pool(config_for(pool=str(tmp_path / "pool.parquet"), shard_rows=2))
    assert report["labels"]["rows"] == 38


def test_a_pool_that_is_the_labeled_set_is_an_error_that_says_so(
    config_for: Configure, inputs_folder: Path
) -> None:
    with pytest.raises(PetError, match="labeled"):
        label_pool(config_for(pool=str(inputs_folder / "labeled.csv")))


def test_a_kept_column_named_like_one_of_ours_is_refused(config_for: Configure) -> None:
    with pytest.raises(InputError, match="label files have a column of that name already"):
        label_pool(config_for(keep_columns=["label"]))


def test_a_large_pool_is_sampled_and_labeled_whole(config_for: Configure) -> None:
    config = config_for(unlabeled_rows=10)
    report = label_pool(config)
    assert report["pool"]["rows"] == 40
    assert report["pool"]["rejected"] == 3
    assert report["pool"]["scored_by_members"] <= 10
    rows = label_rows(Path(config.out) / "labels")
    assert len(rows) == 37
    known = [row["agreement"] for row in rows if row["agreement"] is not None]
    assert len(known) == report["pool"]["scored_by_members"]


def test_without_a_test_set_labeled_rows_are_measured_and_columns_kept(
    config_for: Configure,
) -> None:
    config = config_for(test=None, keep_columns=["origin"])
    report = label_pool(config)
    assert "test" not in report
    assert report["labeled"]["student"]["rows"] == 12
    assert label_rows(Path(config.out) / "labels")[8]["origin"] == "line 9"


def test_a_folder_that_somebody_works_on_is_refused(config_for: Configure, run_copy: Path) -> None:
    with locked(run_copy), pytest.raises(LockedError, match="nobody else is working on"):
        label_pool(config_for(out=run_copy))


def test_what_executes_a_stage_is_the_callers_choice(config_for: Configure) -> None:
    names: list[str] = []

    class Backwards(InProcess):
        def __call__(self, jobs: Any) -> list[Any]:
            assert all(isinstance(job, Job) for job in jobs)
            names.extend(job.name for job in jobs)
            return [job.work() for job in reversed(jobs)][::-1]

    label_pool(config_for(), Backwards())
    assert names[0] == "check inputs"
    assert len(names) == len(set(names)), "work was done twice"
    assert {"train g0-category-r0", "score g0-last-r0", "student", "labels"} <= set(names)


@pytest.mark.parametrize("kind", ["roberta", "llama"])
def test_other_kinds_of_models_run_too(
    config_for: Configure, model_folder: ModelFolder, kind: str
) -> None:
    config = config_for(model=str(model_folder(kind)), student_model=str(model_folder("bert")))
    report = label_pool(config)
    assert report["labels"]["rows"] == 37
    assert list(report["weights"]) == (
        ["g0-last-r0"] if kind == "llama" else [f"g0-{name}-r0" for name in samples.PATTERNS]
    )


def test_a_failed_stage_leaves_what_was_done_before(
    config_for: Configure, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_copy / "student" / DONE).unlink()
    before = everything_in(run_copy / "members")

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise PetError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr("pet.student.distillation._distil", fail)
        with pytest.raises(PetError, match="no luck"):
            label_pool(config_for(out=run_copy))
    assert everything_in(run_copy / "members") == before
    label_pool(config_for(out=run_copy))
