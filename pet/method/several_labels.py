"""Several labels a text: every label is scored by itself. Numpy in, numpy out.

A member's score of a label is *evidence*: by how much the log-odds of the label are higher for this
text than for any text. The base, the log-odds of a label's share of the labeled rows, is added
when members are combined, so that a label that few texts have stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.method.calibration import Scaling, search_temperature
from pet.method.cross_fitting import Correction, share_of
from pet.method.ensembling import Array, folds_of
from pet.method.linear_head import (
    FOLDS,
    PENALTIES,
    TRUST,
    Chosen,
    Fitted,
    LinearHead,
    held_out_logits,
)

Sets = NDArray[np.bool_]  # whether a row has each label. [rows, labels]


def sigmoid(logits: Array) -> Array:
    """Turn log-odds into probabilities."""
    return np.asarray(0.5 * (1 + np.tanh(np.asarray(logits, np.float64) / 2)))


def log_odds(probabilities: Array) -> Array:
    """Turn probabilities into log-odds; 0 and 1 are taken for 1e-9 away from them."""
    safe = np.clip(np.asarray(probabilities, np.float64), 1e-9, 1 - 1e-9)
    return np.log(safe) - np.log1p(-safe)


def base_log_odds(truth: Sets) -> Array:
    """Return the log-odds of every label's share, half a row of either kind added. [labels]"""
    return log_odds((truth.sum(axis=0) + 0.5) / (len(truth) + 1))


def weighted_mean(logits: Array, weights: Array, mask: Sets | None = None) -> Array:
    """Return the weighted mean of members' evidence. [rows, labels]

    Args:
        logits: [members, rows, labels]
        weights: [members], not negative; where all are zero, every member counts alike.
        mask: which members count for which row, at least one for each; all by default.
            [members, rows]
    """
    counted = np.ones(logits.shape[:2], bool) if mask is None else mask
    shares = np.asarray(weights, np.float64)[:, None] * counted
    nobody = shares.sum(axis=0) == 0
    shares[:, nobody] = counted[:, nobody]
    shares /= shares.sum(axis=0)
    return np.asarray(np.einsum("mr,mrl->rl", shares, np.asarray(logits, np.float64)))


def log_loss(probabilities: Array, targets: Array | Sets) -> float:
    """Return the mean binary cross-entropy over rows and labels, in nats."""
    return float(_losses(probabilities, targets).mean())


def log_losses(probabilities: Array, targets: Array | Sets) -> Array:
    """Return the binary cross-entropy of each row, summed over labels, in nats. [rows]"""
    return np.asarray(_losses(probabilities, targets).sum(axis=1))


def _losses(probabilities: Array, targets: Array | Sets) -> Array:
    safe = np.clip(np.asarray(probabilities, np.float64), 1e-9, 1 - 1e-9)
    return -np.asarray(targets * np.log(safe) + (1 - targets) * np.log1p(-safe))


# How far a label's own temperature is expected to be from that of all, in log; and its offset from
# the base, in nats.
SPREAD, OFFSET = 0.3, 0.7


