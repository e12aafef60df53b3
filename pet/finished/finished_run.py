"""A finished run: its folder opened, its parts as they were made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pet.config import RunConfig
from pet.data.pool import Pool
from pet.errors import RUN_AGAIN, InputError, Problem
from pet.inputs.run_tables import pool_as_recorded, pool_digest, pool_of_run
from pet.method.outcomes import ONE, AnyLabels, Outcome
from pet.settings import load_config
from pet.storage.digests import file_digests
from pet.storage.files import read_record
from pet.storage.format_version import check_format
from pet.storage.run_folders import recorded_inputs, refuse_other_files
from pet.storage.units import DONE, finished
from pet.tasks.task import Task, column_names, load_task


@dataclass(frozen=True)
class FinishedRun:
    """A run folder that holds a student."""

    folder: Path
    config: RunConfig
    task: Task

    @cached_property
    def outcome(self) -> Outcome:
        """What a text's labels can be; of several, with the thresholds of the student."""
        if not self.task.several:
            return ONE
        from pet.student.student_folder import thresholds_of  # torch, which a review does without

        return AnyLabels((), thresholds_of(self.folder / "student"))

    def fingerprint_of(self, unit: str) -> str:
        return str(read_record(self.folder / unit / DONE).get("fingerprint"))


def open_run(folder: Path) -> FinishedRun:
    """Open a finished run.

    Raises:
        InputError: the folder is no run, its student is not made yet, or a newer version made it.
    """
    check_format(folder, read_record(folder / "manifest.json"))
    config = load_config(folder / "config.json")
    path = folder / "task.toml"
    # The report is written last, and taken away when new inputs come into the folder.
    if not all((folder / name).exists() for name in ("student", "task.toml", "report.json")):
        raise InputError(
            Problem(
                str(folder),
                "a finished run, with a student",
                "a run that has not ended",
                "give its `pet run` command again: it goes on where it was",
            )
        )
    refuse_changed(folder / "student")
    run = FinishedRun(folder, config, load_task(path.absolute()))
    _refuse_other_labels(run)
    refuse_other_files(folder)
    return run


def _refuse_other_labels(run: FinishedRun) -> None:
    """Refuse a task file whose labels are not the student's, in the student's order.

    Scores are kept by place: with two label lines exchanged, each row would get the other's label.
    """
    student = run.folder / "student"
    if run.config.linear_student:
        labels = tuple(map(str, read_record(student / "pet.json").get("labels") or ()))
    else:
        named = read_record(student / "config.json").get("id2label")
        if not isinstance(named, dict):
            return
        labels = tuple(str(named.get(str(place))) for place in range(len(named)))
    if labels != run.task.labels:
        raise InputError(
            Problem(
                str(run.folder / "task.toml"),
                f"the labels that the student was made for: {', '.join(labels)}",
                f"{', '.join(run.task.labels)}: it was changed",
                "put the old file back, or make the run anew with `pet run --update`",
            )
        )


def refuse_changed(folder: Path) -> dict[str, Any]:
    """Return the record of a unit that is as it was made.

    Raises:
        InputError: a file of it is another by now, or its record cannot be read.
    """
    record = read_record(folder / DONE)
    is_whole, reason = finished(folder, str(record.get("fingerprint")))
    if not is_whole:
        raise InputError(
            Problem(
                str(folder),
                "a part of the run as it was made",
                reason,
                RUN_AGAIN,
            )
        )
    return record


def open_run_pool(run: FinishedRun, path: str | None = None) -> Pool:
    """Open the pool that a run has labeled: ids alone (file and row) do not identify it.

    Args:
        path: where the pool is now, if not where it was.

    Raises:
        InputError: it is not there, or is another one by now.
    """
    config, path = run.config, path or run.config.pool
    columns = columns_of(run, None)
    recorded = recorded_inputs(run.folder).get("pool")
    opened = pool_of_run(config, run.task, path, columns)
    pool, files = pool_as_recorded(opened, config.pool_csv, recorded)
    if "files" not in read_record(run.folder / "manifest.json"):  # names as in former versions
        files = file_digests(pool.files)
    if pool_digest(files, config.pool_csv) != recorded:
        raise InputError(
            Problem(
                path,
                "the pool that the run labeled",
                "other files or another content",
                "put it back as it was (pet export: name it with --pool), or label this one "
                "with `pet run --update`",
            )
        )
    return pool


def columns_of(run: FinishedRun, text_column: str | None) -> dict[str, str] | None:
    """Return which column holds which field of the task, where the names differ."""
    return column_names(run.task, text_column or run.config.text_column)
