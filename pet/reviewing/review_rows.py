"""A finished run in, a file of rows for people out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.data.label_values import indicators
from pet.data.pool import SEVERAL
from pet.data.text_keys import row_keys, text_key
from pet.ensemble.logits import read_logits
from pet.errors import InputError, Problem
from pet.finished.finished_run import FinishedRun, open_run, open_run_pool
from pet.inputs.run_tables import labeled_of
from pet.method.row_selection import WAYS, Candidates, Choice, Sample, choose, text_vectors
from pet.progress import Observer
from pet.reviewing.annotation_files import (
    ReviewRow,
    ReviewTask,
    check_config,
    format_of,
    taken_name,
    write_rows,
)
from pet.reviewing.answer_form import NONE, AnswerForm
from pet.storage.files import read_parquet_batches, read_record, stored_columns, sweep
from pet.storage.units import LABELS_DONE, derive_seed
from pet.student.answered_rows import PERSON

if TYPE_CHECKING:
    from pet.models.scoring import Columns

Array = NDArray[np.floating]


def row_vectors(
    run: FinishedRun, ids: Sequence[str], columns: Columns, seed: int, observer: Observer
) -> Array:
    """Turn rows of a run's pool into vectors of length one.

    Embeddings separate topics better than words do: tests/bench/results/review-encoder.md.
    Those of the run's unlabeled rows are read from its folder, the others are computed.

    Args:
        ids: of the rows. [rows]
        columns: field -> their texts.

    Returns:
        [rows, width]
    """
    if run.config.encoder is not None:
        try:
            return _embeddings(run, ids, columns, observer)
        except InputError as error:
            observer.note(f"{error}\nRows are grouped by their words instead.")
    return text_vectors(["\n".join(row) for row in zip(*columns.values(), strict=True)], seed)


def _embeddings(
    run: FinishedRun, ids: Sequence[str], columns: Columns, observer: Observer
) -> Array:
    known = _known(run.folder / "embeddings", set(ids))
    new = [row for row, id in enumerate(ids) if id not in known]
    if new:
        # torch: rows whose embeddings are stored, or that have none, are chosen without it.
        from pet.ensemble.member_models import load_sentence_encoder
        from pet.models.scoring import score_columns

        model, encoder = load_sentence_encoder(run.config, run.task)
        texts = {name: [column[row] for row in new] for name, column in columns.items()}
        with observer.stage("embedding rows to choose from", len(new), "rows") as tick:
            vectors = score_columns(model, encoder, texts, run.config.tokens_per_batch, tick)
        known |= {ids[row]: vector for row, vector in zip(new, vectors, strict=True)}
    return np.stack([known[id] for id in ids])


def _known(folder: Path, ids: set[str]) -> dict[str, NDArray[np.float32]]:
    """Read the stored embeddings of these rows of the pool."""
    found: dict[str, NDArray[np.float32]] = {}
    for path in sorted(folder.glob("part-*.parquet")):
        of_file, vectors = read_logits(path)
        found |= {id: own for id, own in zip(of_file, vectors, strict=True) if id in ids}
    return found


PER_LABEL = 2000  # candidates of each predicted label: what is grouped, in seconds

BATCH = 10_000  # rows read at a time


def write_review(
    folder: Path,
    out: Path,
    rows: int,
    observer: Observer,
    *,
    format: str | None = None,
    by: str = "coverage",
    seed: int | None = None,
) -> tuple[list[Path], list[ReviewRow]]:
    """Choose rows of a run for a person, and write them; return the files and the rows.

    Args:
        out: the file; its ending gives the format, unless `format` does.
        by: "coverage" or "doubt", as of `pet.method.row_selection.choose`.
        seed: of the sample and of the groups; the run's own if not given.

    Raises:
        InputError: the run is not finished, the file is there already, or no row can be asked.
    """
    format = format_of(out, format)
    sweep(out.parent, below=False)
    if out.exists():
        raise taken_name(out)
    if by not in WAYS:
        raise InputError(Problem("--by", " or ".join(WAYS), repr(by), "leave it out for coverage"))
    if rows < 1:
        raise InputError(Problem("--rows", "at least 1", str(rows), "for example --rows 50"))
    run = open_run(folder)
    asked, own = run.task, folder.name
    task = ReviewTask(asked.description, asked.fields, asked.labels, own, asked.several)
    if format == "label-studio":
        check_config(out, task)
    chosen = review_rows(run, rows, observer, by, run.config.seed if seed is None else seed)
    return write_rows(out, format, chosen, task), chosen


def review_rows(
    run: FinishedRun, rows: int, observer: Observer, by: str, seed: int
) -> list[ReviewRow]:
    """Choose rows of a run's pool that are neither labeled nor measured on.

    Raises:
        InputError: the labels are not whole, the pool is not what it was, or no row is left.
    """
    sampled = sample_labels(run, derive_seed(seed, "review"), observer, max(PER_LABEL, rows))
    texts = texts_of_ids(run, set(sampled.ids), observer)
    known = _known_texts(run)
    fresh = [
        row
        for row, id in enumerate(sampled.ids)
        if id in texts and tuple(map(text_key, texts[id].values())) not in known
    ]
    if not fresh:
        raise InputError(
            Problem(
                run.config.pool,
                "rows that are neither labeled nor measured on",
                "none",
                "label another pool, or give back the pool that the run was made with",
            )
        )
    candidates = sampled.take(np.array(fresh))
    columns = {name: [texts[id][name] for id in candidates.ids] for name in run.task.fields}
    vectors = row_vectors(run, candidates.ids, columns, seed, observer)
    picked = choose(candidates, vectors, rows, seed, by)
    return [_row(run, candidates, choice, texts) for choice in picked]


def sample_labels(run: FinishedRun, seed: int, observer: Observer, per_label: int) -> Candidates:
    """Stream `labels/` and keep a bounded sample of every predicted label, but people's."""
    labels, several = run.task.labels, run.task.several
    sample = Sample(len(labels), per_label, seed, _label_counts(run) if several else None)
    paths = sorted((run.folder / "labels").glob("part-*.parquet"))
    if not (run.folder / "labels" / LABELS_DONE).exists() or not paths:
        raise InputError(
            Problem(
                str(run.folder / "labels"),
                "the labels of the whole pool",
                "none, or some of them",
                "give the run's `pet run` command again",
            )
        )
    wanted = ("id", "probabilities", "agreement", "source", *([SEVERAL] if several else []))
    total = sum(pq.read_metadata(path).num_rows for path in paths)
    with observer.stage("reading the labels", total, "rows") as tick:
        for path in paths:
            columns = [name for name in wanted if name in stored_columns(path)]
            for whole in read_parquet_batches(path, BATCH, columns):
                batch = _of_models(whole)
                struct = batch.column("probabilities")
                probabilities = np.stack([struct.field(label).to_numpy() for label in labels], 1)
                agreement = batch.column("agreement").to_numpy(zero_copy_only=False)
                ids = batch.column("id").to_pylist()
                sets = indicators(batch.column(SEVERAL).to_pylist(), labels) if several else None
                own = probabilities.astype(float), agreement.astype(float), sets
                sample.offer(Candidates(ids, *own))
                tick(len(whole))
    return sample.kept


