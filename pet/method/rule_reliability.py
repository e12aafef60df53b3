"""How often rules are right, and what they add to others' scores. Numpy in, numpy out.

A rule speaks for one label, or abstains. What it adds is the least that makes the label as likely,
on average over the pool texts in which it fires, as the rule is expected to be right: a constraint
on a mean of posteriors (Ganchev et al. 2010, posterior regularization; Mann and McCallum 2010,
generalized expectation). So it adds nothing where the others know already what it knows. Rules are
taken as independent of each other, as in the label model of data programming (Ratner et al. 2016,
arXiv 1605.07723): what two of them add in one text is summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pet.method.ensembling import Array

Fires = NDArray[np.bool_]  # [rows, rules]

# Before any row is seen: how often a rule that a person wrote is right, and how many rows that
# counts as; and what the members' agreement counts as. Chosen on validation rows of newsgroups
# (BERT-tiny, zero-shot: .677; with eight rules and 0 to 50 labeled rows .80 to .83 between 2 and 4
# rows of the first, and 2 and 20 of the second).
WRITTEN, WRITTEN_ROWS, AGREEMENT_ROWS = 0.9, 2.0, 5.0

CONFIRMED = 0.5  # kappa from which on members confirm a rule

MOST_SURE = 0.99  # no rule is believed to be right more often


@dataclass(frozen=True)
class Agreement:
    """How far members confirm rules. [rules] each; NaN where nothing is known.

    Attributes:
        share: how often a rule would be right if members were as right as they are sure: 1 where
            they agree with it as with themselves.
        kappa: the same with chance taken out, as in Cohen's kappa: 0 or less where they give its
            label no more than in other texts.
    """

    share: Array
    kappa: Array

    def lower(self, other: Agreement) -> Agreement:
        """Return the lower of two, rule by rule."""
        return Agreement(np.fmin(self.share, other.share), np.fmin(self.kappa, other.kappa))


def agreement_with(
    probabilities: Array, fires: Fires, labels: NDArray[np.int64], sure: Array
) -> Agreement:
    """Return how far members agree with rules where these fire.

    Their mean probability of a rule's label there is held against how sure they are of labels that
    they give. Nothing is known of a rule that never fires, and where they are no surer than chance.

    Args:
        probabilities: of the members together, on the pool. [rows, labels]
        labels: of the rules. [rules]
        sure: the members' mean probability of each label where they give it. [labels]
    """
    chance = probabilities.mean(axis=0)
    share, kappa = np.full((2, len(labels)), np.nan)
    for rule, label in enumerate(labels):
        own = probabilities[fires[:, rule], label]
        if len(own) and sure[label] > chance[label]:
            mean = float(own.mean())
            kappa[rule] = min((mean - chance[label]) / (sure[label] - chance[label]), 1.0)
            above = chance[label] + kappa[rule] * (1 - chance[label])
            share[rule] = above if kappa[rule] > 0 else mean
    return Agreement(share, kappa)


def expected_precision(
    right: NDArray[np.int64], fired: NDArray[np.int64], agreement: Agreement
) -> Array:
    """Return how often each rule is expected to be right where it fires. [rules]

    The mean of a Beta distribution: labeled rows are counted, beside `WRITTEN_ROWS` of which a
    written rule gets `WRITTEN` right, and `AGREEMENT_ROWS` of which it gets right what the other
    members confirm. That somebody wrote it counts in full only where they confirm it to `CONFIRMED`
    and more, and not at all where they do not: it kept bad rules alive that few labeled rows spoke
    against, and the more so the better members became.

    Args:
        right: labeled rows in which it fires that have its label. [rules]
        fired: labeled rows in which it fires. [rules]
        agreement: of the other members. [rules]
    """
    known = ~np.isnan(agreement.kappa)
    confirmed = np.where(known, agreement.share, 0.0)
    trust = np.where(known, np.clip(agreement.kappa / CONFIRMED, 0, 1), 1.0)
    hits = right + WRITTEN_ROWS * WRITTEN * trust + AGREEMENT_ROWS * confirmed
    return np.minimum(hits / (fired + WRITTEN_ROWS * trust + AGREEMENT_ROWS * known), MOST_SURE)


def added_log_odds(
    probabilities: Array, fires: Fires, labels: NDArray[np.int64], precisions: Array
) -> Array:
    """Return what each rule adds to its label's score where it fires, in nats; 0 or more. [rules]

    Args:
        probabilities: calibrated, of the other members on the pool. [rows, labels]
        labels: of the rules. [rules]
        precisions: how often each is expected to be right. [rules]
    """
    added = np.zeros(len(labels))
    for rule, label in enumerate(labels):
        own = probabilities[fires[:, rule], label]
        if len(own):
            added[rule] = max(0.0, _raise_to(own, precisions[rule]))
    return added


def _raise_to(probabilities: Array, wanted: float) -> float:
    """Find what to add to log-odds so that the mean probability is the one that is wanted."""
    odds = probabilities / np.maximum(1 - probabilities, 1e-12)
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        raised = odds * np.exp(middle)
        if float((raised / (1 + raised)).mean()) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def evidence(fires: Fires, labels: NDArray[np.int64], added: Sequence[float], count: int) -> Array:
    """Return what rules add to the scores of rows, zero where none fires. [rows, labels]

    Args:
        labels: of the rules. [rules]
        added: by each rule. [rules]
        count: labels of the task.
    """
    return fires @ (np.eye(count)[labels] * np.asarray(added)[:, None])


@dataclass(frozen=True)
class Firing:
    """Where a rule fires, as shares of all rows (as in Snorkel's analysis of labeling functions).

    Attributes:
        coverage: it fires.
        overlap: it fires, and another rule too.
        conflict: it fires, and another rule of another label too; none where a text may have
            both labels.
    """

    coverage: float
    overlap: float
    conflict: float


def firing_of(fires: Fires, labels: NDArray[np.int64], *, several: bool = False) -> list[Firing]:
    """Measure how rules fire in some rows; of no rows, all is zero.

    Args:
        labels: of the rules. [rules]
        several: whether a text may have several labels.
    """
    rows, count = max(len(fires), 1), fires.sum(axis=1)
    found = []
    for rule, label in enumerate(labels):
        own = fires[:, rule]
        others = fires[:, labels != label].any(axis=1)
        shares = (own, own & (count > 1), own & others & (not several))
        found.append(Firing(*(round(float(share.sum()) / rows, 6) for share in shares)))
    return found
