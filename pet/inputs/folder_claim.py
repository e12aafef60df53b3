"""Whose a run folder is: nobody's yet, this run's, or another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pet.errors import InputError, Problem
from pet.inputs.inputs import INPUTS
from pet.inputs.session import Session
from pet.storage.files import (
    TEMPORARY_PREFIX,
    read_json,
    read_record,
    remove,
    write_json,
    write_text,
)
from pet.storage.format_version import FORMAT, check_format
from pet.storage.locks import LOCK
from pet.storage.run_folders import name_files, recorded_inputs
from pet.storage.units import fingerprint


def check_folder(session: Session, update: bool) -> None:
    """Refuse a folder that is not this run's to write in.

    Raises:
        InputError: it holds other files, a run of other inputs and `update` was not asked for, or
            a run of a newer version.
    """
    check_format(session.folder, read_record(session.folder / "manifest.json"))
    before = recorded_inputs(session.folder)
    changed = [
        name
        for name in ("task", "labeled", "pool", "model")
        if name in before and before[name] != _identity(session)[name]
    ]
    if changed and not update:
        raise InputError(
            Problem(
                session.config.out,
                "a run folder of these inputs, or a new one",
                f"a run of another {', another '.join(changed)}",
                "choose another --out, or add --update to redo what depends on it",
            )
        )
    # Of a run that was killed before it was claimed; and the inputs, where they lie in it.
    ours = {LOCK, "unlabeled", "rejected.parquet", INPUTS}
    others = [
        name
        for name in session.run_folder.names()
        if name not in ours and not name.startswith(TEMPORARY_PREFIX)
    ]
    if others and not before and not _has_lost_its_manifest(session):
        raise InputError(
            Problem(
                session.config.out,
                "a run folder, or one that does not exist yet",
                f"a folder with other files ({', '.join(sorted(others)[:4])})",
                "choose another --out",
            )
        )


def _has_lost_its_manifest(session: Session) -> bool:
    """Recognise a run whose manifest cannot be read; its units say what they were made from."""
    path = session.folder / "manifest.json"
    known = all((session.folder / name).is_file() for name in ("config.json", "task.toml"))
    if not known or not path.is_file() or read_json(path) is not None:
        return False
    session.observer.note(f"{path} is damaged: it is written anew, what is up to date is reused")
    return True


def claim_folder(session: Session, budget: Mapping[str, Any]) -> None:
    """Write down what the run is made from; an earlier report is no longer true.

    Args:
        budget: the time that the run was given, and the settings chosen for it; empty if none.
    """
    path = session.folder / "manifest.json"
    manifest = read_record(path)
    # The manifest comes first: it is what makes the folder ours.
    of_now = {"format": FORMAT, "run_id": session.inputs.run_id, "inputs": _identity(session)}
    write_json(path, {**manifest, **of_now, **({"budget": budget} if budget else {})})
    session.run_folder.push([path])
    # The report goes before what it was of is written over: without it, the run has not ended.
    for name in ("report.json", "report.html"):
        remove(session.folder / name)
    session.run_folder.push()
    write_json(session.folder / "config.json", session.config.model_dump(mode="json"))
    write_text(session.folder / "task.toml", session.task.toml)
    write_json(path, {**read_record(path), "files": name_files(session.folder)})
    session.run_folder.push()


def _identity(session: Session) -> dict[str, str]:
    return {**session.digests, "task": fingerprint(task=session.task.toml)}