def _label_counts(run: FinishedRun) -> NDArray[np.int64]:
    """Return how many rows of the pool have each of several labels. [labels]"""
    found = read_record(run.folder / "report.json").get("labels", {}).get("counts", {})
    return np.array([int(found.get(label, 0)) for label in run.task.labels], np.int64)


def _of_models(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Leave out rows that people have answered; former versions do not name the source."""
    if "source" not in batch.schema.names:
        return batch
    return batch.filter(pc.not_equal(batch.column("source"), PERSON))


def texts_of_ids(run: FinishedRun, ids: set[str], observer: Observer) -> dict[str, dict[str, str]]:
    """Look rows of the run's pool up in one pass; ids that it has not, or twice, are skipped.

    Returns:
        id -> field -> text

    Raises:
        InputError: the pool is another one by now.
    """
    pool, found = open_run_pool(run), dict[str, dict[str, str]]()
    twice = set[str]()
    with observer.stage("reading the pool", pool.count_rows(), "rows") as tick:
        for batch in pool.batches(BATCH):
            for row, id in enumerate(batch.ids):
                if id in found:
                    twice.add(id)
                elif id in ids:
                    found[id] = {name: batch.columns[name][row] for name in run.task.fields}
            tick(len(batch) + len(batch.rejected))
    return {id: texts for id, texts in found.items() if id not in twice}


def _known_texts(run: FinishedRun) -> set[tuple[str, ...]]:
    def texts() -> Iterator[tuple[str, ...]]:
        for path in (run.config.labeled, run.config.test):
            if path is not None:
                columns = labeled_of(run.config, run.task, path).columns
                yield from row_keys(columns, run.task.fields)

    return set(texts())


def _row(
    run: FinishedRun, candidates: Candidates, choice: Choice, texts: Mapping[str, dict[str, str]]
) -> ReviewRow:
    probabilities, labels = candidates.probabilities[choice.row], run.task.labels
    kind = int(candidates.predicted[choice.row])
    label, confidence = labels[kind] if kind < len(labels) else NONE, probabilities.max()
    margin = float(candidates.margins[choice.row])
    alike = f"{choice.stands_for:,} row{'s' * (choice.stands_for != 1)}"
    why = f"stands for {alike} labeled {label}; margin {margin:.2f}"
    if candidates.sets is not None:
        own = candidates.sets[choice.row]
        confidence = np.where(own, probabilities, 1 - probabilities).prod()
        label = AnswerForm.of(run.task).written(labels[place] for place in np.flatnonzero(own))
    if not np.isnan(share := candidates.agreement[choice.row]):
        why += f"; {share:.0%} of the members agree"
    return ReviewRow(
        candidates.ids[choice.row],
        texts[candidates.ids[choice.row]],
        label,
        round(float(confidence), 4),
        dict(zip(labels, np.round(probabilities, 4).tolist(), strict=True)),
        why,
    )
