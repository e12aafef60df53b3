"""Whose a run folder is: nobody's yet, this run's, or another's."""

from __future__ import annotations

from pet.errors import InputError, Problem
from pet.inputs.inputs import INPUTS, Inputs, recorded_inputs
from pet.storage.files import TEMPORARY_PREFIX, read_json, read_record, write_json, write_text
from pet.storage.format_version import FORMAT, check_format
from pet.storage.locks import LOCK
from pet.storage.units import fingerprint


def check_folder(inputs: Inputs, update: bool) -> None:
    """Refuse a folder that is not this run's to write in.

    Raises:
        InputError: it holds other files, a run of other inputs and `update` was not asked for, or
            a run of a newer version.
    """
    check_format(inputs.folder, read_record(inputs.folder / "manifest.json"))
    before = recorded_inputs(inputs.folder)
    changed = [
        name
        for name in ("task", "labeled", "pool", "model")
        if name in before and before[name] != _identity(inputs)[name]
    ]
    if changed and not update:
        raise InputError(
            Problem(
                inputs.config.out,
                "a run folder of these inputs, or a new one",
                f"a run of another {', another '.join(changed)}",
                "choose another --out, or add --update to redo what depends on it",
            )
        )
    # Of a run that was killed before it was claimed; and the inputs, where they lie in it.
    ours = {LOCK, "unlabeled", "rejected.parquet", INPUTS}
    others = [
        name
        for name in inputs.run_folder.names()
        if name not in ours and not name.startswith(TEMPORARY_PREFIX)
    ]
    if others and not before and not _has_lost_its_manifest(inputs):
        raise InputError(
            Problem(
                inputs.config.out,
                "a run folder, or one that does not exist yet",
                f"a folder with other files ({', '.join(sorted(others)[:4])})",
                "choose another --out",
            )
        )


def _has_lost_its_manifest(inputs: Inputs) -> bool:
    """Recognise a run whose manifest cannot be read; its units say what they were made from."""
    path = inputs.folder / "manifest.json"
    known = all((inputs.folder / name).is_file() for name in ("config.json", "task.toml"))
    if not known or not path.is_file() or read_json(path) is not None:
        return False
    inputs.observer.note(f"{path} is damaged: it is written anew, what is up to date is reused")
    return True


def claim_folder(inputs: Inputs) -> None:
    """Write down what the run is made from; an earlier report is no longer true."""
    path = inputs.folder / "manifest.json"
    manifest = read_record(path)
    # The manifest comes first: it is what makes the folder ours.
    of_now = {"format": FORMAT, "run_id": inputs.run_id, "inputs": _identity(inputs)}
    write_json(path, {**manifest, **of_now})
    inputs.run_folder.push([path])
    write_json(inputs.folder / "config.json", inputs.config.model_dump(mode="json"))
    write_text(inputs.folder / "task.toml", inputs.task.toml)
    for name in ("report.json", "report.html"):
        (inputs.folder / name).unlink(missing_ok=True)
    inputs.run_folder.push()


def _identity(inputs: Inputs) -> dict[str, str]:
    return {**inputs.digests, "task": fingerprint(task=inputs.task.toml)}
