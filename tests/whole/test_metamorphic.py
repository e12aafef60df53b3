"""What must not matter does not: order, names, sizes, cuts, columns, threads.

Zero-shot labels and those of a finished student are compared row by row, and have to be the same;
probabilities may differ by rounding, since other batches add up in another order. A whole run is
compared where nothing that it draws depends on the change. Where something does, such as the start
of the student's head, which is drawn label by label, a bound is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pet.checking.zero_shot import label_zero_shot
from pet.ensemble.logits import read_logits
from pet.finished import inference
from pet.finished.finished_run import open_run
from pet.finished.inference import label_new_pool
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.tasks.task import load_task
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.marks import thorough
from tests.support.run_files import label_rows

Rows = dict[str, tuple[str, dict[str, float]]]  # id -> label, label -> probability
Table = dict[str, list[Any]]
ROUNDING = 1e-4  # in probability

TEXTS = [text for text in samples.pool_texts() if text and text.strip()]
POOL: Table = {"id": [f"row {n}" for n in range(len(TEXTS))], "text": TEXTS}
# Members whose labels are not all alike, as they are of random models without training.
TRAINED: dict[str, Any] = {
    "member": {"steps": 20, "batch_size": 6, "learning_rate": 0.01},
    "temperature": 0.2,
}
# A student of the same kind, without dropout, with which it may learn nothing. Rounding grows with
# such rates: it is compared when it is finished.
STUDENT = {"steps": 60, "batch_size": 8, "learning_rate": 0.03, "dropout": 0.0}
LABEL_LINES = ('sport = "sport"', 'space = ["space", "moon"]', 'business = "business"')


def rows_of(folder: Path) -> Rows:
    return {row["id"]: (row["label"], row["probabilities"]) for row in label_rows(folder)}


def same(found: Rows, expected: Rows, names: Mapping[str, str] | None = None) -> None:
    """Hold every row's label and probabilities against others.

    Args:
        names: what a label is called now, where it has another name.
    """
    assert found.keys() == expected.keys()
    for id, (label, probabilities) in expected.items():
        called = {own: (names or {}).get(own, own) for own in probabilities}
        assert found[id][0] == called[label], id
        wanted = {called[own]: value for own, value in probabilities.items()}
        assert found[id][1] == pytest.approx(wanted, abs=ROUNDING), id


def distance(found: Rows, expected: Rows) -> float:
    """Return by how much a probability differs at the most."""
    assert found.keys() == expected.keys()
    return max(
        abs(found[id][1][label] - value)
        for id, (_, probabilities) in expected.items()
        for label, value in probabilities.items()
    )


def various(rows: Rows) -> Rows:
    """Return rows whose labels are not all alike: else they could hardly differ."""
    assert len({label for label, _ in rows.values()}) > 1
    return rows


def in_order(table: Table, order: Sequence[int]) -> Table:
    return {name: [values[row] for row in order] for name, values in table.items()}


SHUFFLED = np.random.default_rng(0).permutation(len(TEXTS)).tolist()


def write_whole(folder: Path, table: Table) -> Path:
    folder.mkdir()
    pq.write_table(pa.table(table), folder / "pool.parquet", row_group_size=16)
    return folder / "pool.parquet"


def write_cut(folder: Path, table: Table) -> Path:
    """Cut a pool into files of several formats, in the same order."""
    folder.mkdir()
    ends = [0, 5, 6, len(table["id"])]
    for number, (start, end) in enumerate(pairwise(ends)):
        part = {name: values[start:end] for name, values in table.items()}
        if number == 1:
            rows = list(zip(*part.values(), strict=True))
            samples.write_csv(folder / f"{number}.csv", rows, list(part))
        else:
            pq.write_table(pa.table(part), folder / f"{number}.parquet")
    return folder


# What is done to the pool, and must not matter.
POOLS: dict[str, Callable[[Path], Path]] = {
    "rows in another order": lambda f: write_whole(f, in_order(POOL, SHUFFLED)),
    "files cut elsewhere": lambda f: write_cut(f, POOL),
    "columns that no pattern names": lambda f: write_whole(
        f, {"label": ["space"] * len(TEXTS), **POOL, "confidence": list(range(len(TEXTS)))}
    ),
}
SIZES = {
    "small batches": {"tokens_per_batch": 64},
    "one batch": {"tokens_per_batch": 100_000},
    "small shards": {"shard_rows": 3},
    "one shard": {"shard_rows": 1000},
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole(tmp_path_factory.mktemp("pool") / "whole", POOL)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def zero_shot(
    model_folder: ModelFolder, pool: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Rows]:
    """Label a pool by the untrained patterns: `zero_shot(pool, shard_rows=3)`."""

    def label(of: Path = pool, toml: str = samples.task_toml(), **settings: int) -> Rows:
        place = tmp_path_factory.mktemp("zero-shot")
        (place / "task.toml").write_text(toml)
        values = {"device": "cpu", "max_length": 32, "shard_rows": 16, **settings}
        label_zero_shot(
            str(place / "task.toml"),
            str(of),
            place / "out",
            str(model_folder("bert")),
            SILENT,
            settings=tuple(f"{name}={value}" for name, value in values.items()),
        )
        return rows_of(place / "out")

    return label


@pytest.fixture(scope="module")
def untrained(zero_shot: Callable[..., Rows]) -> Rows:
    return various(zero_shot())


@pytest.mark.parametrize("change", POOLS)
def test_zero_shot_labels_do_not_depend_on_how_the_pool_lies(
    zero_shot: Callable[..., Rows], untrained: Rows, tmp_path: Path, change: str
) -> None:
    same(zero_shot(POOLS[change](tmp_path / "pool")), untrained)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_zero_shot_labels_do_not_depend_on_sizes(
    zero_shot: Callable[..., Rows], untrained: Rows, sizes: dict[str, int]
) -> None:
    same(zero_shot(**sizes), untrained)


@pytest.mark.usefixtures("two_threads")
def test_zero_shot_labels_do_not_depend_on_threads(
    zero_shot: Callable[..., Rows], untrained: Rows
) -> None:
    same(zero_shot(), untrained)


def relabeled(lines: Sequence[str], patterns: Sequence[str] = tuple(samples.PATTERNS)) -> str:
    """Write the task with these lines of labels, and its patterns in this order."""
    toml = samples.task_toml(patterns)
    before = "\n".join(LABEL_LINES)
    assert before in toml
    return toml.replace(before, "\n".join(lines))


RENAMED = {"sport": "Z: games", "space": "business", "business": "a"}
RENAMED_LINES = [f'"{RENAMED[line.split()[0]]}" = {line.split("= ")[1]}' for line in LABEL_LINES]


@pytest.mark.parametrize(
    ("toml", "names"),
    [
        (relabeled(LABEL_LINES[::-1]), {}),
        (relabeled([*LABEL_LINES[1:], LABEL_LINES[0]]), {}),
        (relabeled(RENAMED_LINES), RENAMED),
        (relabeled(LABEL_LINES, tuple(samples.PATTERNS)[::-1]), {}),
    ],
    ids=["labels reversed", "labels turned", "labels renamed", "patterns reversed"],
)
def test_zero_shot_labels_follow_the_task_and_not_its_order(
    zero_shot: Callable[..., Rows], untrained: Rows, toml: str, names: dict[str, str]
) -> None:
    same(zero_shot(toml=toml), untrained, names)


@pytest.fixture(scope="module")
def run(
    inputs_folder: Path,
    model_folder: ModelFolder,
    pool: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """Make a whole run; return its folder."""

    def make(of: Path = pool, toml: str = samples.task_toml(), **changes: Any) -> Path:
        place = tmp_path_factory.mktemp("run")
        (place / "task.toml").write_text(toml)
        more = {
            "task": str(place / "task.toml"),
            "pool": str(of),
            "test": None,
            **TRAINED,
            **changes,
        }
        label_pool(samples.tiny_config(inputs_folder, model_folder("bert"), place / "news", **more))
        return place / "news"

    return make


def soft(folder: Path) -> Rows:
    """Read a run's soft labels."""
    labels = load_task(folder / "task.toml").labels
    found: Rows = {}
    for path in sorted((folder / "soft_labels").glob("part-*.parquet")):
        for id, row in zip(*read_logits(path), strict=True):
            found[id] = labels[int(row.argmax())], dict(zip(labels, row.tolist(), strict=True))
    return found