@dataclass(frozen=True)
class LabelScaling(Scaling):
    """Temperature and offset of each label: evidence / temperature + offset are its log-odds.

    Attributes:
        temperature: what the labels' own have in common.
        offsets: the base is part of them. [labels]
        temperatures: [labels]
    """

    temperatures: tuple[float, ...] = ()

    @classmethod
    def around(cls, base: Array, temperature: float) -> LabelScaling:
        """Return the scaling of one temperature that adds the base."""
        return cls(temperature, _floats(base), (temperature,) * len(base))

    def shape(self) -> list[object]:
        """Return the numbers that it is made of."""
        return [*super().shape(), self.temperatures]

    def of(self, logits: Array) -> Array:
        """Return log-odds. [..., labels]"""
        return np.asarray(logits, np.float64) / np.asarray(self.temperatures) + np.asarray(
            self.offsets
        )

    def probabilities(self, logits: Array) -> Array:
        """Return calibrated probabilities. [..., labels]"""
        return sigmoid(self.of(logits))

    def matched(self, logits: Array, shares: Sequence[float]) -> LabelScaling:
        """Shift the offsets until labels have these mean probabilities.

        Args:
            logits: of texts in which the labels have these shares. [rows, labels]
        """
        return self._with_shares(logits, 1.0, np.asarray(shares))

    def as_confident_as(self, logits: Array, before: Array) -> LabelScaling:
        """Lower the temperatures until the labels are as certain as they were, and as frequent.

        Args:
            logits: of the pool now. [rows, labels]
            before: probabilities of the same rows. [rows, labels]
        """
        shares, uncertain = before.mean(axis=0), float(_entropies(before).mean())
        low, high = np.log(0.05), 0.0
        for _ in range(20):  # a higher temperature is more uncertain
            factor = np.exp((low + high) / 2)
            tried = self._with_shares(logits, factor, shares)
            if _entropies(tried.probabilities(logits)).mean() > uncertain:
                high = float(np.log(factor))
            else:
                low = float(np.log(factor))
        return self._with_shares(logits, float(np.exp(high)), shares)

    def _with_shares(self, logits: Array, factor: float, shares: Array) -> LabelScaling:
        """Return the scaling of other temperatures under which labels have these shares."""
        temperatures = np.asarray(self.temperatures) * factor
        scaled = np.asarray(logits, np.float64) / temperatures
        low = np.full(len(shares), -40.0) - scaled.max(axis=0)
        high = np.full(len(shares), 40.0) - scaled.min(axis=0)
        for _ in range(50):
            middle = (low + high) / 2
            above = sigmoid(scaled + middle).mean(axis=0) > shares
            high, low = np.where(above, middle, high), np.where(above, low, middle)
        offsets = _floats((low + high) / 2)
        return replace(
            self,
            temperature=self.temperature * factor,
            offsets=offsets,
            temperatures=_floats(temperatures),
        )


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _entropies(probabilities: Array) -> Array:
    """Return the entropy of every label's answer, in nats. [rows, labels]"""
    safe = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return -(safe * np.log(safe) + (1 - safe) * np.log1p(-safe))


def entropy(probabilities: Array) -> Array:
    """Return the entropy of each row's labels together, were they independent, in nats. [rows]"""
    return np.asarray(_entropies(probabilities).sum(axis=-1))


