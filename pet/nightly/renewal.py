"""A model for the next nights: trained with the first run's settings on a sample of the pool."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pet.config import RunConfig
from pet.ensemble.logits import stored_fingerprint
from pet.errors import Interrupted, PetError
from pet.inputs.inputs import ROWS_PER_LABEL
from pet.jobs import Execute
from pet.nightly.arrivals import PoolFile
from pet.nightly.file_labeling import FileLabeler
from pet.nightly.ledger import renewed_run
from pet.pipeline import label_pool
from pet.storage.files import write_parquet
from pet.storage.object_storage import is_remote, path_of
from pet.storage.units import derive_seed, fingerprint

POOLS = "pools"


@dataclass(frozen=True)
class Renewal:
    """What a new model is trained from, and where.

    Attributes:
        labeler: reads pool files as they are read every night.
        files: the pool.
        labeled: the labeled set's path, None for a zero-shot start.
        run: the first run's folder, whose settings and task hold.
        leave: what is done about a file that is replaced while it is read.
    """

    labeler: FileLabeler
    files: Sequence[PoolFile]
    labeled: str | None
    run: Path
    version: int
    leave: Callable[[PoolFile, Exception], None]

    @property
    def folder(self) -> Path:
        return renewed_run(self.labeler.store, self.version)

    def train(self, pool: Path, execute: Execute) -> dict[str, Any]:
        """Train the model, or go on where an earlier try was killed; return its report."""
        return label_pool(self.config(pool), execute, self.labeler.observer, update=True)

    def config(self, pool: Path) -> RunConfig:
        """Return the first run's settings with this pool and labeled set."""
        settings = self.labeler.settings
        test = settings.test
        if test is not None and not (is_remote(path_of(test)) or Path(test).exists()):
            self.labeler.observer.note(f"warning: {test} is gone: the new model is not measured")
            test = None
        changes = {
            "task": str(self.run / "task.toml"),
            "pool": str(pool),
            "out": str(self.folder),
            "labeled": self.labeled,
            "test": test,
            "keep_columns": (),
        }
        return settings.model_copy(update=changes)

    def sample(self) -> Path | None:
        """Write a uniform sample of the pool; None if all of its files are being replaced.

        A run is long, and its pool has to stay as it is: files that come, change or go meanwhile
        do not disturb it, and it can be repeated when they have gone.
        """
        files = list(self.files)
        while files:
            try:
                return self._sample(files)
            except Interrupted:
                raise
            except PetError as error:
                late = [file for file in files if file.has_changed()]
                if not late:
                    raise
                for file in late:
                    self.leave(file, error)
                files = [file for file in files if file not in late]
        return None

    def _sample(self, files: Sequence[PoolFile]) -> Path:
        """Write as many rows of files as members would score of them."""
        settings, task = self.labeler.settings, self.labeler.task
        path = self.labeler.store / POOLS / f"{self.version:04d}.parquet"
        limit = settings.unlabeled_rows or ROWS_PER_LABEL * len(task.labels)
        digests = {file.name: file.digest for file in files}
        expected = fingerprint(files=digests, limit=limit, seed=settings.seed)
        if stored_fingerprint(path) == expected:
            return path
        kept = sorted(heapq.nsmallest(limit, self._rows(files)), key=lambda row: row[1:3])
        columns = [settings.text_column or name for name in task.fields]
        table = {settings.id_name: [row[3] for row in kept]}
        for index, column in enumerate(columns):
            table[column] = [row[4][index] for row in kept]
        strings = {name: pa.array(values, pa.string()) for name, values in table.items()}
        write_parquet(path, pa.table(strings), {"fingerprint": expected})
        return path

    def _rows(
        self, files: Sequence[PoolFile]
    ) -> Iterator[tuple[float, int, int, str, tuple[str, ...]]]:
        """Stream files: a random number, file, row, id and texts. The lowest are a sample."""
        settings, fields = self.labeler.settings, self.labeler.task.fields
        for index, file in enumerate(files):
            rng = np.random.default_rng(derive_seed(settings.seed, "sample", file.digest))
            for batch in self.labeler.open(file).batches(settings.shard_rows):
                texts = zip(*(batch.columns[name] for name in fields), strict=True)
                rows = zip(rng.random(len(batch)), batch.rows, batch.ids, texts, strict=True)
                for number, row, name, text in rows:
                    yield float(number), index, int(row), name, text
