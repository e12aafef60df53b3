"""What every night did: one small file per entry, never changed; the present state is their sum.

    ledger/000001.json   model 1 comes into use
    ledger/000002.json   files were labeled with it, or replaced, or had left the pool
    ledger/000003.json   model 2 comes into use, and every file was labeled anew with it

An entry is written in one step, after everything that it names is on disk. So a night that was
killed has no entry, and the next one does what is missing.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pet.errors import InputError, Problem
from pet.former_settings import FormerSettings
from pet.storage.files import write_json

LEDGER = "ledger"

MODELS = "models"

_SLUG = re.compile(r"[^A-Za-z0-9._-]+")

LONGEST_SLUG = 60

FORMER = FormerSettings(renamed={"voice": "predictor"})  # what ledgers of former versions have

NAMED = "the settings name it"  # why a model came into use, if no night had trained it


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class FileRecord(_Record):
    """A pool file that was labeled: its content's sha256, and what came out."""

    digest: str
    rows: int
    rejected: int
    counts: dict[str, int]
    abstained: int


class BadFile(_Record):
    """A pool file that cannot be used, by content.

    It is looked at again when that changes, or when the settings name another run.

    Attributes:
        read_as: how the settings say that CSV files are written; it is looked at again when they
            say something else.
    """

    digest: str
    expected: str
    found: str
    fix: str
    read_as: dict[str, str] = {}


class ModelRecord(_Record):
    """A model that came into use.

    Attributes:
        run: the folder of the run that made it.
        made_from: the fingerprint of what went into it.
        predictor: student or ensemble.
        labeled_rows: rows of the labeled set that it was trained on.
        labeled_digest: the name of that set, by content.
        code: the version of the library, and the digest of its source.
        reason: why it came into use.
        labels_as: the name of the settings that labels are written with, and not made by; None in
            a ledger of before there was one.
    """

    version: int
    run: str
    made_from: str
    predictor: str
    labeled_rows: int
    labeled_digest: str | None
    code: dict[str, str]
    reason: str
    labels_as: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_todays_names(cls, data: Any) -> Any:
        return FORMER.of_today(data, lambda note: None) if isinstance(data, dict) else data

    @property
    def folder(self) -> str:
        """The folder of its labels."""
        return f"v{self.version:04d}"


class Entry(_Record):
    """What one step of a night did.

    Attributes:
        number: entries are numbered from 1.
        model: the model version that labeled.
        came_into_use: the model, where this entry is of a new one.
        labeled: name -> file that was labeled, whether new, changed or labeled anew.
        replaced: names of files whose content had changed.
        deleted: names of files that had left the pool.
        returned: names of files that are again as they were labeled.
        bad: name -> file that cannot be used.
        passed_over: name of every file that is of no kind that is read -> how to convert it, where
            that is known; None: as before.
        sketch: what the new texts were like, for drift.
        drift: the tests' findings; empty where there were too few rows.
        drift_rows: rows that the tests looked at.
    """

    number: int
    started: str
    seconds: float
    model: int
    came_into_use: ModelRecord | None = None
    labeled: dict[str, FileRecord] = {}
    replaced: list[str] = []
    deleted: list[str] = []
    returned: list[str] = []
    bad: dict[str, BadFile] = {}
    passed_over: dict[str, str] | None = None
    sketch: dict[str, list[int] | bool] | None = None
    drift: list[dict[str, Any]] = []
    drift_rows: int = 0

    @property
    def drifted(self) -> list[str]:
        return [finding["what"] for finding in self.drift if finding["drifted"]]


