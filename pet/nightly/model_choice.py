"""Which model labels, and when a new one is due. No model is loaded for that."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pet.config import RunConfig
from pet.data.labeled import LabeledSet, table_digest
from pet.errors import InputError, Problem
from pet.inputs.run_tables import labeled_of
from pet.nightly.ledger import NAMED, ModelRecord, State
from pet.nightly.nightly_config import NightlyConfig
from pet.settings import load_config
from pet.storage.files import read_record
from pet.storage.run_folders import refuse_other_files
from pet.storage.units import DONE, fingerprint
from pet.tasks.task import Task, parse_task


class FirstRun:
    """The run that the settings name: its task, how it reads files, what it trains from."""

    def __init__(self, config: NightlyConfig):
        self.folder = Path(config.run)
        own = load_config(self.folder / "config.json")
        changes = {"pool_csv": config.pool_csv, "labeled_csv": config.labeled_csv}
        changes = {name: csv for name, csv in changes.items() if csv is not None}
        self.config: RunConfig = own.model_copy(update=changes)
        if not (self.folder / "report.json").exists():
            raise InputError(
                Problem(
                    str(self.folder),
                    "a finished run",
                    "a run that has not ended",
                    "give its `pet run` command again: it goes on where it was",
                )
            )
        toml = self.folder / "task.toml"
        self.task: Task = parse_task(toml.read_text(encoding="utf-8"), str(toml))
        refuse_other_files(self.folder)
        self.labeled: str | None = config.labeled or self.config.labeled

    @cached_property
    def labeled_set(self) -> LabeledSet | None:
        """The labeled texts to train on, as they are now."""
        if self.labeled is None:
            return None
        config = self.config.model_copy(update={"labeled": self.labeled})
        return labeled_of(config, self.task, self.labeled)


def describe_model(run: Path, who: str, version: int, reason: str) -> ModelRecord:
    """Name a run's model by what went into it."""
    unit = "student" if who == "student" else "soft_labels"
    provenance = read_record(run / "provenance.json")
    config = load_config(run / "config.json")
    learned_from = provenance.get("labeled_set") or {}
    return ModelRecord(
        version=version,
        run=str(run),
        predictor=who,
        reason=reason,
        made_from=str(read_record(run / unit / DONE).get("fingerprint")),
        labeled_rows=int(learned_from.get("rows", 0)),
        labeled_digest=learned_from.get("digest"),
        code=provenance.get("code") or {},
        labels_as=fingerprint(threshold=config.abstain_below, kept=config.keep_columns),
    )


def is_another(model: ModelRecord, state: State) -> bool:
    """Return whether the settings name another model than when they last brought one into use.

    By what it was made from: the same run may be named by several paths. Models that nights have
    trained since do not count: they are what became of the one that was named.
    """
    named = [known for known in state.models if known.reason == NAMED]
    if not named or identity_of(named[-1]) != identity_of(model):
        return True
    return named[-1].labels_as not in (None, model.labels_as)


def identity_of(model: ModelRecord) -> tuple[str, str]:
    """Return what identifies a model: what it was made from, and student or ensemble."""
    return model.made_from, model.predictor


def reason_to_renew(config: NightlyConfig, state: State, first: FirstRun) -> str:
    """Return why a new model is due; empty if it is not."""
    model, nights = state.model, state.nights
    assert model is not None, "a model was adopted first"
    if config.retrain_labeled and (table := first.labeled_set) is not None:
        more = len(table) - model.labeled_rows
        if more >= config.retrain_labeled and table_digest(table) != model.labeled_digest:
            return f"{more} more labeled rows"
    # Not the last night alone: one that drifted may have been killed while it trained.
    drifted = next((night.drifted for night in reversed(nights) if night.drifted), [])
    if config.retrain_on_drift and drifted:
        return f"drift of {', '.join(drifted)}"
    if config.retrain_nights and len(nights) >= config.retrain_nights:
        return f"{len(nights)} nights with new texts"
    return ""
