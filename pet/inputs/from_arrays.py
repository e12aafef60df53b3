"""What `PetClassifier.fit` was given, as the files and settings of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import tomli_w
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.data.arrays import TextColumns
from pet.errors import InputError, Problem
from pet.inputs.inputs import INPUTS
from pet.settings import make_config
from pet.storage.files import write_parquet, write_text
from pet.storage.units import fingerprint
from pet.tasks.task import Task, load_task, parse_task

# Settings that are parameters of the classifier, or that `fit` decides on.
OWN = ("task", "labeled", "pool", "out", "test", "label_column", "text_column", "id_column",
       "keep_columns", "preset", "seed", "model", "student_model", "encoder",
       "learn_from_labeled")  # fmt: skip


def read_task(task: Any) -> Task:
    """Return the task that a path, a name, a `Task` or a mapping stands for.

    A mapping has the keys of a task file; `name` ("task") and `fields` (["text"]) may be left out.

    Raises:
        InputError: everything that is wrong with it.
    """
    if isinstance(task, Task):
        return task
    if isinstance(task, str | Path):
        return load_task(task)
    if isinstance(task, Mapping):
        document = {"name": "task", "fields": ["text"], **task}
        try:
            return parse_task(tomli_w.dumps(document), "task")
        except TypeError as error:
            raise InputError(
                Problem(
                    "task",
                    "texts, lists and mappings, as in a task file",
                    str(error),
                    "see verbalizers/README.md for the format",
                )
            ) from None
    raise InputError(
        Problem(
            "task",
            "a task file, a shipped task's name, or a mapping with labels and patterns",
            "nothing" if task is None else type(task).__name__,
            'for example task={"labels": {"good": "great", "bad": "terrible"}, '
            '"patterns": {"was": "{text} It was {mask}."}}',
        )
    )


@dataclass(frozen=True)
class FitInputs:
    """The texts of one call of `fit`, and the settings of its run.

    Attributes:
        texts: field -> texts of the rows of X.
        names: the label of each row of X, or None; where a text may have several, all of its own.
        classes: the task's labels as `y` writes them.
        pool: other texts, or the path of a file or folder of them, or None.
        values: settings that stand under the caller's own, as options of `pet run`.
        settings: the caller's own, by name or dotted name.
    """

    task: Task
    texts: TextColumns
    names: Sequence[str | tuple[str, ...] | None]
    classes: NDArray[Any]
    pool: TextColumns | Path | None
    values: Mapping[str, Any]
    settings: Mapping[str, Any]

    def check(self) -> None:
        """Refuse settings that are not the caller's to give, and pools that cannot be joined.

        Raises:
            InputError: all problems at once.
        """
        problems = [
            Problem(
                f"setting {name}",
                "settings of the method",
                f"{name}, which `fit` sets",
                "use the parameters of PetClassifier and of fit",
            )
            for name in sorted(set(self.settings) & set(OWN))
        ]
        if self.values.get("model") is None:
            problems.append(
                Problem(
                    "model",
                    "a masked or causal language model",
                    "nothing",
                    'for example model="roberta-large", or the path of a local folder',
                )
            )
        if isinstance(self.pool, Path) and any(name is None for name in self.names):
            problems.append(
                Problem(
                    "pool",
                    "texts, where X has unlabeled rows of its own",
                    "a path",
                    "leave the unlabeled rows out of X, or give the pool's texts themselves",
                )
            )
        if problems:
            raise InputError(problems)

    def labeled(self) -> pa.Table | None:
        """The rows of X that have a label."""
        places = [place for place, name in enumerate(self.names) if name is not None]
        if not places:
            return None
        columns = {name: [column[i] for i in places] for name, column in self.texts.items()}
        kind = pa.list_(pa.string()) if self.task.several else pa.string()
        known = pa.array([self.names[i] for i in places], kind)
        return pa.table({**_arrow(columns), self.label_column: known})

    @property
    def label_column(self) -> str:
        return "label" if "label" not in self.task.fields else "label of the row"

    def has_pool(self) -> bool:
        """Whether there is any text that is not labeled."""
        return self.pool is not None or None in self.names

    def pool_texts(self) -> TextColumns:
        """The unlabeled rows of X and the texts of the pool; without any, all texts of X."""
        if not self.has_pool():
            return self.texts
        own = [place for place, name in enumerate(self.names) if name is None]
        more = self.pool if isinstance(self.pool, dict) else {}
        return {
            name: [column[i] for i in own] + more.get(name, [])
            for name, column in self.texts.items()
        }

    def name(self) -> str:
        """Name the run by its content, so that the same call finds it again."""
        pool = str(self.pool) if isinstance(self.pool, Path) else self.pool
        content = fingerprint(
            toml=self.task.toml,
            texts=self.texts,
            names=self.names,
            pool=pool,
            **self.values,
            settings=self.settings,
        )
        return f"{self.task.name}-{content[:12]}"

    def write(self, folder: Path) -> RunConfig:
        """Write the texts into a run folder to be; return the configuration of the run.

        Files that are there stay: the folder's name says what is in them.

        Raises:
            InputError: a setting is wrong, or the folder cannot be written.
        """
        place = folder / INPUTS
        files = {"task": place / "task.toml", "pool": place / "pool.parquet"}
        labeled = self.labeled()
        if labeled is not None:
            files["labeled"] = place / "labeled.parquet"
        if isinstance(self.pool, Path):
            files["pool"] = self.pool
        paths = {name: str(path) for name, path in files.items()}
        given = {
            **self.values,
            **paths,
            "label_column": self.label_column,
            "out": str(folder),
            "learn_from_labeled": not self.has_pool(),
        }
        settings = tuple(
            f"{key}={json.dumps(value, default=_plain)}" for key, value in self.settings.items()
        )
        config = make_config(given, settings)
        if not files["task"].exists():
            write_text(files["task"], self.task.toml)
        if labeled is not None and not files["labeled"].exists():
            write_parquet(files["labeled"], labeled, {})
        if not isinstance(self.pool, Path) and not files["pool"].exists():
            write_parquet(files["pool"], pa.table(_arrow(self.pool_texts())), {})
        return config


def _plain(value: Any) -> Any:
    """Return what JSON can write of a value of numpy's, as a parameter grid has them."""
    return value.item() if hasattr(value, "item") else str(value)


def _arrow(columns: TextColumns) -> dict[str, pa.Array]:
    return {name: pa.array(column, pa.large_string()) for name, column in columns.items()}
