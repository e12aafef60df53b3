"""What a run starts from: a value, named by content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pet.config import RunConfig
from pet.data.labeled import LabeledSet
from pet.data.pool import Pool
from pet.inputs.warm_start import start_digests
from pet.models.loading import choose_device, usual_precision
from pet.storage.units import derive_seed, fingerprint
from pet.tasks.task import Task

INPUTS = "inputs"  # in a run folder: texts that came from Python, not from files

ROWS_PER_LABEL = 10_000  # pool rows that members score, by default: the paper's appendix C


@dataclass(frozen=True)
class Inputs:
    """The checked inputs of one run: a value, the same in every process.

    Attributes:
        labeled, test: in memory.
        pool: opened only; its rows are streamed.
        digests: sha256 of the labeled set, the test set, the pool and the models, by name.
        pool_files: sha256 of the pool's files, by name.
    """

    config: RunConfig
    task: Task
    labeled: LabeledSet
    test: LabeledSet | None
    pool: Pool
    digests: Mapping[str, str]
    pool_files: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def measured(self) -> dict[str, LabeledSet]:
        """The sets with known labels: the labeled set, and the test set where there is one."""
        tables = {"labeled": self.labeled} if len(self.labeled) else {}
        return tables if self.test is None else {**tables, "test": self.test}

    @property
    def words_from_labeled(self) -> bool:
        """Whether label words were chosen on some of the labeled rows."""
        return bool(len(self.task.rows_of_words(self.labeled.columns)))

    @property
    def run_id(self) -> str:
        """Name the run by its inputs and settings, wherever it and what it starts from lie."""
        paths = {"out", "task", "labeled", "pool", "test", "model", "student_model"}
        paths |= {"labeled_csv", "pool_csv", "test_csv"}  # digests are of what is read by these
        settings = self.config.former.put_back(self.config.model_dump(mode="json"))
        settings = {name: own for name, own in settings.items() if name not in paths}
        if settings["long_texts"] == "head":  # as in runs of before
            del settings["long_texts"]
        settings |= {"encoder": None, "init_from": None}  # paths, too: their digests are names
        content: dict[str, Any] = {n: own for n, own in self.digests.items() if n != "test"}
        if self.config.init_from is not None:
            content["starts"] = start_digests(self.config, self.task)
        return fingerprint(inputs=content, toml=self.task.toml, **settings)[:12]

    def seed(self, *names: object) -> int:
        return derive_seed(self.config.seed, *names)


def computation(config: RunConfig, max_length: int | None = None) -> dict[str, object]:
    """What belongs to every model's fingerprint: how texts are cut, and what is computed where.

    Args:
        max_length: tokens of a text, where it is not what the pattern members read.
    """
    device = choose_device(config.device)
    return {
        "max_length": max_length or config.max_length,
        **({} if config.long_texts == "head" else {"long_texts": config.long_texts}),
        **({} if config.mask is None else {"mask": config.mask}),
        "device": str(device),
        "precision": "auto" if config.precision == usual_precision(device) else config.precision,
        "tokens_per_batch": config.tokens_per_batch,
    }