@pytest.fixture(scope="module")
def whole(run: Callable[..., Path]) -> Path:
    return run()


def same_run(found: Path, expected: Path, names: Mapping[str, str] | None = None) -> None:
    """Hold a run's labels and soft labels against another's."""
    same(soft(found), various(soft(expected)), names)
    same(rows_of(found / "labels"), rows_of(expected / "labels"), names)


@pytest.fixture(scope="module")
def student(
    run: Callable[..., Path], pool: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Rows]:
    """Label a pool by the finished student or ensemble: `student(pool, "ensemble")`."""
    folder = run(student=STUDENT)

    def label(of: Path = pool, who: str = "student", **settings: int) -> Rows:
        out = tmp_path_factory.mktemp("student") / "out"
        with pytest.MonkeyPatch.context() as patch:
            opened = open_run(folder)
            other = replace(opened, config=opened.config.model_copy(update=settings))
            patch.setattr(inference, "open_run", lambda folder, **_: other)
            label_new_pool(folder, str(of), out, who, None, SILENT)
        return rows_of(out)

    return label


@pytest.fixture(scope="module")
def finished(student: Callable[..., Rows]) -> dict[str, Rows]:
    return {who: various(student(who=who)) for who in ("student", "ensemble")}


WHO = ["student", *thorough("ensemble")]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("change", POOLS)
def test_a_finished_runs_labels_do_not_depend_on_how_the_pool_lies(
    student: Callable[..., Rows],
    finished: dict[str, Rows],
    tmp_path: Path,
    change: str,
    who: str,
) -> None:
    same(student(POOLS[change](tmp_path / "pool"), who), finished[who])


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_finished_runs_labels_do_not_depend_on_sizes(
    student: Callable[..., Rows],
    finished: dict[str, Rows],
    tmp_path: Path,
    sizes: dict[str, int],
    who: str,
) -> None:
    """Of a pool that is not the run's own, whose scores would be read back."""
    other = write_cut(tmp_path / "pool", POOL)
    same(student(other, who, **sizes), finished[who])


