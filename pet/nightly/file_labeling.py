"""One pool file labeled by the present model, after a look at all of its texts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from pet.config import RunConfig
from pet.data.limited_process import ReadingFailed
from pet.data.pool import Pool, pool_of
from pet.data.readers import open_source
from pet.errors import InputError, Interrupted, PetError, is_of_the_disk
from pet.finished.finished_run import FinishedRun, open_run
from pet.finished.predictors import Predict, outcome_by, predictor_of
from pet.inputs.inputs import computation
from pet.inputs.run_tables import csv_format
from pet.method.drift import Sketch, TextSketch
from pet.method.label_trees import LabelTree
from pet.method.outcomes import ONE
from pet.nightly.arrivals import Late, PoolFile
from pet.nightly.file_reading import read_limited
from pet.nightly.label_store import labels_folder, take_back
from pet.nightly.ledger import FileRecord, ModelRecord
from pet.progress import Observer
from pet.reporting.drift_reference import sketch_label_files
from pet.reporting.provenance import code_version
from pet.storage.run_folders import recorded_run_id
from pet.storage.units import derive_seed, fingerprint
from pet.student.label_files import LabelWriter, count_labels, label_metadata
from pet.tasks.task import Task, column_names


@dataclass(frozen=True)
class FileLabeler:
    """Labels files into a store.

    Attributes:
        settings: how pool files are read and label files are written: of the first run.
        model: the model that labels; its run is only loaded when the first file comes.
    """

    store: Path
    settings: RunConfig
    task: Task
    model: ModelRecord
    observer: Observer

    @cached_property
    def predictor(self) -> Predict:
        return predictor_of(self._run, self.model.predictor, exits=True)

    @cached_property
    def _run(self) -> FinishedRun:
        return open_run(Path(self.model.run))

    def open(self, file: PoolFile) -> Pool:
        """Open a file as a pool of its own.

        Raises:
            InputError: it cannot be used.
            Late: it is another one than was looked at, or cannot be read just now.
        """
        settings = self.settings
        with _as_looked_at(file):
            try:
                written = csv_format(settings.pool_csv, "pool_csv.")
                source = open_source(file.path, file.name, written)
            except InputError as error:
                if is_of_the_disk(error):
                    raise Late(f"it cannot be read: {error.problems[0].found}") from error
                raise
            if file.has_changed():
                raise Late(f"{file.name} has changed since it was looked at")
            return pool_of(
                file.path,
                [source],
                self.task.fields,
                columns=self._columns(),
                id_column=settings.id_column,
                keep_columns=settings.keep_columns,
            )

    def read(self, file: PoolFile) -> TextSketch:
        """Read a file to its end, before anything is written.

        Raises:
            InputError: it cannot be used, or too many of its rows cannot.
            Late: it changed meanwhile, or could not be read.
        """
        settings = self.settings
        request = {
            "path": str(file.path),
            "name": file.name,
            "columns": self._columns(),
            "written": asdict(csv_format(settings.pool_csv, "pool_csv.")),
            "id_column": settings.id_column,
            "keep_columns": settings.keep_columns,
            "shard_rows": settings.shard_rows,
            "max_rejected": settings.max_rejected,
            "seed": derive_seed(0, file.digest),
        }
        with _as_looked_at(file):
            try:
                found = read_limited(request, self.observer)
            except ReadingFailed as error:
                raise Late(str(error)) from error
            self.open(file)
        return found

    def _columns(self) -> dict[str, str]:
        """Return the column of each field, in the order of the fields."""
        named = column_names(self.task, self.settings.text_column) or {}
        return {name: named.get(name, name) for name in self.task.fields}

    def label(self, file: PoolFile) -> FileRecord:
        """Label a file; shards that an earlier try has written stay.

        Raises:
            InputError: it cannot be used, or the store cannot be written.
            Late: it changed meanwhile, or could not be read.
        """
        folder = labels_folder(self.store, self.model, file.name, file.digest)
        take_back(folder)
        source = fingerprint(
            model=self.model.made_from,
            who=self.model.predictor,
            file=[file.name, file.digest],
            columns=self.settings.text_column,
            ids=self.settings.id_column,
            **({"csv": csv} if (csv := self.settings.pool_csv.stated) else {}),
            **computation(self.settings),
        )
        with _as_looked_at(file):
            pool = self.open(file)
            kept = pool.keepable_beside_labels(self.settings.keep_columns, lambda line: None)
            config = self.settings.model_copy(update={"keep_columns": kept})
            metadata = self._metadata(file)
            outcome = outcome_by(self._run, self.model.predictor) if self.task.several else ONE
            labels = self.task.labels
            tree = LabelTree.of(labels, self.task.label_separator)
            writer = LabelWriter(
                folder, labels, config, source, metadata, outcome=outcome, tree=tree
            )
            predict = self.predictor  # loaded before anything is written
            writer.label(pool, lambda batch, tick: predict(batch.columns, tick), self.observer)
        counts = count_labels(folder, self.task.labels, self.task.several)
        return FileRecord(
            digest=file.digest,
            rows=counts["rows"],
            rejected=pool.count_rows() - counts["rows"],
            counts=counts["counts"],
            abstained=counts["abstained"],
        )

    def sketch(self, file: PoolFile, texts: TextSketch) -> Sketch:
        """Sketch a file: its texts, and the labels predicted for them."""
        folder = labels_folder(self.store, self.model, file.name, file.digest)
        predicted = sketch_label_files(folder, self.task, self.model.predictor, self.settings)
        return Sketch(texts, predicted)

    def _metadata(self, file: PoolFile) -> Mapping[str, str]:
        """Return a label file's metadata: the model, the file, the labeled set, the code."""
        model = self.model
        run = recorded_run_id(Path(model.run))
        return {
            **label_metadata(self.task.name, run, model.made_from, model.predictor),
            "model_version": str(model.version),
            "made_from": model.made_from,
            "labeled_set": model.labeled_digest or "",
            "file": file.name,
            "file_sha256": file.digest,
            **code_version(),
        }


@contextlib.contextmanager
def _as_looked_at(file: PoolFile) -> Iterator[None]:
    """Report a file as bad only if it is still the one that was looked at.

    It counts as bad until its content changes.
    """
    try:
        yield
    except Interrupted:
        raise
    except PetError as error:
        if file.has_changed():
            raise Late(str(error)) from error
        raise
