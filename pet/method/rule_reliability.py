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

from pet.method.ensembling import Array, softmax

Fires = NDArray[np.bool_]  # [rows, rules]

# Before any row is seen: how often a rule that a person wrote is right, and how many rows that
# counts as; and what the members' agreement counts as. Chosen on validation rows of newsgroups
# (BERT-tiny, zero-shot: .677; with eight rules and 0 to 50 labeled rows .80 to .83 between 2 and 4
# rows of the first, and 2 and 20 of the second).
WRITTEN, WRITTEN_ROWS, AGREEMENT_ROWS = 0.9, 2.0, 5.0

MOST_SURE = 0.99  # no rule is believed to be right more often


def agreement_with(probabilities: Array, fires: Fires, labels: NDArray[np.int64]) -> Array:
    """Return how often a rule would be right if members were as right as they are sure.

    Their mean probability of its label where it fires, chance taken out (as in Cohen's kappa) and
    held against how sure they are of the labels they choose: 1 where they agree with it as with
    themselves. NaN for a rule that never fires, and where they are no surer than chance. [rules]

    Args:
        probabilities: of the members together, on the pool. [rows, labels]
        labels: of the rules. [rules]
    """
    chance = probabilities.mean(axis=0)[labels]
    sure = float(probabilities.max(axis=1).mean())
    found = np.full(len(labels), np.nan)
    for rule, label in enumerate(labels):
        own = probabilities[fires[:, rule], label]
        if len(own) and sure > chance[rule]:
            kappa = (float(own.mean()) - chance[rule]) / (sure - chance[rule])
            found[rule] = chance[rule] + np.clip(kappa, 0.0, 1.0) * (1 - chance[rule])
    return found


def expected_precision(
    right: NDArray[np.int64], fired: NDArray[np.int64], agreement: Array
) -> Array:
    """Return how often each rule is expected to be right where it fires. [rules]

    The mean of a Beta distribution: labeled rows are counted, beside `WRITTEN_ROWS` of which a
    written rule gets `WRITTEN` right, and `AGREEMENT_ROWS` of which it gets right what the other
    members confirm.

    Args:
        right: labeled rows in which it fires that have its label. [rules]
        fired: labeled rows in which it fires. [rules]
        agreement: see `agreement_with`; NaN where nothing is known. [rules]
    """
    known = ~np.isnan(agreement)
    confirmed = np.where(known, agreement, 0.0)
    hits = right + WRITTEN_ROWS * WRITTEN + AGREEMENT_ROWS * confirmed
    return np.minimum(hits / (fired + WRITTEN_ROWS + AGREEMENT_ROWS * known), MOST_SURE)


def added_log_odds(
    logits: Array, fires: Fires, labels: NDArray[np.int64], precisions: Array
) -> Array:
    """Return what each rule adds to its label's score where it fires, in nats; 0 or more. [rules]

    Args:
        logits: calibrated, of the other members on the pool. [rows, labels]
        labels: of the rules. [rules]
        precisions: how often each is expected to be right. [rules]
    """
    probabilities = softmax(logits)
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
        conflict: it fires, and another rule of another label too.
    """

    coverage: float
    overlap: float
    conflict: float


def firing_of(fires: Fires, labels: NDArray[np.int64]) -> list[Firing]:
    """Measure how rules fire in some rows; of no rows, all is zero."""
    rows, count = max(len(fires), 1), fires.sum(axis=1)
    found = []
    for rule, label in enumerate(labels):
        own = fires[:, rule]
        others = fires[:, labels != label].any(axis=1)
        shares = (own, own & (count > 1), own & others)
        found.append(Firing(*(round(float(share.sum()) / rows, 6) for share in shares)))
    return found
