"""The task and the texts of a run: read and checked as a whole, without any model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.config import CsvConfig, RunConfig
from pet.data.data_files import CsvFormat
from pet.data.labeled import LabeledSet, read_labeled
from pet.data.pool import LABEL_COLUMNS, TREE_COLUMNS, Pool, open_pool
from pet.data.text_keys import row_keys
from pet.errors import InputError, Problem, gather
from pet.progress import SILENT, Observer
from pet.storage.digests import combined_digest, file_digests
from pet.storage.units import fingerprint
from pet.tasks.task import Task, column_names, load_task


@dataclass(frozen=True)
class Tables:
    """The task and the texts of a configuration, read and checked; no model yet."""

    task: Task
    labeled: LabeledSet
    test: LabeledSet | None
    pool: Pool
    columns: dict[str, str] | None


def read_tables(config: RunConfig, problems: list[Problem] | None = None) -> Tables:
    """Read the task file, the labeled set and the test set; open the pool.

    Args:
        problems: what is known to be wrong already, to be reported with the rest.

    Raises:
        InputError: all problems of all files at once, as far as one does not hide another.
    """
    problems = problems or []
    task = gather(problems, lambda: load_task(config.task))
    if task is None:
        raise InputError(problems)
    columns = gather(problems, lambda: column_names(task, config.text_column))
    labeled: LabeledSet | None = _no_labels(task)
    if (path := config.labeled) is not None:
        labeled = gather(problems, lambda: labeled_of(config, task, path))
    test = None
    if (test_path := config.test) is not None:
        test = gather(problems, lambda: labeled_of(config, task, test_path))
    pool = gather(problems, lambda: pool_of_run(config, task, config.pool, columns))
    own_columns = {*LABEL_COLUMNS, *(TREE_COLUMNS if task.label_separator else ())}
    taken = sorted(own_columns.intersection(config.keep_columns))
    if taken:
        problems.append(
            Problem(
                "setting keep_columns",
                "columns with names of their own",
                f"{', '.join(taken)}: label files have a column of that name already",
                "rename the pool's column, or leave it out",
            )
        )
    problems += _problems_of_several(config, task)
    if pool is not None:
        gather(problems, partial(pool.kept_schema, config.keep_columns))
    if test is not None and labeled is not None:
        problems += _leak_problems(task, labeled, test)
    if problems or labeled is None or pool is None:
        raise InputError(problems)
    return Tables(task, labeled, test, pool, columns)


def _problems_of_several(config: RunConfig, task: Task) -> list[Problem]:
    """Describe settings that a task of several labels a text cannot be run with."""
    if not task.several:
        return []
    where, several = f"task {task.name}", 'labels_per_text = "any"'
    problems = []
    if config.labeled is None and not task.prior:
        problems.append(
            Problem(
                f"{where}, {several}",
                "labeled rows, or a table [prior]: how common each label is",
                "neither",
                "add --labeled FILE; some ten rows of each label do. Or write each label's share "
                "of all texts into a table [prior] of the task file",
            )
        )
    if "labels" in config.keep_columns:
        problems.append(
            Problem(
                "setting keep_columns",
                "columns with names of their own",
                "labels: label files have a column of that name already",
                "rename the pool's column, or leave it out",
            )
        )
    refused = {
        "preset=paper": "take --preset default: the paper's formulas are those of one label",
        "calibration=none": "leave it out: of a label that is asked by itself, the "
        "log-probability of a word says nothing without its mean over the pool",
    }
    # The preset brings that calibration: one problem is enough.
    name = "preset=paper" if config.preset == "paper" else f"calibration={config.calibration}"
    if name in refused:
        problems.append(
            Problem(
                f"setting {name.partition('=')[0]}",
                f"one label a text ({where} has {several})",
                name,
                refused[name],
            )
        )
    return problems


def pool_of_run(
    config: RunConfig, task: Task, path: str, columns: Mapping[str, str] | None
) -> Pool:
    """Open texts as a run opens its own pool.

    Args:
        columns: field -> column in the files, where the name differs.

    Raises:
        InputError: all problems of all files.
    """
    return open_pool(
        path,
        task.fields,
        columns=columns,
        id_column=config.id_column,
        keep_columns=config.keep_columns,
        written=_written_of(config, path),
    )


def _written_of(config: RunConfig, path: str) -> CsvFormat:
    """Return how a pool is written; without one, `pet check` reads the labeled set as the pool."""
    if path == config.labeled and config.labeled_csv == config.pool_csv:
        return csv_format(config.labeled_csv, "--set labeled_csv.")
    return csv_format(config.pool_csv, "--set pool_csv.")


def csv_format(csv: CsvConfig, option: str) -> CsvFormat:
    """Return how CSV files are written, as readers take it; for `option` see `CsvFormat`."""
    return CsvFormat(**csv.model_dump(), option=option)


def pool_digest(files: Mapping[str, str], csv: CsvConfig) -> str:
    """Name a pool by its files, as `file_digests` lists them, and by how they are read."""
    digest = combined_digest(files)
    return fingerprint(files=digest, csv=csv.stated) if csv.stated else digest


def pool_as_recorded(
    pool: Pool, csv: CsvConfig, recorded: str | None, observer: Observer = SILENT
) -> tuple[Pool, dict[str, str]]:
    """Return a pool with the sha256 of its files, by name; an earlier run's with its files alone.

    Former versions read fewer kinds of files: a run that one of them began keeps to these.

    Args:
        recorded: the digest of the pool that the run was begun with, where it was.
    """
    files = file_digests(pool.files, observer, root=pool.path)
    former = pool.as_formerly()
    if recorded in (None, pool_digest(files, csv)) or len(former.files) in (0, len(pool.files)):
        return pool, files
    files_of_then = file_digests(former.files, root=pool.path)
    if pool_digest(files_of_then, csv) != recorded:
        return pool, files
    count = len(pool.files) - len(former.files)
    observer.note(
        f"{count:,} files are left out: the run was begun by a version that did not read their "
        "kinds; a new run reads them"
    )
    return former, files_of_then


def texts_of(task: Task, table: LabeledSet) -> set[tuple[str, ...]]:
    """Return the keys of the distinct texts of a labeled or test set, all fields together."""
    return set(row_keys(table.columns, task.fields))


def _leak_problems(task: Task, labeled: LabeledSet, test: LabeledSet) -> list[Problem]:
    texts = texts_of(task, test)
    if not texts or not texts <= texts_of(task, labeled):
        return []
    return [
        Problem(
            f"--test {test.path}",
            "rows that nobody learns from",
            f"all {len(test):,} rows stand in the labeled set, {labeled.path}",
            "take other labeled rows, or leave --test out",
        )
    ]


def count_leaks(task: Task, labeled: LabeledSet, test: LabeledSet | None) -> int:
    """Count the distinct test texts that stand in the labeled set."""
    return 0 if test is None else len(texts_of(task, labeled) & texts_of(task, test))


def _no_labels(task: Task) -> LabeledSet:
    nothing: NDArray[Any] = np.zeros(0, dtype=np.int64)
    if task.several:
        nothing = np.zeros((0, len(task.labels)), dtype=np.bool_)
    return LabeledSet([], {name: [] for name in task.fields}, nothing, [], Path("-"))


def labeled_of(
    config: RunConfig,
    task: Task,
    path: str,
    *,
    label_column: str | None = None,
    text_column: str | None = None,
    csv: CsvConfig | None = None,
) -> LabeledSet:
    """Read labeled texts as a run reads its own.

    Args:
        label_column, text_column: where this file names them otherwise.
        csv: how it is written, where it is neither the run's labeled set nor its test set.

    Raises:
        InputError: all problems of the file at once.
    """
    known, option = (config.labeled_csv, "--set labeled_csv.") if csv is None else (csv, "--csv ")
    return read_labeled(
        path,
        task.fields,
        task.labels,
        label_column=label_column or config.label_column,
        columns=column_names(task, text_column or config.text_column),
        id_column=config.id_column,
        max_rejected=config.max_rejected,
        written=csv_format(known, option),
        several=task.several,
        separator=task.labels_separated_by,
    )
