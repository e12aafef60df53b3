"""How likely the untrained model finds words at the mask, of some labeled rows and of a pool's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.method.label_words import (
    Chosen,
    choose_words,
    likeliest,
    scores_by_words,
)
from pet.method.outcomes import ONE
from pet.models.cloze_model import ClozeModel
from pet.models.scoring import (
    Columns,
    cloze_encoders,
    score_columns_together,
    score_words,
    tokenize_columns,
)
from pet.progress import Tick, no_tick
from pet.tasks.compilation import as_read
from pet.tasks.encoding import Encoder
from pet.tasks.patterns import Pattern
from pet.tasks.task import Task
from pet.tasks.whole_words import is_written_so, whole_words

SAMPLED = 300  # rows of the pool by which the labels' prior is taken out


@dataclass(frozen=True)
class WordScores:
    """Log-probabilities at the mask of the same texts under every pattern.

    Attributes:
        logs: of words that may become label words. [patterns, rows, words]
        own: of the labels' own words, their mean. [patterns, rows, labels]
    """

    logs: NDArray[np.float32]
    own: NDArray[np.float32]


@dataclass(frozen=True)
class WordSearch:
    """What label words are chosen from, again and again on other rows.

    Attributes:
        words: those that may be chosen, each one token under every pattern, and no label's own.
        counts: how many own words labels have. [patterns, labels]
        rows: of the labeled rows.
        prior: of texts by which the labels' prior is taken out; none of them without calibration.
    """

    words: tuple[str, ...]
    counts: NDArray[np.int64]
    rows: WordScores
    prior: WordScores

    def choose(self, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> Chosen:
        """Choose words on some of the labeled rows; `labels` are theirs."""
        return choose_words(self.rows.logs[:, rows], labels, self.counts.shape[1])

    def scores(self, of: WordScores, chosen: Chosen) -> NDArray[np.floating]:
        """Score the labels by their own and the chosen words. [patterns, rows, labels]"""
        return scores_by_words(of.logs, of.own, self.counts, chosen)

    def named(self, chosen: Chosen) -> list[tuple[str, ...]]:
        """Return the words by their names, label by label."""
        return [tuple(self.words[place] for place in own) for own in chosen]

    def offsets(self, config: RunConfig, task: Task, chosen: Chosen) -> NDArray[np.floating]:
        """Return what takes the prior out of scores by chosen words. [patterns, labels]"""
        scores = self.scores(self.prior, chosen)
        if not scores.shape[1]:
            return np.zeros((len(scores), len(chosen)))
        prior = config.calibration
        return np.stack([ONE.prior_offset(own, prior, task.shares) for own in scores])


def search_words(
    config: RunConfig,
    task: Task,
    model: ClozeModel,
    rows: Columns,
    prior: Columns,
    tick: Tick = no_tick,
) -> WordSearch:
    """Ask the untrained model for words at the mask: a pass over each text under every pattern.

    Args:
        rows: labeled ones, on which words are to be chosen.
        prior: texts by which the prior is taken out; may be none.
    """
    own = replace(task, words=task.own_words)
    encoders = cloze_encoders(config, own, model)
    tokens = _tokens(own, model)
    of_labels = (words for name in own.words for words in own.words[name].values())
    taken = {word.casefold() for words in of_labels for word in words}
    names = [
        name
        for name in tokens[0]
        if name.casefold() not in taken and all(name in known for known in tokens)
    ]
    ids = [[known[name] for name in names] for known in tokens]
    logs = _ask(config, model, encoders, rows, ids, tick)
    places = [
        place
        for place in likeliest(logs)
        if all(
            is_written_so(model.tokenizer, pattern, names[place], known)
            for pattern, known in zip(_patterns(task, model), tokens, strict=True)
        )
    ]
    words = tuple(names[place] for place in places)
    of_prior = _ask(
        config, model, encoders, prior, [[own[place] for place in places] for own in ids], tick
    )
    return WordSearch(
        words,
        _counts(own),
        WordScores(logs[:, :, places], _own_scores(config, own, model, rows)),
        WordScores(of_prior, _own_scores(config, own, model, prior)),
    )


def _tokens(task: Task, model: ClozeModel) -> list[dict[str, int]]:
    """Return the words that are one token, with it, under each pattern."""
    return [
        whole_words(model.tokenizer, pattern, next(iter(task.verbalizer(pattern.name).values()))[0])
        for pattern in _patterns(task, model)
    ]


def _patterns(task: Task, model: ClozeModel) -> list[Pattern]:
    return [as_read(pattern, model.reading) for pattern in task.patterns]


def _counts(task: Task) -> NDArray[np.int64]:
    """Return how many words labels have under each pattern. [patterns, labels]"""
    of_patterns = [task.verbalizer(pattern.name) for pattern in task.patterns]
    return np.array([[len(words) for words in own.values()] for own in of_patterns])


def _ask(
    config: RunConfig,
    model: ClozeModel,
    encoders: list[Encoder],
    columns: Columns,
    ids: list[list[int]],
    tick: Tick,
) -> NDArray[np.float32]:
    """Return log p of words of one token. [patterns, rows, words]"""
    known: dict[Any, Any] = {}
    found = []
    for encoder, own in zip(encoders, ids, strict=True):
        texts = tokenize_columns(encoder, model.tokenizer, columns, known)
        size = config.tokens_per_batch
        found.append(score_words(model, encoder, texts, own, tokens_per_batch=size, tick=tick))
    return np.stack(found)


def _own_scores(
    config: RunConfig, task: Task, model: ClozeModel, columns: Mapping[str, Any]
) -> NDArray[np.float32]:
    """Return log p of the labels' own words. [patterns, rows, labels]"""
    encoders = cloze_encoders(config, task, model, by_probability=True)
    return score_columns_together(model, encoders, columns, config.tokens_per_batch)
