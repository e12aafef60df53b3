"""Calibration of scores: the labels' prior, temperature, offsets. Numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pet.method.ensembling import Array, combine, softmax

FEW = 10  # texts whose mean counts as much as the assumption of an even prior


def calibration_offset(logits: Array, prior: str, shares: Sequence[float] | None = None) -> Array:
    """Return what to add to label scores to take out the labels' prior. [labels]

    The prior is the mean probability that each label gets on texts that carry no sign of it:
    `content-free` ones (Zhao et al. 2021, contextual calibration) or the `pool` as a whole
    (domain-conditional PMI, Holtzman et al. 2021). Where a model names one label nearly always,
    that leaves the label ahead; `matched` goes on until every label has the same mean probability
    (prior matching, Liusie et al. 2023, arXiv 2309.04992), which presumes that the pool's labels
    are even. `half-matched` is the mean of the last two: most of what matching brings, and half of
    the harm where the pool's labels are not even. `none` adds nothing. What a few texts of a pool
    are about is no prior: its offsets are shrunk by n / (n + 10).

    Where the labels' shares are known, they stand in the place of even ones throughout.

    Args:
        logits: of the untrained model on such texts. [rows, labels]
        shares: of the labels, where they are known. [labels]

    Returns:
        Offsets of mean zero.
    """
    if prior == "none":
        return np.zeros(logits.shape[1])
    offset = _log_prior_ratio(logits, shares)
    if prior == "content-free":
        return offset
    trust = len(logits) / (len(logits) + FEW)
    if prior == "pool":
        return trust * offset
    matched = matching_offset(logits, shares, start=offset)
    return trust * (matched if prior == "matched" else (offset + matched) / 2)


def matching_offset(
    logits: Array, shares: Sequence[float] | None, start: Array | float = 0.0
) -> Array:
    """Find what to add to scores so that labels have these mean probabilities. [labels]

    Args:
        logits: [rows, labels]
        shares: of the labels; None: even ones. [labels]
    """
    matched = np.zeros(logits.shape[1]) + start
    for _ in range(1000):  # each step is the one above, of scores that have the steps before it
        step = _log_prior_ratio(logits + matched, shares)
        matched = matched + step
        if np.abs(step).max() < 1e-6:
            break
    return matched


def _log_prior_ratio(logits: Array, shares: Sequence[float] | None) -> Array:
    prior = np.log(np.clip(softmax(logits).mean(axis=0), 1e-9, 1.0))
    if shares is None:
        return prior.mean() - prior
    ratio = np.log(shares) - prior
    return ratio - ratio.mean()


@dataclass(frozen=True)
class Scaling:
    """Temperature and offsets that calibrate scores: z / temperature + offsets.

    Attributes:
        offsets: one a label, of mean zero. [labels]
    """

    temperature: float
    offsets: tuple[float, ...]

    @classmethod
    def plain(cls, temperature: float, labels: int) -> Scaling:
        """Return a scaling without offsets."""
        return cls(temperature, (0.0,) * labels)

    def shape(self) -> list[object]:
        """Return the numbers that it is made of."""
        return [self.temperature, self.offsets]

    def of(self, logits: Array) -> Array:
        """Return the scaled scores. [rows, labels]"""
        return logits / self.temperature + np.asarray(self.offsets)

    def probabilities(self, logits: Array) -> Array:
        """Return calibrated probabilities. [rows, labels]"""
        return softmax(self.of(logits))

    def shifted(self, added: Array) -> Scaling:
        """Return the scaling of scores to which this was not added yet. [labels]"""
        offsets = np.asarray(self.offsets) + added / self.temperature
        return Scaling(self.temperature, tuple(float(own) for own in offsets - offsets.mean()))

    def matched(self, logits: Array, shares: Sequence[float]) -> Scaling:
        """Shift the offsets until labels have these mean probabilities.

        Args:
            logits: of texts in which the labels have these shares. [rows, labels]
        """
        offsets = np.asarray(self.offsets) + matching_offset(self.of(logits), shares)
        return Scaling(self.temperature, tuple(float(own) for own in offsets - offsets.mean()))

    def no_less_confident(self, logits: Array, confidence: float) -> Scaling:
        """Lower the temperature until the mean probability of the best label is `confidence`.

        Args:
            logits: [rows, labels]
        """
        low, high = np.log(0.1), np.log(30.0)
        for _ in range(20):  # a higher temperature lowers confidence
            middle = (low + high) / 2
            tried = Scaling(float(np.exp(middle)), self.offsets)
            if tried.probabilities(logits).max(axis=-1).mean() > confidence:
                low = middle
            else:
                high = middle
        return Scaling(min(self.temperature, float(np.exp((low + high) / 2))), self.offsets)


# Temperatures that are likeliest before any labeled row is seen, chosen on validation rows.
# Untrained members, their prior taken out, are underconfident: 0.47 to 0.71 were best for
# SmolLM2 on films and topics and for BERT-tiny on topics, 1.5 for BERT-tiny on films. Members that
# learned from a few rows many times are overconfident: 2.4 and 2.6 were best on topics, 15 and 17
# on films (50 labels).
UNTRAINED = 0.7

TRAINED = 3.0


def search_temperature(
    loss: Callable[[float], float], lowest: float, highest: float = 30.0
) -> tuple[float, float]:
    """Find the temperature of the least loss; return that loss, and the temperature."""
    from scipy.optimize import minimize_scalar  # a second, which few commands need

    bounds = float(np.log(lowest)), float(np.log(highest))
    found = minimize_scalar(lambda log: loss(float(np.exp(log))), bounds=bounds, method="bounded")
    return float(found.fun), float(np.exp(found.x))


def likeliest_temperature(logits: Array, targets: Array, lowest: float) -> tuple[float, float]:
    """Find the temperature under which target probabilities are likeliest.

    Args:
        logits, targets: [rows, labels]

    Returns:
        the mean cross-entropy, in nats, and the temperature.
    """
    from scipy.special import log_softmax

    def loss(temperature: float) -> float:
        return float(-(targets * log_softmax(logits / temperature, axis=1)).sum(axis=1).mean())

    return search_temperature(loss, lowest)


def fit_temperature(
    logits: Array, labels: NDArray[np.integer], prior_strength: float = 4.0, expected: float = 1.0
) -> float:
    """Find the temperature under which the true labels are likeliest (Guo et al. 2017).

    With a handful of rows the likelihood alone runs off to zero or infinity, so log T has a
    normal prior around the expected one that weighs as much as `prior_strength` rows.

    Args:
        logits: [rows, labels] of rows that the model was not trained on.
        labels: [rows]
        expected: the temperature that is likeliest before any row is seen.
    """

    def loss(temperature: float) -> float:
        unlikely = prior_strength * float(np.log(temperature / expected)) ** 2 / 2
        return negative_log_likelihood(softmax(logits, temperature), labels) + unlikely

    return search_temperature(loss, 0.1)[1]


OFFSET_DEVIATION = 0.5  # of what an offset is expected to be, in nats; chosen on validation rows


def fit_scaling(
    logits: Array, labels: NDArray[np.integer], prior_strength: float = 4.0, expected: float = 1.0
) -> Scaling:
    """Find temperature and offsets under which the true labels are likeliest.

    Bias-corrected temperature scaling (Alexandari et al. 2020, arXiv 1901.06852). The temperature
    has the prior of `fit_temperature`, every offset a normal one around zero. A label of which
    there is no row has none: that it does not occur says nothing of how often it is predicted.

    Args:
        logits: [rows, labels] of rows that the model was not trained on.
        labels: [rows]
    """
    from scipy.optimize import minimize  # a second, which few commands need
    from scipy.special import log_softmax

    count = logits.shape[1]
    truth = np.eye(count)[labels]
    seen = truth.any(axis=0)

    def offsets_of(values: Array) -> Array:
        return np.where(seen, values - values.mean(where=seen) if seen.any() else 0.0, 0.0)

    def loss(values: Array) -> tuple[float, Array]:
        log_temperature, offsets = values[0], offsets_of(values[1:])
        scaled = logits / np.exp(log_temperature)
        logs = log_softmax(scaled + offsets, axis=1)
        wrong = np.exp(logs) - truth
        far = log_temperature - np.log(expected)
        unlikely = prior_strength * far**2 + (offsets**2).sum() / OFFSET_DEVIATION**2
        slope = prior_strength * far - (wrong * scaled).sum()
        slopes = offsets_of(offsets / OFFSET_DEVIATION**2 + wrong.sum(axis=0))
        return float(unlikely / 2 - (logs * truth).sum()), np.array([slope, *slopes])

    start = np.zeros(1 + count)
    start[0] = np.log(fit_temperature(logits, labels, prior_strength, expected))
    bounds = [(np.log(0.1), np.log(30.0)), *[(None, None)] * count]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    offsets = offsets_of(found[1:])
    return Scaling(float(np.exp(found[0])), tuple(float(offset) for offset in offsets))


def negative_log_likelihood(probabilities: Array, labels: NDArray[np.integer]) -> float:
    """Return the negative log-likelihood of the labels, summed over the rows, in nats."""
    chances = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chances, 1e-12, 1)).sum())


def fit_share(logits: Array, labels: NDArray[np.integer], prior_strength: float = 2.0) -> float:
    """Find the second model's share of two under which the labels are likeliest.

    Stacking (Wolpert 1992) of two log-linear models, at the best temperature of each mixture. The
    share has a prior around a half, a Beta distribution, for the rows are few.

    Args:
        logits: of rows that neither has learned from. [2, rows, labels]
        labels: [rows]

    Returns:
        A share between 0.05 and 0.95.
    """
    shares = np.linspace(0.05, 0.95, 19)
    losses = []
    for share in shares:
        combined = combine(logits, [1 - share, share])
        calibrated = softmax(combined, fit_temperature(combined, labels))
        prior = prior_strength * float(np.log(share * (1 - share)))
        losses.append(negative_log_likelihood(calibrated, labels) - prior)
    return float(shares[int(np.argmin(losses))])