@dataclass
class State:
    """What all entries amount to.

    Attributes:
        files: name -> file whose labels stand, those of deleted files included.
        deleted: names among them that have left the pool.
        bad: name -> file that cannot be used as it is.
        passed_over: name of every file that is of no kind that is read -> how to convert it.
        nights: entries about new texts since the model came into use.
    """

    entries: int = 0
    models: list[ModelRecord] = field(default_factory=list)
    files: dict[str, FileRecord] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    bad: dict[str, BadFile] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    nights: list[Entry] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def model(self) -> ModelRecord | None:
        return self.models[-1] if self.models else None

    def add(self, entry: Entry) -> None:
        """Take an entry into account."""
        self.entries = entry.number
        if entry.came_into_use is not None:
            self.models.append(entry.came_into_use)
            self.nights = []
            if entry.came_into_use.reason == NAMED:  # another run may read what this one could not
                self.bad = {}
        elif entry.sketch is not None:
            self.nights.append(entry)
        self.files |= entry.labeled
        self.versions |= dict.fromkeys(entry.labeled, entry.model)
        sound = {*entry.labeled, *entry.returned}
        gone = {name for name in entry.deleted if name in self.files}
        self.deleted = (self.deleted | gone) - sound - set(entry.bad)
        known = {name: bad for name, bad in self.bad.items() if name not in sound}
        self.bad = {**known, **entry.bad}
        for name in entry.deleted:
            self.bad.pop(name, None)
        if entry.passed_over is not None:
            self.passed_over = entry.passed_over


def unit_name(name: str, digest: str) -> str:
    """Name the folder of a file's labels: readable, and another one for another content."""
    slug = _SLUG.sub("-", name)[-LONGEST_SLUG:].strip("._-")
    # Not a fingerprint of ours, which changes with the library's version.
    content = hashlib.sha256(json.dumps([name, digest]).encode()).hexdigest()
    return f"{slug}-{content[:12]}"


def read_entries(store: Path) -> list[Entry]:
    """Read every entry, the first one first.

    Raises:
        InputError: one is missing or cannot be read.
    """
    entries = []
    for number, path in enumerate(sorted((store / LEDGER).glob("*.json")), start=1):
        try:
            entry = Entry.model_validate_json(path.read_text(encoding="utf-8"))
            if path.name != entry_path(store, number).name or entry.number != number:
                raise ValueError(f"entry {number} is missing")
        except (OSError, ValueError) as error:
            what = "not an entry of this version" if isinstance(error, ValidationError) else error
            raise InputError(
                Problem(
                    str(path),
                    "the next entry of the ledger",
                    str(what),
                    "put the file back from a copy; without it nobody knows what was labeled",
                )
            ) from None
        entries.append(entry)
    return entries


def read_state(store: Path) -> State:
    """Sum up the ledger; an empty state where there is none.

    Models that nights have trained lie in the store, wherever it was when they came into use.
    """
    state = State()
    for entry in read_entries(store):
        state.add(entry)
    state.models = [
        model
        if model.reason == NAMED
        else model.model_copy(update={"run": str(renewed_run(store, model.version))})
        for model in state.models
    ]
    return state


def renewed_run(store: Path, version: int) -> Path:
    """Return where the run of a model is that a night trained."""
    return store / MODELS / f"{version:04d}"


def entry_path(store: Path, number: int) -> Path:
    """Return where an entry is."""
    return store / LEDGER / f"{number:06d}.json"


def write_entry(store: Path, entry: Entry) -> None:
    """Add an entry, in one step."""
    write_json(entry_path(store, entry.number), entry.model_dump(mode="json"))


def is_store(folder: Path) -> bool:
    """Return whether a folder is a store of nightly labels."""
    return (folder / LEDGER).is_dir()


def describe(store: Path) -> dict[str, Any]:
    """Return which model labeled which file, from which labeled set, with which code."""
    state, since = State(), {}
    for entry in read_entries(store):
        state.add(entry)
        if entry.came_into_use is not None:
            since[entry.came_into_use.version] = entry.started
    return {
        "store": store.name,
        "entries": state.entries,
        "models": [{**model.model_dump(), "since": since[model.version]} for model in state.models],
        "files": {
            name: {
                "model": state.versions[name],
                "labels": f"labels/v{state.versions[name]:04d}/{unit_name(name, file.digest)}",
                "in_pool": name not in state.deleted,
                **file.model_dump(),
            }
            for name, file in sorted(state.files.items())
        },
        "bad": {name: bad.model_dump() for name, bad in sorted(state.bad.items())},
        "passed_over": state.passed_over,
    }
