"""A preview of a task by an untrained model: its words, what it reads, zero-shot predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.data.labeled import LabeledSet
from pet.ensemble.member_models import CONTENT_FREE
from pet.method.metrics import accuracy
from pet.method.outcomes import ONE, Outcome
from pet.method.several_labels import area_under_curve, strata_of
from pet.models.cloze_model import ClozeModel
from pet.models.model import Texts
from pet.models.scoring import Columns, score_in_turn, tokenize_columns
from pet.tasks.compilation import word_tokens
from pet.tasks.encoding import AT_END, Encoder, tokenize
from pet.tasks.task import Task

EXAMPLES = 2  # filled-in rows to show per pattern

ALL = 100_000  # tokens of an example that are counted

# Rows that are scored, on any machine and whatever the patterns: figures of two task files are to
# be compared.
LABELED_ROWS, POOL_ROWS = 1000, 300


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
class ZeroShotScores:
    """Zero-shot scores of some rows under every pattern.

    Attributes:
        labeled: scores of labeled rows. [patterns, rows, labels]
        pool: the same of pool rows. [patterns, rows, labels]
        offsets: what calibration adds to the scores. [patterns, labels]
        outcome: what a text's labels can be.
    """

    labeled: NDArray[np.float32]
    pool: NDArray[np.float32]
    offsets: NDArray[np.float32]
    outcome: Outcome = ONE

    def ensemble_scores(self, scores: NDArray[np.float32]) -> NDArray[np.floating]:
        """Return the calibrated scores of all patterns together. [rows, labels]"""
        patterns = len(scores)
        return self.outcome.combine(scores + self.offsets[:, None], [1.0] * patterns)

    def ensemble_probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.floating]:
        """Return the calibrated probabilities of all patterns together. [rows, labels]"""
        return self.outcome.of_member(self.ensemble_scores(scores))


def rows_to_score(labels: NDArray[np.int64], most: int = LABELED_ROWS) -> NDArray[np.int64]:
    """Choose labeled rows: all, or of each label as many as its share gives, in file order.

    Neither the order of the task's labels nor any seed matters.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    by_label = np.argsort(first[label], kind="stable")
    places = (np.arange(most) + 0.5) * len(labels) / most
    return np.sort(by_label[places.astype(np.int64)])


def take_rows(labeled: LabeledSet, rows: NDArray[np.int64]) -> LabeledSet:
    """Return some rows of a labeled set."""
    return replace(
        labeled,
        ids=[labeled.ids[row] for row in rows],
        columns={name: [own[row] for row in rows] for name, own in labeled.columns.items()},
        labels=labeled.labels[rows],
    )


def score_zero_shot(
    config: RunConfig,
    model: ClozeModel,
    encoders: Sequence[Encoder],
    labeled: Columns,
    pool: Columns,
    shares: Sequence[float] | None = None,
    outcome: Outcome = ONE,
) -> ZeroShotScores:
    """Score labeled rows and some of the pool.

    Args:
        labeled: rows that were chosen by `rows_to_score`.
        shares: of the labels, where they are known. [labels]
    """

    def ask(columns: Columns, rows: int) -> NDArray[np.float32]:
        some = {name: texts[:rows] for name, texts in columns.items()}
        return score_in_turn([(model, encoders)], len(encoders), some, config.tokens_per_batch)

    of_labeled, of_pool = ask(labeled, LABELED_ROWS), ask(pool, POOL_ROWS)
    prior = of_pool
    if config.calibration == "content-free":
        prior = ask(dict.fromkeys(pool, CONTENT_FREE), POOL_ROWS)
    offsets = np.zeros((len(encoders), of_pool.shape[2]))
    if _count(pool):
        offsets = np.stack([outcome.prior_offset(own, config.calibration, shares) for own in prior])
    return ZeroShotScores(of_labeled, of_pool, offsets.astype(np.float32), outcome)


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
                decode(ids[: place + 1] if model.reading in AT_END else ids[:place]),
                _first_word(task, name, labeled, row),
                decode(ids[place + 1 :]),
                max(0, whole - encoder.budget() * encoder.most_windows),
            )
        )
    return shown


def _one_of_each(labeled: LabeledSet) -> list[int]:
    """The first row of every label, as far as examples are wanted."""
    kinds = labeled.labels
    if kinds.ndim > 1:
        kinds = strata_of(kinds, kinds.sum(axis=0))
    _, first = np.unique(kinds, return_index=True)
    return sorted(first.tolist())[:EXAMPLES]


def _first_word(task: Task, name: str, labeled: LabeledSet, row: int) -> str:
    own = labeled.labels[row]
    place = int(own.argmax()) if own.ndim else own  # of several the first, of none the first too
    return task.verbalizer(name)[task.labels[place]][0]


def preview_pattern(
    task: Task,
    place: int,
    labeled: LabeledSet,
    model: ClozeModel,
    encoder: Encoder,
    zero_shot: ZeroShotScores,
) -> dict[str, Any]:
    """Describe a pattern: words and their tokens, examples, zero-shot accuracy."""
    pattern = task.patterns[place]
    texts = tokenize_columns(encoder, model.tokenizer, labeled.columns)
    spell = model.tokenizer.convert_ids_to_tokens
    words = {
        label: [
            {"word": word, "tokens": spell(list(word_tokens(model.tokenizer, pattern, word)))}
            for word in of_label
        ]
        for label, of_label in task.verbalizer(pattern.name).items()
    }
    scores = zero_shot.labeled[place]
    truth = labeled.labels[: len(scores)]
    found: dict[str, Any] = {
        "name": pattern.name,
        "template": pattern.template,
        "causal": pattern.mask_is_last,
        "words": words,
        "passes": model.passes(encoder),
        "examples": read_examples(task, pattern.name, labeled, model, encoder, texts),
        "shortened": int(_are_cut(encoder, model.tokenizer, labeled.columns).sum()),
    }
    if len(truth) and task.several:
        area = area_under_curve(scores, truth)
        found["zero_shot_area"] = None if area is None else round(area, 4)
    elif len(truth):
        calibrated = scores + zero_shot.offsets[place]
        found["zero_shot_accuracy"] = round(accuracy(truth, calibrated.argmax(axis=1)), 4)
        found["uncalibrated_accuracy"] = round(accuracy(truth, scores.argmax(axis=1)), 4)
    return found


def shares_cut(
    encoders: Sequence[Encoder], tokenizer: Any, sets: Mapping[str, Columns]
) -> dict[str, float]:
    """Return the share of every set's rows that do not fit whole, in any of a model's encoders."""
    shares = {}
    for name, columns in sets.items():
        cut = [_are_cut(encoder, tokenizer, columns) for encoder in encoders]
        shares[name] = round(float(np.any(cut, axis=0).mean()), 4)
    return shares


def _are_cut(encoder: Encoder, tokenizer: Any, columns: Columns) -> NDArray[np.bool_]:
    """Mark the rows that do not fit whole. [rows]"""
    longest = encoder.longest_text + 1  # or a text of just this length would look whole
    texts = [tokenize(tokenizer, columns[own.name], longest, own.space) for own in encoder.slots]
    room = encoder.budget() * encoder.most_windows
    return np.asarray(sum(own.lengths for own in texts)) > room
