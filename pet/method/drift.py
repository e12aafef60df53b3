"""Whether new texts are still like those a model learned from: bounded sketches, four tests.

A sketch is a few histograms; sketches add up, so that no old text is ever read again. A test
holds a statistic against a threshold of effect size, since with many rows every difference is
significant, and against what chance alone gives with few.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

DRIFT_BINS = 50  # of confidence; sketches are stored with them

# Characters of a text: the upper edges double every second bin, the last bin is open.
LENGTH_EDGES = np.unique(np.round(2 ** np.arange(0, 17.5, 0.5))).astype(np.int64)

WORD_BUCKETS = 1024

CHANCE = 0.001  # how often a test fires where nothing has changed

NORMAL_QUANTILE = 3.0902  # of CHANCE, one-sided

# One character of a script without spaces is a word; elsewhere a word is what stands between them.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"

_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


@dataclass(frozen=True, eq=False)
class TextSketch:
    """What some texts are like.

    Attributes:
        lengths: texts by length in characters. [len(LENGTH_EDGES) + 1]
        words: texts that hold a word of each bucket, words being hashed. [WORD_BUCKETS]
    """

    lengths: Counts
    words: Counts

    def __add__(self, other: TextSketch) -> TextSketch:
        return TextSketch(self.lengths + other.lengths, self.words + other.words)

    @property
    def rows(self) -> int:
        return int(self.lengths.sum())


@dataclass(frozen=True, eq=False)
class LabelSketch:
    """Predictions of some texts, counted.

    Attributes:
        labels: rows per label. [labels]
        confidence: rows by confidence, in bins of equal width from 0 to 1. [DRIFT_BINS]
        several: whether a row may have several labels, or none.
    """

    labels: Counts
    confidence: Counts
    several: bool = False

    def __add__(self, other: LabelSketch) -> LabelSketch:
        labels, confidence = self.labels + other.labels, self.confidence + other.confidence
        return LabelSketch(labels, confidence, self.several)

    @property
    def rows(self) -> int:
        return int(self.confidence.sum())


@dataclass(frozen=True, eq=False)
class Sketch:
    """Texts, and the predictions of a model."""

    texts: TextSketch
    predicted: LabelSketch

    def __add__(self, other: Sketch) -> Sketch:
        return Sketch(self.texts + other.texts, self.predicted + other.predicted)

    @property
    def rows(self) -> int:
        return self.predicted.rows

    def as_json(self) -> dict[str, Any]:
        """Write it down as lists of counts."""
        several = {"several": True} if self.predicted.several else {}
        return {
            **several,
            "lengths": self.texts.lengths.tolist(),
            "words": self.texts.words.tolist(),
            "labels": self.predicted.labels.tolist(),
            "confidence": self.predicted.confidence.tolist(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Sketch:
        """Read what `as_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        wanted = {
            "lengths": len(LENGTH_EDGES) + 1,
            "words": WORD_BUCKETS,
            "labels": None,
            "confidence": DRIFT_BINS,
        }
        found = {name: np.asarray(record.get(name), np.float64) for name in wanted}
        for name, size in wanted.items():
            counts = found[name]
            is_sound = counts.ndim == 1 and (counts >= 0).all() and len(counts) > 0
            if not is_sound or size not in (None, len(counts)):
                raise ValueError(f"{name} are no counts of a sketch")
        lengths, words, labels, confidence = (a.astype(np.int64) for a in found.values())
        several = record.get("several") is True
        return cls(TextSketch(lengths, words), LabelSketch(labels, confidence, several))


def empty_texts() -> TextSketch:
    """Return the sketch of no text."""
    return TextSketch(np.zeros(len(LENGTH_EDGES) + 1, np.int64), np.zeros(WORD_BUCKETS, np.int64))


def empty_labels(labels: int, *, several: bool = False) -> LabelSketch:
    """Return the sketch of no row."""
    return LabelSketch(np.zeros(labels, np.int64), np.zeros(DRIFT_BINS, np.int64), several)


def sketch_texts(texts: Iterable[str]) -> TextSketch:
    """Count texts by length and by the words in them; a word counts once per text."""
    found = empty_texts()
    sizes = []
    for text in texts:
        sizes.append(len(text))
        words = set(_WORD.findall(text.lower()))
        buckets = {zlib.crc32(word.encode("utf-8", "replace")) % WORD_BUCKETS for word in words}
        found.words[list(buckets)] += 1
    np.add.at(found.lengths, np.searchsorted(LENGTH_EDGES, sizes), 1)
    return found


def sketch_labels(labels: NDArray[Any], confidence: NDArray[Any], count: int) -> LabelSketch:
    """Count rows by label and by confidence.

    Args:
        labels: index of each row's label [rows]; where it may have several, whether it has each
            [rows, labels].
        confidence: [rows], from 0 to 1
        count: how many labels there are.
    """
    bins = np.clip((np.asarray(confidence) * DRIFT_BINS).astype(int), 0, DRIFT_BINS - 1)
    several = labels.ndim == 2
    rows = labels.sum(axis=0) if several else np.bincount(labels, minlength=count)
    of_bins = np.bincount(bins, minlength=DRIFT_BINS)
    return LabelSketch(rows.astype(np.int64), of_bins.astype(np.int64), several)


def population_stability_index(before: Counts, now: Counts) -> float:
    """Return the symmetrised relative entropy of two histograms, in nats; empty cells count half.

    Under 0.1 is customarily read as no shift, over 0.25 as a large one.
    """
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (before, now))
    return _relative_entropy(p, q) + _relative_entropy(q, p)


def jensen_shannon(before: Counts, now: Counts) -> float:
    """Return the Jensen-Shannon divergence of two histograms in bits: 0 the same, 1 disjoint.

    Of hashed words it is a lower bound of that of the words themselves.
    """
    p, q = (counts / max(counts.sum(), 1) for counts in (before, now))
    middle = (p + q) / 2
    both = _relative_entropy(p, middle) + _relative_entropy(q, middle)
    return both / 2 / float(np.log(2))


def _relative_entropy(p: NDArray[np.floating], q: NDArray[np.floating]) -> float:
    inside = p > 0
    return float((p[inside] * np.log(p[inside] / q[inside])).sum())


def kolmogorov_smirnov(before: Counts, now: Counts) -> float:
    """Return the largest gap between two cumulated histograms: 0 the same, 1 apart."""
    p, q = (np.cumsum(counts) / max(counts.sum(), 1) for counts in (before, now))
    return float(np.abs(p - q).max())


@dataclass(frozen=True)
class Thresholds:
    """From which size on a difference matters."""

    labels: float
    confidence: float
    words: float
    lengths: float


@dataclass(frozen=True)
class DriftTest:
    """The result of one test: what was compared, by which statistic, and whether it drifted.

    Attributes:
        threshold: the effect that matters, or what chance gives with so few rows if that is more.
    """

    what: str
    statistic: str
    value: float
    threshold: float
    drifted: bool


def find_drift(reference: Sketch, now: Sketch, thresholds: Thresholds) -> list[DriftTest]:
    """Compare new rows with a model's training rows: label shares, confidence, words, length.

    Of several labels a text, each label's share is compared by itself; the one that is furthest
    beyond its threshold counts.
    """
    pairs = {
        "label shares": (reference.predicted.labels, now.predicted.labels),
        "confidence": (reference.predicted.confidence, now.predicted.confidence),
        "words": (reference.texts.words, now.texts.words),
        "length": (reference.texts.lengths, now.texts.lengths),
    }
    psi, ks, js = population_stability_index, kolmogorov_smirnov, jensen_shannon
    tests = {
        "label shares": ("population stability index", psi, thresholds.labels, _chance_psi),
        "confidence": ("Kolmogorov-Smirnov", ks, thresholds.confidence, _chance_ks),
        "words": ("Jensen-Shannon divergence", js, thresholds.words, _chance_js),
        "length": ("Kolmogorov-Smirnov", ks, thresholds.lengths, _chance_ks),
    }
    results = []
    for what, (name, statistic, effect, chance) in tests.items():
        before, new = pairs[what]
        value, threshold = statistic(before, new), max(effect, chance(before, new))
        if what == "label shares" and reference.predicted.several:
            value, threshold = _furthest_label(reference.predicted, now.predicted, effect)
        results.append(
            DriftTest(what, name, round(value, 4), round(threshold, 4), value > threshold)
        )
    return results


def _furthest_label(before: LabelSketch, now: LabelSketch, effect: float) -> tuple[float, float]:
    """Return the index and threshold of the label whose share of the rows has changed most.

    Chance is that of the largest of as many tests as there are labels (Bonferroni).
    """
    found = []
    chance = NormalDist().inv_cdf(1 - CHANCE / len(before.labels))
    for old, new in zip(before.labels, now.labels, strict=True):
        then, today = (np.array([n, side.rows - n]) for n, side in ((old, before), (new, now)))
        threshold = max(effect, _chance_psi(then, today, chance))
        found.append((population_stability_index(then, today), threshold))
    return max(found, key=lambda own: own[0] / own[1])


def _noise(before: Counts, now: Counts) -> float:
    return 1 / max(before.sum(), 1) + 1 / max(now.sum(), 1)


def _cells(before: Counts, now: Counts) -> int:
    return max(2, int(((before + now) > 0).sum()))


def _chance_psi(before: Counts, now: Counts, quantile: float = NORMAL_QUANTILE) -> float:
    """Chance's quantile: PSI / (1/n + 1/m) is chi-squared (Yurdakul and Naranjo 2020)."""
    freedom = _cells(before, now) - 1
    part = 2 / (9 * freedom)  # Wilson and Hilferty 1931: within 4 % from one degree on
    largest = freedom * (1 - part + quantile * part**0.5) ** 3
    return float(largest * _noise(before, now))


def _chance_js(before: Counts, now: Counts) -> float:
    """Chance's quantile: to second order, PSI is eight times the Jensen-Shannon divergence.

    A quarter more, since the words of one text come together.
    """
    return 1.25 * _chance_psi(before, now) / 8 / float(np.log(2))


def _chance_ks(before: Counts, now: Counts) -> float:
    """Chance's quantile by Smirnov's limit; with binned values it is on the safe side."""
    return float(np.sqrt(-np.log(CHANCE / 2) / 2 * _noise(before, now)))


def drifted(tests: Sequence[DriftTest]) -> list[str]:
    """Return the names of what has drifted."""
    return [test.what for test in tests if test.drifted]
