"""A few rows of every night for people, and a bet that too many of the kept labels are wrong.

    watch/0001.json    the rows that were drawn, with what was claimed of all: written first
    watch/0001.csv     the same rows for people; their answers stand in it

A certificate is about one pool, and each night is another. So rows of each night's labels at or
above the threshold are drawn, uniformly and with replacement, and the answers are bet on
(`pet.method.betting`): once the capital reaches 1 / alpha, more than the error that was asked for
are wrong, with that confidence, whenever one looks. That it has not says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pet.data.pool import SEVERAL
from pet.method.betting import capital
from pet.nightly.arrivals import PoolFile
from pet.nightly.label_store import labels_folder
from pet.nightly.ledger import ModelRecord
from pet.nightly.nightly_config import ErrorWatchConfig
from pet.reporting.certificate_file import read_certificate
from pet.reviewing.annotation_files import ReviewRow, ReviewTask, write_rows
from pet.reviewing.annotations import read_annotations
from pet.reviewing.answer_form import AnswerForm
from pet.storage.files import read_parquet, read_record, write_json
from pet.storage.units import derive_seed

if TYPE_CHECKING:
    from pet.nightly.file_labeling import FileLabeler

WATCH = "watch"

COLUMNS = ("id", "confidence", "probabilities")


STRATA = ("kept", "below")


@dataclass(frozen=True)
class Labeled:
    """A label of tonight, or the labels of a text, as `AnswerForm` writes them."""

    file: PoolFile
    id: str
    label: str


class Stratum:
    """Tonight's labels at or above the threshold, or those below it."""

    def __init__(self, form: AnswerForm):
        self.labels, self._form = form.labels, form
        self.rows: list[Labeled] = []
        self._claims: list[NDArray[np.floating]] = []

    def add(self, file: PoolFile, table: pa.Table) -> None:
        if self._form.several:
            labels = list(map(self._form.written, table[SEVERAL].to_pylist()))
        else:
            labels = table["label"].to_pylist()
        pairs = zip(table["id"].to_pylist(), labels, strict=True)
        self.rows += [Labeled(file, id, label) for id, label in pairs]
        struct = table["probabilities"].combine_chunks()
        self._claims.append(
            np.stack([struct.field(label).to_numpy() for label in self.labels], axis=1)
        )

    def draw(self, rows: int, rng: np.random.Generator) -> tuple[list[Labeled], dict[str, Any]]:
        """Draw rows with replacement; return them, and what is recorded of the stratum."""
        if not self.rows:
            return [], {"rows": 0, "drawn": 0, "claims": {}, "of_drawn": []}
        claims = np.concatenate(self._claims).astype(float)
        drawn = rng.integers(len(self.rows), size=rows).tolist()
        record = {
            "rows": len(self.rows),
            "drawn": len(drawn),
            "claims": dict(zip(self.labels, claims.mean(axis=0).tolist(), strict=True)),
            "of_drawn": [
                dict(zip(self.labels, claims[n].round(6).tolist(), strict=True)) for n in drawn
            ],
        }
        return [self.rows[n] for n in drawn], record


def threshold_of(config: ErrorWatchConfig, model: ModelRecord, abstain_below: float) -> float:
    """Return the confidence from which labels are kept.

    The setting, else that of the run's certificate, else that from which labels do not abstain.
    """
    if config.threshold is not None:
        return config.threshold
    certificate = read_certificate(Path(model.run))
    if certificate is not None and certificate["threshold"] is not None:
        return float(certificate["threshold"])
    return abstain_below


