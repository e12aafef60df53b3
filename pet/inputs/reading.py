"""What a run starts from, read and checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pet.config import LINEAR, SETTINGS_OF, RunConfig
from pet.data.data_files import passed_over_warnings
from pet.data.labeled import table_digest
from pet.errors import InputError, Problem, gather, in_one_line
from pet.inputs.inputs import Inputs
from pet.inputs.model_checks import inspect_models, vocabulary_problems
from pet.inputs.presets import with_joint_steps
from pet.inputs.run_tables import count_leaks, pool_as_recorded, pool_digest, read_tables
from pet.inputs.session import Session
from pet.inputs.warm_start import check_start
from pet.models.loading import model_digest
from pet.models.sentence_encoder import encoder_digest
from pet.progress import SILENT, Observer
from pet.storage.files import read_record
from pet.storage.locations import place_in_pool
from pet.storage.mirrors import open_run_folder
from pet.storage.run_folders import RunFolder, recorded_inputs
from pet.tasks.task import load_task


def open_session(config: RunConfig, observer: Observer = SILENT) -> Session:
    """Read and check the inputs of a run; nothing is written.

    Raises:
        InputError: see `read_inputs`.
    """
    return Session(read_inputs(config, observer), observer)


def read_inputs(
    config: RunConfig, observer: Observer = SILENT, problems: list[Problem] | None = None
) -> Inputs:
    """Read and check everything that a run needs, before anything is written.

    Args:
        problems: what is known to be wrong already, to be reported with the rest.

    Raises:
        InputError: all problems of all inputs at once, as far as one does not hide another.
    """
    problems = [*(problems or []), *place_in_pool(config.pool, config.out)]
    problems += _trained_twice(config)
    digests: dict[str, str] = {}
    models = config.model_refs()
    for name, ref in models.items():
        digest_of = encoder_digest if name == "encoder" else model_digest
        digests[name] = gather(problems, partial(digest_of, ref)) or ""
    digests.setdefault("student_model", LINEAR if config.linear_student else digests["model"])
    gather(problems, partial(check_start, config, digests["model"]))
    usable, recorded = None, None
    if (task := gather([], partial(load_task, config.task))) is not None:
        found = {name: model for name, model in models.items() if digests[name]}
        run_folder = gather(problems, partial(_known_folder, config.out))
        if run_folder is not None:
            recorded = recorded_inputs(run_folder.path).get("pool")
        to_load = (
            [*found] if run_folder is None else _not_loaded_yet(config, run_folder.path, digests)
        )
        usable = gather(problems, partial(inspect_models, config, found, task, to_load))
    tables = read_tables(config, problems)
    digests["labeled"] = table_digest(tables.labeled)
    pool, pool_files = pool_as_recorded(tables.pool, config.pool_csv, recorded, observer)
    digests["pool"] = pool_digest(pool_files, config.pool_csv)
    if tables.test is not None:
        digests["test"] = table_digest(tables.test)
    if leaked := count_leaks(tables.task, tables.labeled, tables.test):
        observer.note(f"warning: {leaked} test rows stand in the labeled set: a leak")
    of_test = [] if tables.test is None else tables.test.warnings
    for line in [*of_test, *passed_over_warnings(config.pool, tables.pool.passed_over)]:
        observer.note(f"warning: {line}")
    for problem in vocabulary_problems(models, {"labeled rows": tables.labeled.columns}):
        observer.note(f"warning: {in_one_line(problem)}")
    config = with_joint_steps(config, tables.task, tables.labeled)
    if config.joint.steps and len(tables.task.rows_of_words(tables.labeled.columns)):
        raise InputError(_jointly_with_words(config))
    assert usable is not None, "a task without problems was inspected"
    task, left_out = usable
    for line in left_out:
        observer.note(line)
    return Inputs(config, task, tables.labeled, tables.test, pool, digests, pool_files=pool_files)


def _trained_twice(config: RunConfig) -> list[Problem]:
    """Refuse members that start from a model which has learned the rows that they hold out."""
    if not (config.joint.steps and config.member.steps):
        return []
    return [
        Problem(
            f"setting joint.steps, {config.joint.steps}",
            "0 where members are trained",
            f"member.steps={config.member.steps}",
            "--set member.steps=0, or leave joint.steps out",
        )
    ]


def _jointly_with_words(config: RunConfig) -> Problem:
    """Refuse to train a model by words that know the rows which it is to hold out."""
    return Problem(
        f"setting joint.steps, {config.joint.steps}",
        "0 where label words were suggested by these labeled rows",
        "[suggested_words] in the task file",
        "leave joint.steps out, or remove [suggested_words] and [words_from]",
    )


def _not_loaded_yet(config: RunConfig, run: Path, digests: Mapping[str, str]) -> list[str]:
    """Name the models that no earlier start has loaded, or not for adapters like these."""
    before = recorded_inputs(run)
    names = [name for name in digests if digests[name] != before.get(name)]
    settings = config.model_dump(mode="json")
    if _adapters(settings) != _adapters(read_record(run / "config.json")):
        names.append("model")
    return names


def _adapters(settings: Mapping[str, Any]) -> list[object]:
    """Return the settings that decide which adapters its members are."""
    member = settings.get("member")
    tuning = str(member.get("tuning")) if isinstance(member, dict) else "full"
    return [tuning, settings.get(SETTINGS_OF.get(tuning, ""))]


def _known_folder(out: str) -> RunFolder:
    run_folder = open_run_folder(out)
    run_folder.fetch_records()
    return run_folder