@pytest.mark.parametrize("who", WHO)
@pytest.mark.usefixtures("two_threads")
def test_a_finished_runs_labels_do_not_depend_on_threads(
    student: Callable[..., Rows], finished: dict[str, Rows], who: str
) -> None:
    same(student(who=who), finished[who])


def test_a_runs_labels_do_not_depend_on_the_size_of_shards(
    run: Callable[..., Path], whole: Path
) -> None:
    same_run(run(shard_rows=3), whole)


def test_the_size_of_batches_changes_what_a_student_learns_by_rounding_alone(
    run: Callable[..., Path], whole: Path
) -> None:
    """Adam divides by the size of a gradient: of one near zero, rounding decides the sign."""
    found = run(tokens_per_batch=64)
    same(soft(found), various(soft(whole)))
    assert distance(rows_of(found / "labels"), rows_of(whole / "labels")) < 0.03


@pytest.mark.parametrize("change", ["files cut elsewhere", "columns that no pattern names"])
def test_a_runs_labels_do_not_depend_on_files_and_columns(
    run: Callable[..., Path], whole: Path, tmp_path: Path, change: str
) -> None:
    same_run(run(POOLS[change](tmp_path / "pool")), whole)


def test_a_runs_labels_follow_the_names_of_the_labels(
    run: Callable[..., Path], whole: Path, inputs_folder: Path, tmp_path: Path
) -> None:
    rows = [(text, RENAMED[label]) for text, label in samples.labeled_rows()]
    labeled = samples.write_csv(tmp_path / "labeled.csv", rows, ("text", "label"))
    same_run(run(toml=relabeled(RENAMED_LINES), labeled=str(labeled)), whole, RENAMED)


def test_a_runs_labels_do_not_depend_on_the_order_of_patterns(
    run: Callable[..., Path], whole: Path
) -> None:
    same_run(run(toml=relabeled(LABEL_LINES, tuple(samples.PATTERNS)[::-1])), whole)


def test_the_order_of_labels_changes_the_start_of_the_students_head_alone(
    run: Callable[..., Path], whole: Path
) -> None:
    found = run(toml=relabeled(LABEL_LINES[::-1]))
    same(soft(found), soft(whole))
    assert 0 < distance(rows_of(found / "labels"), rows_of(whole / "labels")) < 0.1


def test_the_order_of_rows_changes_which_of_them_the_student_learns_first_alone(
    run: Callable[..., Path], whole: Path, tmp_path: Path
) -> None:
    found = run(POOLS["rows in another order"](tmp_path / "pool"))
    same(soft(found), soft(whole))
    assert 0 < distance(rows_of(found / "labels"), rows_of(whole / "labels")) < 0.1


@pytest.mark.faults  # minutes, where other tests want the same cores
@pytest.mark.usefixtures("two_threads")
def test_threads_change_a_run_by_rounding_alone(run: Callable[..., Path], whole: Path) -> None:
    same_run(run(), whole)
