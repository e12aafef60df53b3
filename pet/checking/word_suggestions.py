"""Label words that the labeled rows suggest, and whether they do better than the task's own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.data.labeled import LabeledSet
from pet.data.text_keys import row_digests
from pet.method.label_words import Chosen, deal, without
from pet.method.metrics import accuracy
from pet.method.outcomes import ONE
from pet.method.paired_tests import mcnemar
from pet.models.cloze_model import ClozeModel
from pet.models.scoring import Columns
from pet.models.word_search import SAMPLED, WordSearch, search_words
from pet.tasks.task import Task
from pet.tasks.task_draft import quoted, word_list

LEAST = 8  # labeled rows from which words are looked for

# Two-sided p-value from which on words are not recommended. On validation rows of newsgroups (sets
# 5 to 7 with 10, 20, 50 and 100 rows; BERT-tiny and SmolLM2) words are below it in 8 of 24 sets,
# and better by 5 to 12 points there; on movies, where they are worse in 11 of 12 sets by up to 9
# points (BERT-tiny), in none.
LEVEL = 0.2


@dataclass(frozen=True)
class Suggestion:
    """Words that labeled rows suggest to a model.

    Attributes:
        rows: how many they were chosen on.
        own: the share of these that the task's own words are right about.
        suggested: the same of words that were chosen without the row.
        better: whether they are to be added.
        words: by label, beside its own.
        toml: what to paste into the task file.
    """

    rows: int
    own: float
    suggested: float
    better: bool
    words: dict[str, tuple[str, ...]]
    toml: str

    def record(self) -> dict[str, Any]:
        """Return it as what `pet check --json` shows."""
        return asdict(self)


def suggest_words(
    config: RunConfig, task: Task, model: ClozeModel, labeled: LabeledSet, pool: Columns
) -> Suggestion | None:
    """Search label words, and measure them against the task's own.

    Args:
        labeled: rows that words are chosen on.
        pool: texts by which the labels' prior is taken out; without any, the labeled rows' are.

    Returns:
        None of rows that are too few.
    """
    if len(labeled) < LEAST or len(np.unique(labeled.labels)) < 2:
        return None
    texts: Columns = {name: own[:SAMPLED] for name, own in pool.items()}
    if config.calibration == "none":
        texts = {name: [] for name in pool}
    elif not len(next(iter(texts.values()))):
        texts = labeled.columns
    found = search_words(config, task, model, labeled.columns, texts)
    truth, labels = labeled.labels, len(task.labels)
    own: Chosen = ((),) * labels
    before = _predicted(config, task, found, own, np.arange(len(truth)))
    after = np.zeros_like(before)
    for fold in deal(truth, config.seed):
        kept = without(fold, len(truth))
        after[fold] = _predicted(config, task, found, found.choose(kept, truth[kept]), fold)
    chosen = found.named(found.choose(np.arange(len(truth)), truth))
    words = dict(zip(task.labels, chosen, strict=True))
    return Suggestion(
        len(truth),
        round(accuracy(truth, before), 4),
        round(accuracy(truth, after), 4),
        is_better(truth, before, after),
        words,
        suggestion_toml(words, row_digests(labeled.columns, task.fields)),
    )


def _predicted(
    config: RunConfig, task: Task, found: WordSearch, chosen: Chosen, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Predict labeled rows by all patterns together. [rows]"""
    scores = (
        found.scores(found.rows, chosen)[:, rows] + found.offsets(config, task, chosen)[:, None]
    )
    return ONE.combine(scores, [1.0] * len(scores)).argmax(axis=1)


def is_better(
    truth: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64]
) -> bool:
    """Return whether suggested words are clearly better, by an exact test of the rows that differ.

    Args:
        before, after: predictions by the own words, and with words chosen without the row.
    """
    won = int(((after == truth) & (before != truth)).sum())
    lost = int(((before == truth) & (after != truth)).sum())
    return won > lost and mcnemar(won, lost) < LEVEL


def suggestion_toml(words: dict[str, tuple[str, ...]], rows: list[str]) -> str:
    """Write the tables to paste into a task file: words, and the rows that they were chosen on."""
    lines = [f"{quoted(label)} = {word_list(own)}" for label, own in words.items() if own]
    digests = ", ".join(quoted(row) for row in dict.fromkeys(rows))
    return "\n".join(["[suggested_words]", *lines, "", "[words_from]", f"rows = [{digests}]", ""])
