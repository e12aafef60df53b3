"""A run in this process: its inputs, and what lives here only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pet.config import RunConfig
from pet.data.labeled import LabeledSet
from pet.data.pool import Pool
from pet.errors import PetError, Problem
from pet.inputs.inputs import Inputs
from pet.method.outcomes import Outcome, outcome_of
from pet.models.loading import choose_device
from pet.models.teachers import Backbone
from pet.progress import NOTES, SILENT, Observer
from pet.storage.mirrors import open_run_folder
from pet.storage.run_folders import RunFolder
from pet.storage.units import fingerprint
from pet.tasks.encoding import TextSlot, TokenizedTexts
from pet.tasks.task import Task


class StoredRun(Protocol):
    """What a run folder's scores are read by: while the run goes on, and when it is over."""

    @property
    def config(self) -> RunConfig: ...

    @property
    def task(self) -> Task: ...

    @property
    def folder(self) -> Path: ...

    @property
    def outcome(self) -> Outcome: ...


@dataclass(eq=False)
class Session:
    """What the stages of a run work with.

    Attributes:
        inputs: what the run starts from. Its parts are read here, too: `session.config` and so on.
        observer: is called at every stage.
        tokens: the teacher's tokens of texts that every member scores, by source.
    """

    inputs: Inputs
    observer: Observer = SILENT
    tokens: dict[str, dict[TextSlot, TokenizedTexts]] = field(default_factory=dict, repr=False)

    @property
    def config(self) -> RunConfig:
        return self.inputs.config

    @property
    def task(self) -> Task:
        return self.inputs.task

    @property
    def labeled(self) -> LabeledSet:
        return self.inputs.labeled

    @property
    def test(self) -> LabeledSet | None:
        return self.inputs.test

    @property
    def pool(self) -> Pool:
        return self.inputs.pool

    @property
    def digests(self) -> Mapping[str, str]:
        return self.inputs.digests

    def seed(self, *names: object) -> int:
        """Derive a seed from names, as `Inputs.seed` does."""
        return self.inputs.seed(*names)

    @property
    def run_folder(self) -> RunFolder:
        """The run folder, on a disk or on object storage."""
        return open_run_folder(self.config.out)

    @property
    def folder(self) -> Path:
        """What this process has of the run folder on a disk."""
        return self.run_folder.path

    @cached_property
    def outcome(self) -> Outcome:
        """What a text's labels can be; of several, with how common each is."""
        return outcome_of(self.task.labels_per_text, self.labeled.labels, self.task.shares)

    @cached_property
    def backbone(self) -> Backbone:
        """The model that members start from, shared by those that do not change its weights."""
        return Backbone.of(self.config, self.folder, self.digests["model"])

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the inputs alone.

        All is by path or address there, too: on storage that both share.
        """
        return _arrive, (self.inputs, str(choose_device(self.config.device)))


_arrived: dict[str, Session] = {}  # the last run that sent work to this process


def _arrive(inputs: Inputs, device: str) -> Session:
    """Take up a session that another process sent; a second time, the one that is here already.

    So the model that one job loaded is there for the next.

    Raises:
        PetError: this process computes on another device, so its results would be others.
    """
    if (own := str(choose_device(inputs.config.device))) != device:
        raise PetError(
            Problem(
                "a process elsewhere",
                f"the device {device}, as where the run was started",
                own,
                "ask for GPUs with --gpus-per-job, or for none with --set device=cpu",
            )
        )
    config = inputs.config.model_dump(mode="json")
    name = fingerprint(config=config, task=inputs.task.toml, digests=dict(inputs.digests))
    if name not in _arrived:
        _arrived.clear()
        _arrived[name] = Session(inputs, NOTES)
    return _arrived[name]
