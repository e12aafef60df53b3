"""A preview of a task by an untrained model: its words, what it reads, zero-shot predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.data.labeled import LabeledSet
from pet.ensemble.member_scoring import CONTENT_FREE
from pet.errors import InputError, Problem
from pet.method.calibration import calibration_offset
from pet.method.ensembling import combine, softmax
from pet.method.metrics import accuracy
from pet.models.cloze_model import ClozeModel
from pet.models.model import Texts
from pet.models.scoring import Columns, ask_in_turn, cloze_encoder, score_columns, tokenize_columns
from pet.tasks.compilation import word_tokens
from pet.tasks.encoding import Encoder, tokenize
from pet.tasks.task import Task

EXAMPLES = 2  # filled-in rows to show per pattern

FIRST_ROWS = 8  # rows on which the model's speed is measured

SECONDS = 10.0  # what looking at labeled rows may take, and again looking at the pool

ALL = 100_000  # tokens of an example that are counted

FEWEST, MOST = 16, 1000  # rows that are looked at, on a slow and on a fast machine


@dataclass(frozen=True)
class Example:
    """A row as the model reads it: what stands around the word, and how much did not fit.

    Attributes:
        word: the row's own label's first word, in the mask's place.
        cut: tokens of the text that the model does not see.
    """

    before: str
    word: str
    after: str
    cut: int = 0


@dataclass(frozen=True)
class Glimpse:
    """Zero-shot scores of some rows under every pattern.

    Attributes:
        labeled: scores of the first rows of the labeled set. [patterns, rows, labels]
        pool: the same of pool rows. [patterns, rows, labels]
        offsets: what calibration adds to the scores. [patterns, labels]
        rows_per_second: of one pattern, where all are scored together.
        alone: rows a second of one pattern by itself.
    """

    labeled: NDArray[np.float32]
    pool: NDArray[np.float32]
    offsets: NDArray[np.float32]
    rows_per_second: float
    alone: float

    def ensemble_probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.floating]:
        """Return the calibrated probabilities of all patterns together. [rows, labels]"""
        patterns = len(scores)
        return softmax(combine(scores + self.offsets[:, None], [1.0] * patterns))


def encoders_of(model: ClozeModel, task: Task, max_length: int) -> list[Encoder]:
    """Compile every pattern for the model.

    Raises:
        InputError: what is wrong with any of them.
    """
    problems: list[Problem] = []
    encoders = []
    for pattern in task.patterns:
        try:
            encoders.append(cloze_encoder(model, task, pattern.name, max_length))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return encoders


def look(
    config: RunConfig,
    model: ClozeModel,
    encoders: Sequence[Encoder],
    labeled: Columns,
    pool: Columns,
) -> Glimpse:
    """Ask about as many rows as some seconds allow: of the labeled set, and of the pool."""

    def ask(columns: Columns, rows: int) -> NDArray[np.float32]:
        some = {name: texts[:rows] for name, texts in columns.items()}
        return ask_in_turn([(model, encoders)], len(encoders), some, config.tokens_per_batch)

    some = labeled if _count(labeled) else pool
    ask(some, 1)  # a warm-up
    first = min(FIRST_ROWS, _count(some))
    rate = len(encoders) * first / _seconds(lambda: ask(some, FIRST_ROWS))
    alone = rate
    if model.causal and len(encoders) > 1:  # a text is read once for all patterns
        one = {name: texts[:FIRST_ROWS] for name, texts in some.items()}
        alone = first / _seconds(
            lambda: score_columns(model, encoders[0], one, config.tokens_per_batch)
        )
    rows = int(np.clip(SECONDS * rate / len(encoders), FEWEST, MOST))
    of_labeled, of_pool = ask(labeled, rows), ask(pool, rows)
    prior = of_pool
    if config.calibration == "content-free":
        prior = ask(dict.fromkeys(pool, CONTENT_FREE), rows)
    offsets = np.zeros((len(encoders), of_pool.shape[2]))
    if _count(pool):
        offsets = np.stack([calibration_offset(own, config.calibration) for own in prior])
    return Glimpse(of_labeled, of_pool, offsets.astype(np.float32), rate, alone)


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def filled_examples(task: Task, name: str, labeled: LabeledSet) -> list[Example]:
    """Fill the pattern with the first labeled rows as they are: no model, so nothing is cut."""
    pattern, hole = task.pattern(name), "\ue000"
    shown = []
    for row in _one_of_each(labeled):
        values = {field: labeled.columns[field][row] for field in task.fields}
        before, _, after = pattern.fill(values, hole).partition(hole)
        shown.append(Example(before, _first_word(task, name, labeled, row), after))
    return shown


def read_examples(
    task: Task, name: str, labeled: LabeledSet, model: ClozeModel, encoder: Encoder, texts: Texts
) -> list[Example]:
    """Show the first labeled rows as the model reads them: cut, and back from tokens to text."""
    shown = []
    for row in _one_of_each(labeled):
        batch = encoder.batch(texts, np.array([row]))
        ids, place = batch.ids[0], int(batch.masks[0, 0])
        decode = model.tokenizer.decode
        # The texts of the set were cut when they were tokenised; here by how much.
        whole = sum(
            len(tokenize(model.tokenizer, [labeled.columns[slot.name][row]], ALL, slot.space)[0])
            for slot in encoder.slots
        )
        shown.append(
            Example(
                decode(ids[: place + 1] if model.causal else ids[:place]),
                _first_word(task, name, labeled, row),
                decode(ids[place + 1 :]),
                max(0, whole - encoder.budget()),
            )
        )
    return shown


def _one_of_each(labeled: LabeledSet) -> list[int]:
    """The first row of every label, as far as examples are wanted."""
    _, first = np.unique(labeled.labels, return_index=True)
    return sorted(first.tolist())[:EXAMPLES]


def _first_word(task: Task, name: str, labeled: LabeledSet, row: int) -> str:
    return task.verbalizer(name)[task.labels[labeled.labels[row]]][0]


def preview_pattern(
    task: Task,
    place: int,
    labeled: LabeledSet,
    model: ClozeModel,
    encoder: Encoder,
    glimpse: Glimpse,
) -> dict[str, Any]:
    """Describe a pattern: words and their tokens, examples, zero-shot accuracy."""
    pattern = task.patterns[place]
    texts = tokenize_columns(encoder, model.tokenizer, labeled.columns)
    whole = np.asarray(sum(texts[slot].lengths for slot in encoder.slots))
    spell = model.tokenizer.convert_ids_to_tokens
    words = {
        label: [
            {"word": word, "tokens": spell(list(word_tokens(model.tokenizer, pattern, word)))}
            for word in of_label
        ]
        for label, of_label in task.verbalizer(pattern.name).items()
    }
    scores = glimpse.labeled[place]
    truth = labeled.labels[: len(scores)]
    found: dict[str, Any] = {
        "name": pattern.name,
        "template": pattern.template,
        "causal": pattern.mask_is_last,
        "words": words,
        "passes": model.passes(encoder),
        "examples": read_examples(task, pattern.name, labeled, model, encoder, texts),
        "shortened": int((whole > encoder.budget()).sum()),
    }
    if len(truth):
        calibrated = scores + glimpse.offsets[place]
        found["zero_shot_accuracy"] = round(accuracy(truth, calibrated.argmax(axis=1)), 4)
        found["uncalibrated_accuracy"] = round(accuracy(truth, scores.argmax(axis=1)), 4)
    return found
