"""Transfer of adapters from task to task (prompt transfer, Su et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pet.data.labeled import LabeledSet, table_digest
from pet.ensemble.member_models import prior_offset
from pet.ensemble.members import parse_member
from pet.errors import InputError, Problem, gather
from pet.finished.adapter_similarity import active_neurons, compare_vectors, overlap, read_vectors
from pet.finished.finished_run import FinishedRun, open_run, refuse_changed
from pet.inputs.run_tables import labeled_of
from pet.inputs.warm_start import adapters_of, counterpart
from pet.models.adapter import read_backbone
from pet.models.cloze_model import ClozeModel
from pet.models.scoring import cloze_encoder, score_in_turn
from pet.models.teachers import Backbone
from pet.progress import Observer
from pet.storage.run_folders import recorded_inputs
from pet.tasks.encoding import Encoder

MEASURES = (
    "cosine_average",
    "cosine_concatenated",
    "euclidean_average",
    "euclidean_concatenated",
    "active_neurons",
)

Matrix = list[list[float | None]]


@dataclass(frozen=True)
class Side:
    """One run: its adapters, and the rows on which others' are tried on its task.

    Attributes:
        members: folders of the adapters of its first trained generation.
        measured_on: `test`, or `labeled` where there is no test set.
    """

    run: FinishedRun
    members: list[Path]
    table: LabeledSet
    measured_on: str

    @property
    def tuning(self) -> str:
        return str(read_backbone(self.members[0]).get("tuning"))

    @property
    def digest(self) -> str:
        """Name the model that the adapters sit on by its content."""
        return str(read_backbone(self.members[0]).get("digest"))


def measure_transfer(folders: Sequence[Path], observer: Observer) -> dict[str, Any]:
    """Compare the adapters of some runs, and try each run's on the tasks of all.

    A task's patterns and words stay its own; a member's adapter gives way to the one that
    `init_from` would start it from, as it is. All members of all runs are compared in pairs.

    Returns:
        `runs` and `members`: in the order of all matrices.
        `similarity`: per measure of `MEASURES`, a matrix of `members` by members, and the means
            of `runs` by runs, no member with itself. What does not apply is absent, or null.
        `accuracy`: means over a task's members. `matrix` [runs, tasks], `relative` to the task's
            own, `untrained` [tasks] with no adapter at all, and `learned` [runs, tasks]: whether
            the rows are those that the adapters were trained on. Of a task of several labels a
            text, whose run says so (`labels_per_text`), it is 2 AUC - 1, the labels' mean.

    Raises:
        InputError: a run is none, or not finished, has no adapters, or other ones than the first.
    """
    sides = _open_sides(folders)
    first = sides[0].run
    backbone = Backbone.of(first.config, first.folder)
    return {
        "model": first.config.model,
        "tuning": sides[0].tuning,
        "runs": [
            {
                "run": str(side.run.folder),
                "task": side.run.task.name,
                "measured_on": side.measured_on,
                "rows": len(side.table),
                **({"labels_per_text": "any"} if side.run.task.several else {}),
            }
            for side in sides
        ],
        "members": [
            {"run": number, "member": path.name}
            for number, side in enumerate(sides)
            for path in side.members
        ],
        "similarity": _similarity(sides, backbone, observer),
        "accuracy": _accuracy(sides, backbone, observer),
    }


def _open_sides(folders: Sequence[Path]) -> list[Side]:
    """Open runs; report all that is wrong with any of them, or with their going together."""
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        found = ", ".join(map(str, folders))
        raise InputError(Problem("RUN...", "two or more runs, each once", found, "name another"))
    problems: list[Problem] = []
    sides = [gather(problems, partial(_open_side, folder)) for folder in folders]
    known = [side for side in sides if side is not None]
    for side in known[1:]:
        problems += _apart(known[0], side)
    if problems:
        raise InputError(problems)
    return known


def _open_side(folder: Path) -> Side:
    run = open_run(folder)
    members = adapters_of(folder)
    if not members:
        raise InputError(
            Problem(
                str(folder),
                "a run whose members are adapters",
                "members without adapters",
                "make one with --set member.tuning=soft-prompt (or another but full)",
            )
        )
    for member in members:
        refuse_changed(member)
    return Side(run, members, *_rows_of(run))


def _rows_of(run: FinishedRun) -> tuple[LabeledSet, str]:
    """Read the test set of a run again, or else its labeled set."""
    config = run.config
    name, path = ("test", config.test) if config.test else ("labeled", config.labeled)
    if path is None:
        raise InputError(
            Problem(
                str(run.folder),
                "a run with a test set, or with labeled rows",
                "neither",
                "give its `pet run` command again, with --test FILE",
            )
        )
    table = labeled_of(config, run.task, path)
    if table_digest(table) != recorded_inputs(run.folder).get(name):
        raise InputError(
            Problem(
                path,
                f"the {name} rows that {run.folder} was made with",
                "other rows",
                "put the file back, or give that run's `pet run` command with --update",
            )
        )
    return table, name


def _apart(one: Side, other: Side) -> Iterator[Problem]:
    """Find why the adapters of two runs cannot be compared."""
    where = str(other.run.folder)
    if other.tuning != one.tuning:
        yield Problem(
            where,
            f"{one.tuning} adapters, as in {one.run.folder}",
            f"{other.tuning} adapters",
            "compare runs of one member.tuning",
        )
    elif other.digest != one.digest:
        yield Problem(
            where,
            f"adapters on the model of {one.run.folder}, {one.run.config.model}",
            f"adapters on another model, {other.run.config.model}",
            "compare runs of one --model, made without adapt_steps",
        )


def _similarity(sides: Sequence[Side], backbone: Backbone, observer: Observer) -> dict[str, Any]:
    """Compare all members in pairs by every measure."""
    paths = [path for side in sides for path in side.members]
    vectors = [read_vectors(path) for path in paths]
    with observer.stage("activating neurons", len(paths), "members") as tick:
        active = []
        for path in paths:
            active.append(active_neurons(backbone.with_adapter(path)))
            tick(1)
    cells: list[list[dict[str, float]]] = [[{} for _ in paths] for _ in paths]
    for i in range(len(paths)):
        for j in range(i + 1):
            one, other = vectors[i], vectors[j]
            found = {} if one is None or other is None else compare_vectors(one, other)
            mine, others = active[i], active[j]
            if mine is not None and others is not None:
                found["active_neurons"] = overlap(mine, others)
            cells[i][j] = cells[j][i] = found
    owners = np.repeat(np.arange(len(sides)), [len(side.members) for side in sides])
    by_measure = {}
    for measure in MEASURES:
        if not any(measure in cell for row in cells for cell in row):
            continue
        members = [[_rounded(cell.get(measure)) for cell in row] for row in cells]
        by_measure[measure] = {"members": members, "runs": _means(members, owners)}
    return by_measure


def _means(members: Matrix, owners: np.ndarray) -> Matrix:
    """Average over the pairs of members of two runs, or of one, no member with itself."""
    values = np.array(members, dtype=float)
    np.fill_diagonal(values, np.nan)
    runs = range(int(owners.max()) + 1)
    blocks = [[values[np.ix_(owners == one, owners == other)] for other in runs] for one in runs]
    return [
        [None if np.isnan(block).all() else _rounded(float(np.nanmean(block))) for block in row]
        for row in blocks
    ]


def _accuracy(sides: Sequence[Side], backbone: Backbone, observer: Observer) -> dict[str, Any]:
    """Try the adapters of every run, and none, on every task."""
    columns = [_try_on(task, sides, backbone, observer) for task in sides]
    matrix = [list(row) for row in zip(*columns, strict=True)]
    trained = [recorded_inputs(side.run.folder).get("labeled") for side in sides]
    return {
        "matrix": matrix[:-1],
        "relative": [
            [
                _rounded(value / matrix[task][task]) if matrix[task][task] else None
                for task, value in enumerate(row)
            ]
            for row in matrix[:-1]
        ],
        "untrained": matrix[-1],
        "learned": [
            [
                task.measured_on == "labeled" and own == trained[number]
                for number, task in enumerate(sides)
            ]
            for own in trained
        ],
    }


def _try_on(
    task: Side, sides: Sequence[Side], backbone: Backbone, observer: Observer
) -> list[float]:
    """Return how right members are about a task with the adapters of every run, last with none."""
    count = (len(sides) + 1) * len(task.members)
    stage = f"all on {task.run.task.name}"
    with observer.stage(stage, len(task.table), "rows") as tick:
        logits = score_in_turn(
            _loaded(task, sides, backbone),
            count,
            task.table.columns,
            task.run.config.tokens_per_batch,
            tick,
        )
    outcome, truth = task.run.outcome, task.table.labels
    if outcome.several:  # whose labels would need thresholds of every adapter's own
        right = np.array([outcome.accuracy_weight(own, truth) for own in logits])
    else:
        right = (logits.argmax(axis=-1) == truth).mean(axis=1)
    return [round(float(own.mean()), 4) for own in right.reshape(len(sides) + 1, -1)]


def _loaded(
    task: Side, sides: Sequence[Side], backbone: Backbone
) -> Iterator[tuple[ClozeModel, list[Encoder]]]:
    """Yield every member of a task with each run's adapter in place of its own, then with none."""
    config, of, folder = task.run.config, task.run.task, task.run.folder
    members = [parse_member(path.name) for path in task.members]
    for side in [*sides, None]:
        for member in members:
            model = backbone.model
            if side is not None:
                model = backbone.with_adapter(
                    counterpart(side.members, of, member.pattern, member.repetition)
                )
            offset = prior_offset(config, of, folder, member.pattern)
            yield model, [cloze_encoder(config, of, model, member.pattern, offset)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