def draw_tonight(
    labeler: FileLabeler,
    files: Sequence[PoolFile],
    config: ErrorWatchConfig,
    threshold: float,
    night: int,
) -> Path | None:
    """Draw some of tonight's labels, record them, and write them for people.

    Args:
        night: the number of its entry in the ledger.

    Returns:
        the file for people; None where there is no label to draw.
    """
    folder, task = labeler.store / WATCH, labeler.task
    form = AnswerForm.of(task)
    strata = {name: Stratum(form) for name in STRATA}
    columns = (*COLUMNS, SEVERAL if task.several else "label")
    for file in files:
        unit = labels_folder(labeler.store, labeler.model, file.name, file.digest)
        for path in sorted(unit.glob("part-*.parquet")):
            table = read_parquet(path, columns)
            is_kept = pa.array(table["confidence"].to_numpy() >= threshold)
            strata["kept"].add(file, table.filter(is_kept))
            strata["below"].add(file, table.filter(pc.invert(is_kept)))
    number = len(list(folder.glob("*.json"))) + 1
    seed = derive_seed(number, labeler.model.made_from, *(file.digest for file in files))
    rng, drawn, records = np.random.default_rng(seed), list[Labeled](), dict[str, Any]()
    for name, rows in zip(STRATA, (config.rows_a_night, config.rows_below), strict=True):
        own, records[name] = strata[name].draw(rows, rng)
        drawn += own
    if not drawn:
        return None
    record = {
        "model": labeler.model.version,
        "night": night,
        "threshold": threshold,
        "kept": records["kept"]["rows"],
        "seed": seed,
        "strata": records,
        "rows": [{"file": own.file.name, "id": own.id, "label": own.label} for own in drawn],
        **({"several_of": list(task.labels)} if task.several else {}),
    }
    write_json(folder / f"{number:04d}.json", record)
    path = folder / f"{number:04d}.csv"
    why = "drawn at random from a night's labels"
    texts = _texts(labeler, drawn)
    shown = [
        ReviewRow(f"{file}:{id}", text, "", 0.0, {}, why) for (file, id), text in texts.items()
    ]
    asked = ReviewTask(task.description, task.fields, task.labels, "night", task.several)
    write_rows(path, "csv", shown, asked)
    return path


def _texts(labeler: FileLabeler, drawn: Sequence[Labeled]) -> dict[tuple[str, str], dict[str, str]]:
    """Look up the texts of drawn rows, each once, in the order of the files."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for file in dict.fromkeys(own.file for own in drawn):
        wanted = {own.id for own in drawn if own.file == file}
        for batch in labeler.open(file).batches(labeler.settings.shard_rows):
            for row, id in enumerate(batch.ids):
                if id in wanted:
                    texts = {name: batch.columns[name][row] for name in labeler.task.fields}
                    found.setdefault((file.name, id), texts)
    return found


def form_of(record: Mapping[str, Any]) -> AnswerForm:
    """Return what an answer to a night's rows is, as the record of the draw has it."""
    labels = record.get("several_of", ())
    return AnswerForm(tuple(map(str, labels)), bool(labels))


def read_answers(record: Path, fields: Sequence[str], form: AnswerForm) -> dict[str, str]:
    """Read the answers to a night's rows: `file:id` -> label, for those that have one.

    Args:
        record: of the draw; the answers stand beside it.
        form: what an answer is; see `form_of`.

    Raises:
        InputError: they cannot be read.
    """
    given = read_annotations(record.with_suffix(".csv"), fields, form=form)
    return {own.id: own.label for own in given if own.label}


def watch_errors(
    store: Path, model: ModelRecord, config: ErrorWatchConfig, fields: Sequence[str]
) -> dict[str, Any]:
    """Bet on the answers to what was drawn of a model's labels.

    A night counts once all of its rows are answered, in the order of the nights.

    Returns:
        `error` and `confidence` that were asked for, `answered` rows, `wrong` ones among them,
        `open` nights that wait for answers, the highest `capital` so far, `alarm` if it has
        reached 1 / alpha.

    Raises:
        InputError: a file of answers cannot be read.
    """
    wrong, waiting = list[bool](), 0
    for path in sorted((store / WATCH).glob("*.json")):
        record = read_record(path)
        if record.get("model") != model.version:
            continue
        answers = read_answers(path, fields, form_of(record))
        rows = [(f"{row['file']}:{row['id']}", row["label"]) for row in record["rows"]]
        if "strata" in record:  # only the kept ones, which come first, are bet on
            rows = rows[: record["strata"]["kept"]["drawn"]]
        if not rows:
            continue
        if any(id not in answers for id, _ in rows):
            waiting += 1
            continue
        wrong += [answers[id] != label for id, label in rows]
    path_of_capital = capital(np.array(wrong, bool), config.error)
    highest = float(path_of_capital.max()) if len(wrong) else 1.0
    return {
        "error": config.error,
        "confidence": config.confidence,
        "answered": len(wrong),
        "wrong": sum(wrong),
        "open": waiting,
        "capital": round(highest, 3),
        "alarm": highest >= 1 / (1 - config.confidence),
    }