def fit_label_scaling(
    logits: Array, truth: Array, base: Array, prior_strength: float = 4.0, expected: float = 1.0
) -> LabelScaling:
    """Find each label's temperature and offset (Platt 1999) under which the labels are likeliest.

    Of a few rows the likelihood alone would run off: the log of the common temperature has a normal
    prior around the expected one that weighs as much as `prior_strength` rows, each label's own a
    normal one around the common, and each offset one around the base.

    Args:
        logits: evidence of rows that the model was not trained on. [rows, labels]
        truth: [rows, labels]
        base: log-odds of the labels' shares. [labels]
        expected: the temperature that is likeliest before any row is seen.
    """
    from scipy.optimize import minimize  # a second, which few commands need

    count = logits.shape[1]
    points, wanted = np.asarray(logits, np.float64), np.asarray(truth, np.float64)

    def loss(values: Array) -> tuple[float, Array]:
        common, own, offsets = values[0], values[1 : 1 + count], values[1 + count :]
        scaled = points * np.exp(-(common + own))
        odds = scaled + base + offsets
        far = common - np.log(expected)
        unlikely = (
            prior_strength * far**2 + (own**2).sum() / SPREAD**2 + (offsets**2).sum() / OFFSET**2
        )
        wrong = sigmoid(odds) - wanted
        of_own = -(wrong * scaled).sum(axis=0)
        slopes = [
            [of_own.sum() + prior_strength * far],
            of_own + own / SPREAD**2,
            wrong.sum(axis=0) + offsets / OFFSET**2,
        ]
        value = (np.logaddexp(0, odds) - wanted * odds).sum() + unlikely / 2
        return float(value), np.concatenate(slopes)

    start = np.zeros(1 + 2 * count)
    start[0] = np.log(expected)
    bounds = [(np.log(0.05), np.log(50.0)), *[(None, None)] * (2 * count)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    temperatures = np.exp(found[0] + found[1 : 1 + count])
    offsets = base + found[1 + count :]
    return LabelScaling(float(np.exp(found[0])), _floats(offsets), _floats(temperatures))


def fit_label_share(stack: Array, truth: Array, base: Array, prior_strength: float = 2.0) -> float:
    """Find the second model's share of two, as `calibration.fit_share` does.

    Args:
        stack: log-odds by two models. [2, rows, labels]
        truth: [rows, labels]
        base: [labels]
    """
    shares = np.linspace(0.05, 0.95, 19)
    losses = []
    for share in shares:
        evidence = (1 - share) * stack[0] + share * stack[1] - base
        of_rows = log_loss(sigmoid(base + evidence / fit_common(evidence, truth, base)), truth)
        losses.append(of_rows * truth.size - prior_strength * float(np.log(share * (1 - share))))
    return float(shares[int(np.argmin(losses))])


def fit_common(evidence: Array, truth: Array | Sets, base: Array) -> float:
    """Find the one temperature of all labels under which they are likeliest; see `fit_temperature`.

    Args:
        evidence: of rows that the model was not trained on. [rows, labels]
    """

    def loss(temperature: float) -> float:
        of_rows = log_loss(sigmoid(base + evidence / temperature), truth) * truth.size
        return of_rows + 4.0 * float(np.log(temperature)) ** 2 / 2

    return search_temperature(loss, 0.1)[1]


MOST_GIVEN = 1.5  # times as many rows get a label as are expected to have it, at most


def best_thresholds(probabilities: Array) -> tuple[float, ...]:
    """Return the probability of each label from which on giving it makes the expected F1 highest.

    With calibrated probabilities the expected F1 of a label needs no answers: of the k likeliest
    rows, the sum of their probabilities are right (Lipton et al. 2014, 1402.1892). A label that
    nobody can tell would be given to every row: it goes to `MOST_GIVEN` times as many rows as are
    expected to have it at most. Never over 0.5.

    Args:
        probabilities: of pool rows. [rows, labels]
    """
    found = []
    for own in np.asarray(probabilities, np.float64).T:
        ordered = np.sort(own)[::-1]
        hits, total = np.cumsum(ordered), ordered.sum()
        rows = np.arange(1, len(ordered) + 1)
        expected = np.where(rows <= max(1.0, MOST_GIVEN * total), 2 * hits / (rows + total), -1.0)
        last = int(expected.argmax())
        after = ordered[last + 1] if last + 1 < len(ordered) else 0.0
        found.append(float(np.clip((ordered[last] + after) / 2, 1e-6, 0.5)))
    return tuple(found)


def strata_of(sets: Sets, counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the rarest label of every row; the number of labels for rows with none. [rows]

    Rows of the same rarest label are much alike in the others: drawn by it, they keep the shares of
    all labels, and which of them go together.

    Args:
        counts: how often each label occurs. [labels]
    """
    order = np.argsort(counts, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    rarest = np.where(sets, rank, len(order)).min(axis=1, initial=len(order))
    return np.append(order, len(order))[rarest]


def kind_shares(shares: Sequence[float]) -> Array:
    """Return the share of texts of each kind, as `strata_of` numbers them, were labels independent.

    Args:
        shares: of the labels. [labels]

    Returns:
        [labels + 1], the last that of texts with none.
    """
    found, none = np.zeros(len(shares) + 1), 1.0
    for label in np.argsort(shares, kind="stable"):
        found[label] = none * shares[label]  # its own, and no rarer one
        none *= 1 - shares[label]
    found[-1] = none
    return found


def jaccard(one: Sets, other: Sets) -> Array:
    """Return how many labels two sets share, of all that either has; 1 where both are empty.

    Args:
        one, other: [..., labels]
    """
    either = (one | other).sum(axis=-1)
    return np.where(either > 0, (one & other).sum(axis=-1) / np.maximum(either, 1), 1.0)


def area_under_curve(scores: Array, truth: Sets) -> float | None:
    """Return the mean over labels of the chance that a row with it scores above one without.

    Args:
        scores: [rows, labels]
        truth: [rows, labels]

    Returns:
        0.5 where the scores know nothing; None where no label has rows of both kinds.
    """
    areas = []
    for own, has in zip(scores.T, truth.T, strict=True):
        if has.any() and not has.all():
            ahead = own[has][:, None] - own[~has]
            areas.append(float((ahead > 0).mean() + (ahead == 0).mean() / 2))
    return float(np.mean(areas)) if areas else None


def label_retention(teachers: Array, scores: Array) -> float | None:
    """Return how much of what teachers know a learner has kept: 1 is all of it, 0 is chance.

    Of every label as many rows are taken as the teachers expect to have it: those that the learner
    ranks highest. It is the teachers' mean probability of these, of that of the rows which they
    rank highest themselves, chance taken out of both; mean over the labels, by their rows.

    Args:
        teachers: probabilities of rows that the learner has not learned from. [rows, labels]
        scores: the learner's. [rows, labels]
    """
    kept = possible = 0.0
    for theirs, own in zip(teachers.T, scores.T, strict=True):
        rows = max(1, round(float(theirs.sum())))
        by_chance = float(theirs.mean())
        top = np.argsort(-own, kind="stable")[:rows]
        kept += float(theirs[top].sum()) - rows * by_chance
        possible += float(np.sort(theirs)[::-1][:rows].sum()) - rows * by_chance
    return None if possible <= 1e-9 else kept / possible


def fit_label_heads(
    embeddings: Any,
    targets: Array,
    penalty: float,
    counts: Array | None = None,
    base: Array | None = None,
) -> LinearHead:
    """Fit one-vs-rest logistic regression to soft targets, all labels at once.

    A label that no row has is given no evidence.

    Args:
        embeddings: dense or sparse. [rows, width]
        targets: probabilities. [rows, labels]
        penalty: C of scikit-learn: the larger, the weaker the L2 penalty.
        counts: what each row counts; one if not given. [rows]
        base: log-odds that are added to the head's logits, which are evidence then; zero if not
            given. [labels]
    """
    from scipy.optimize import minimize  # a second, which few commands need

    width, labels = embeddings.shape[1], targets.shape[1]
    weight, bias = np.zeros((width, labels), np.float32), np.zeros(labels, np.float32)
    heavy = np.ones(len(targets)) if counts is None else np.asarray(counts, np.float64)
    shown = (np.asarray(targets) * heavy[:, None] > 1e-3).any(axis=0)
    if not shown.any() or not heavy.any():
        return LinearHead(weight, bias)
    rows = np.flatnonzero(heavy)
    heavy = heavy[rows, None]
    points = embeddings[rows].astype(np.float64)
    wanted = np.asarray(targets, np.float64)[np.ix_(rows, shown)]
    added = np.zeros(int(shown.sum())) if base is None else np.asarray(base)[shown]
    total, pull = heavy.sum(), 1 / (penalty * heavy.sum())

    def loss(flat: Array) -> tuple[float, Array]:
        both = flat.reshape(width + 1, -1)
        odds = points @ both[:-1] + both[-1] + added
        off = heavy * (sigmoid(odds) - wanted) / total
        slope = np.concatenate([points.T @ off + pull * both[:-1], off.sum(axis=0)[None]])
        value = (heavy * (np.logaddexp(0, odds) - wanted * odds)).sum() / total
        return float(value + pull * (both[:-1] ** 2).sum() / 2), slope.ravel()

    found = minimize(
        loss,
        np.zeros((width + 1) * len(added)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "gtol": 1e-5, "ftol": 1e-12},
    )
    both = found.x.reshape(width + 1, -1)
    weight[:, shown], bias[shown] = both[:-1], both[-1]
    return LinearHead(weight, bias)


def _by_penalty(penalty: float, base: Array) -> Callable[[Array, Array, Array], LinearHead]:
    return lambda points, targets, counts: fit_label_heads(points, targets, penalty, counts, base)


def fit_calibrated_heads(
    embeddings: Array,
    truth: Sets,
    drawn: Array,
    drawn_targets: Array,
    base: Array,
    rng: np.random.Generator,
    before: Chosen | None = None,
) -> Fitted:
    """Fit a head of evidence on labeled and drawn rows, as `linear_head.fit_calibrated` does.

    Args:
        embeddings, truth: of the labeled rows. [rows, width], [rows, labels]
        drawn, drawn_targets: rows that teachers labeled. [drawn, width], [drawn, labels]
        base: log-odds of the labels' shares. [labels]
        before: what an earlier fit has chosen.
    """
    points = np.concatenate([embeddings, drawn])
    targets = np.concatenate([truth.astype(np.float32), drawn_targets])
    if len(truth) < 2:
        head = fit_label_heads(points, targets, PENALTIES[1], base=base)
        return Fitted(head, PENALTIES[1], TRUST[0], 1.0, None)
    strata = strata_of(truth, truth.sum(axis=0))
    folds = folds_of(strata, min(FOLDS, len(truth)), rng)
    best: tuple[float, Fitted] | None = None
    for trust in TRUST if len(drawn) else TRUST[:1]:
        counts = np.concatenate([np.ones(len(truth)), np.full(len(drawn), trust)])
        for penalty in PENALTIES if before is None else (before.for_rows(counts.sum()),):
            fit = _by_penalty(penalty, base)
            held_out = held_out_logits(fit, points, targets, counts, folds)
            temperature = before.temperature if before else fit_common(held_out, truth, base)
            loss = log_loss(sigmoid(base + held_out / temperature), truth)
            if best is None or loss < best[0]:
                head = fit_label_heads(points, targets, penalty, counts, base).divided(temperature)
                rows = None if before else held_out / temperature
                best = loss, Fitted(head, penalty, trust, temperature, rows)
    assert best is not None, "there is a penalty to try"
    fitted = best[1]
    if before is None or len(drawn) < 2:
        return fitted
    folds = rng.permutation(len(drawn)) % min(FOLDS, len(drawn))
    drawn_first = np.roll(np.arange(len(points)), len(drawn))
    held_out = held_out_logits(
        _by_penalty(fitted.penalty, base),
        points[drawn_first],
        targets[drawn_first],
        np.ones(len(points)),
        folds,
    )
    return replace(fitted, of_drawn=held_out / fitted.temperature)


def soften(logits: Array, temperature: float) -> Array:
    """Turn log-odds into probabilities that are softened at a temperature."""
    return sigmoid(np.asarray(logits) / temperature)


def unsoften_labels(soft_labels: Array, temperature: float) -> Array:
    """Return the probabilities that were softened at a temperature. [rows, labels]"""
    return sigmoid(log_odds(soft_labels) * temperature)


def correct_labels(soft_labels: Array, logits: Array, temperature: float) -> Correction:
    """Let classifiers correct the ensemble out of fold, as `cross_fitting.correct` does.

    Args:
        soft_labels: the ensemble's, softened at `temperature`. [rows, labels]
        logits: of the classifiers, out of fold. [rows, labels]
    """
    known = unsoften_labels(soft_labels, temperature)
    kept = label_retention(known, logits)
    share = share_of(kept)
    if not share:
        return Correction(np.asarray(soft_labels, np.float32), kept, share)
    mixed = (1 - share) * log_odds(known) + share * _likeliest(logits, known)
    soft = soften(_likeliest(mixed, known), temperature)
    return Correction(soft.astype(np.float32), kept, share)


def _likeliest(logits: Array, targets: Array) -> Array:
    """Return logits at the temperature and offsets under which the targets are likeliest."""
    from scipy.optimize import minimize  # a second, which few commands need

    points = np.asarray(logits, np.float64)

    def loss(values: Array) -> tuple[float, Array]:
        scaled = points * np.exp(-values[0])
        odds = scaled + values[1:]
        wrong = (sigmoid(odds) - targets) / targets.size
        value = (np.logaddexp(0, odds) - targets * odds).mean()
        return float(value), np.append(-(wrong * scaled).sum(), wrong.sum(axis=0))

    start = np.zeros(1 + points.shape[1])
    bounds = [(np.log(0.05), np.log(50.0)), *[(None, None)] * points.shape[1]]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return points * np.exp(-found[0]) + found[1:]
