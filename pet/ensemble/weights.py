"""The weights of members, and the calibration of their combined logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pet.ensemble.lineup import Lineup
from pet.ensemble.logits import read_logits
from pet.ensemble.members import Member, Way, folder_of, weighing_of
from pet.ensemble.predictions import (
    is_trained_jointly,
    out_of_fold_logits,
    pool_logits,
    retained_by,
    stacked_logits,
)
from pet.ensemble.rules import Source, added_by_rules, rows_fired, rule_scores
from pet.inputs.session import Session
from pet.method.calibration import TRAINED, UNTRAINED, Scaling
from pet.method.cross_fitting import share_of
from pet.method.outcomes import Truth
from pet.method.paired_tests import is_clearly_higher

# How many labeled rows the expected temperature of a later generation counts as much as: after an
# untrained start less is known of it. On validation rows 0.5 to 1.7 times the expected one was best
# there (10 labels), and 1.0 to 1.6 times after a trained start (50 labels).
AFTER_UNTRAINED, AFTER_TRAINED = 2.0, 4.0


COMPARED_ROWS = 8  # a label, from which an encoder is compared with patterns


def member_weights(
    session: Session,
    lineup: Lineup,
    members: Sequence[Member],
    among: Sequence[Member] | None = None,
    weighing: Way | None = None,
) -> list[float]:
    """Weigh members alike, by accuracy before training (section 3.3), or by agreement on the pool.

    With a table [weights] in the task file, patterns have these in the place of their accuracy. Of
    either, patterns and encoder are two groups, weighted by `group_weights`: patterns of one
    model err on the same texts, so their number means little.

    Args:
        among: the generation that they are of, where `members` are only some of it.
        weighing: another way than the run's.
    """
    weighing = weighing or weighing_of(session.config, session.task)
    if weighing == "agreement":
        everybody = list(among or members)
        weights = session.outcome.agreement_weights(pool_logits(session, everybody))
        return [weights[everybody.index(member)] for member in members]
    if weighing != "uniform" and lineup.adds_encoder(members):
        return _beside_first(session, lineup, members[-1], weighing)
    measured = weighing == "accuracy" and len(session.labeled) > 1  # one row is too few
    if not measured and weighing != "task":
        return [1.0] * len(members)
    patterns = [member for member in members if member.kind == "pattern"]
    of_pattern = dict(zip(patterns, _pattern_weights(session, patterns, weighing), strict=True))
    if not patterns or len(patterns) == len(members):
        return [of_pattern.get(member, 1.0) for member in members]
    groups = group_weights(session, lineup, weighing)
    total = sum(of_pattern.values())
    if not total:  # none was right about any row: they count alike, and the group as ever
        of_pattern, total = dict.fromkeys(patterns, 1.0), float(len(patterns))
    return [
        groups.encoder if member.kind == "encoder" else groups.patterns * of_pattern[member] / total
        for member in members
    ]


def _beside_first(session: Session, lineup: Lineup, member: Member, weighing: Way) -> list[float]:
    """Weigh generation 0, calibrated, and a later encoder member by how much of it that retains."""
    of_first = member_weights(session, lineup, lineup.first, weighing=weighing)
    # Without labeled rows, as its teachers' soft labels were.
    scaling = expected_scaling(session, lineup, lineup.first, of_first, guess=1.0)
    share = share_of(retained_by(session, member))
    unit = (1 - share) / sum(of_first) / scaling.temperature
    return [unit * weight for weight in of_first] + [share]


def _pattern_weights(session: Session, members: Sequence[Member], weighing: Way) -> list[float]:
    if weighing == "task":
        return [session.task.weights[member.pattern] for member in members]
    return [zero_shot_accuracy(session, member.pattern) for member in members]


@dataclass(frozen=True)
class GroupWeights:
    """What the patterns together, and the encoder member, are multiplied with."""

    patterns: float
    encoder: float


def group_weights(session: Session, lineup: Lineup, weighing: Way = "accuracy") -> GroupWeights:
    """Weigh patterns against encoder, by labeled rows that neither has learned from.

    Each is first calibrated, then the encoder's share is fitted. Only generation 0 has such rows:
    later encoder members have learned of them from their teachers.
    """
    found = _groups_out_of_fold(session, lineup, weighing)
    if found is None:
        return GroupWeights(0.5, 0.5)
    share = session.outcome.mix_share(found.scaling, found.patterns, found.encoder, found.labels)
    return GroupWeights((1 - share) / found.scaling.temperature, share)


@dataclass(frozen=True)
class _Groups:
    """Logits of the same labeled rows, out of fold, by the first generation's two groups.

    Attributes:
        scaling: what calibrates the patterns'.
        patterns, encoder: [rows, labels]
        labels: of these rows.
    """

    scaling: Scaling
    patterns: NDArray[np.floating]
    encoder: NDArray[np.floating]
    labels: Truth


def _groups_out_of_fold(session: Session, lineup: Lineup, weighing: Way) -> _Groups | None:
    first = lineup.first
    patterns = [member for member in first if member.kind == "pattern"]
    encoder = [member for member in first if member.kind == "encoder"]
    if not encoder:
        return None
    of_patterns = _pattern_weights(session, patterns, weighing)
    by_patterns = out_of_fold_logits(session, lineup, patterns, of_patterns)
    by_encoder = out_of_fold_logits(session, lineup, encoder, [1.0])
    if by_patterns is None or by_encoder is None:
        return None
    rows, mine, theirs = np.intersect1d(by_patterns[0], by_encoder[0], return_indices=True)
    labels = session.labeled.labels
    scaling = _scaling(session, patterns, by_patterns[1], labels[by_patterns[0]])
    return _Groups(scaling, by_patterns[1][mine], by_encoder[1][theirs], labels[rows])


def is_encoder_behind(session: Session, lineup: Lineup) -> bool:
    """Return whether patterns predict labeled rows clearly better than the first encoder member.

    Out of fold, by the log-loss. Then it cannot hand on what patterns know, however many rows they
    label for it. Of fewer than `COMPARED_ROWS` rows a label this is not known: an encoder that has
    learned from one row of each is behind everywhere.
    """
    outcome = session.outcome
    few = len(session.labeled) < COMPARED_ROWS * len(session.task.labels)
    if few or outcome.several:
        return False
    found = _groups_out_of_fold(session, lineup, weighing_of(session.config, session.task))
    if found is None:
        return False
    by_patterns = outcome.log_losses(found.scaling.probabilities(found.patterns), found.labels)
    by_encoder = outcome.log_losses(outcome.probabilities(found.encoder), found.labels)
    return is_clearly_higher(by_encoder, by_patterns)


def zero_shot_accuracy(session: Session, pattern: str) -> float:
    """Accuracy on the labeled set before any training: the weight of section 3.3."""
    path = (
        folder_of(session.folder, Member(pattern, generation=None)) / "logits" / "labeled.parquet"
    )
    return session.outcome.accuracy_weight(read_logits(path)[1], session.labeled.labels)


def ensemble_scaling(
    session: Session, lineup: Lineup, members: Sequence[Member], weights: Sequence[float]
) -> Scaling:
    """Return the scaling that calibrates the members' combined logits.

    It is fitted on out-of-fold predictions of labeled rows, by held-out members where there are
    any; where the task knows the labels' shares, its offsets give the pool these. Fitted on rows
    that were learned from, it made every ensemble and student overconfident.
    """
    expected = expected_scaling(session, lineup, members, weights)
    first = lineup.first
    found = (
        None
        if tuple(members) == lineup.first
        else out_of_fold_logits(session, lineup, members, weights)
    )
    if found is None:
        return expected
    rows, logits = found
    fitted = session.outcome.fit_scaling(
        logits,
        session.labeled.labels[rows],
        expected.temperature,
        AFTER_UNTRAINED if _untrained(first) else AFTER_TRAINED,
        offsets=False,
    )
    return _with_shares(session, members, weights, fitted)


def _with_shares(
    session: Session, members: Sequence[Member], weights: Sequence[float], scaling: Scaling
) -> Scaling:
    """Shift a scaling so that the unlabeled rows have the labels' shares, if they are known."""
    if (shares := session.task.shares) is None:
        return scaling
    combined = session.outcome.combine(pool_logits(session, members), weights)
    return scaling.matched(combined, shares)


@dataclass(frozen=True)
class Predicted:
    """What the ensemble predicts of rows with known labels.

    Attributes:
        rows: which of the set's rows these are. [rows]
        probabilities: calibrated. [rows, labels]
        unseen: whether nobody who predicts a row has learned from it.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.floating]
    unseen: bool


def predict_measured(
    session: Session,
    lineup: Lineup,
    members: Sequence[Member],
    source: Literal["labeled", "test"],
    *,
    with_rules: bool = True,
) -> Predicted:
    """Let members together, and the task's rules, predict the labeled or the test set.

    Labeled rows are predicted out of fold, as far as there are held-out rows. A rule has learned
    from none; how far it is believed is measured on them, as the members' weights are.
    """
    weights = member_weights(session, lineup, members)
    found = out_of_fold_logits(session, lineup, members, weights) if source == "labeled" else None
    if found is None:
        _, logits = stacked_logits(session, members, f"{source}.parquet")
        rows, combined = np.arange(logits.shape[1]), session.outcome.combine(logits, weights)
    else:
        rows, combined = found
    scaling = ensemble_scaling(session, lineup, members, weights)
    scores = scaling.of(combined)
    if with_rules and session.task.rules:
        added = added_by_rules(session, scaled_pool(session, members, weights, scaling))
        scores += rule_scores(session.task, rows_fired(session, source)[rows], added)
    probabilities = session.outcome.probabilities(scores)
    return Predicted(rows, probabilities, source == "test" or found is not None)


def expected_scaling(
    session: Session,
    lineup: Lineup,
    members: Sequence[Member],
    weights: Sequence[float],
    *,
    guess: float = UNTRAINED,
) -> Scaling:
    """Return the scaling that is expected of members without out-of-fold predictions.

    The first generation is scaled as labeled rows demand, or as is expected of its kind. Later ones
    are not scaled, or as the first where an encoder member stands beside it; but they are never
    less confident on the pool than the first was. Members that learn soft labels of others
    would become less confident with every generation, while they become better. With `out_of_bag`
    0 nothing is scaled. Where the task knows the labels' shares, the pool is given these.

    Args:
        guess: the temperature of an untrained first generation without labeled rows.
    """
    if not session.config.out_of_bag:
        found = session.outcome.plain_scaling(1.0, len(session.task.labels))
    elif tuple(members) == lineup.first:
        found = _scaling_of_first(session, lineup, weights, guess)
    else:
        found = _scaling_of_later(session, lineup, members, weights, guess)
    return _with_shares(session, members, weights, found)


def _scaling_of_first(
    session: Session, lineup: Lineup, weights: Sequence[float], guess: float
) -> Scaling:
    """Return the scaling of generation 0: as labeled rows demand, or as is expected of its kind."""
    members = lineup.first
    found = out_of_fold_logits(session, lineup, members, weights)
    if found is None:
        expected = guess if _untrained(members) else TRAINED
        return session.outcome.plain_scaling(expected, len(session.task.labels))
    rows, logits = found
    added = _offsets_of_patterns(session, lineup, weights)
    scaling = _scaling(session, members, logits + added, session.labeled.labels[rows])
    return scaling.shifted(added) if added.any() else scaling


def _scaling_of_later(
    session: Session,
    lineup: Lineup,
    members: Sequence[Member],
    weights: Sequence[float],
    guess: float,
) -> Scaling:
    """Return the scaling of a later generation: never less confident than generation 0 was."""
    outcome, labels, first = session.outcome, len(session.task.labels), lineup.first
    of_first = member_weights(session, lineup, first)
    at_first = expected_scaling(session, lineup, first, of_first, guess=guess)
    before = at_first.probabilities(outcome.combine(pool_logits(session, first), of_first))
    now = outcome.combine(pool_logits(session, members), weights)
    if not lineup.adds_encoder(members):
        return outcome.as_confident_as(outcome.plain_scaling(1.0, labels), now, before)
    if outcome.several:
        return outcome.as_confident_as(at_first, now, before)
    # The part of generation 0 keeps its offsets.
    share = sum(weights[:-1]) / sum(weights)
    added = share * at_first.temperature * np.asarray(at_first.offsets)
    usual = outcome.plain_scaling(at_first.temperature, labels)
    return outcome.as_confident_as(usual, now + added, before).shifted(added)


def _offsets_of_patterns(
    session: Session, lineup: Lineup, weights: Sequence[float]
) -> NDArray[np.float64]:
    """Return what untrained patterns' own offsets add to generation 0's combined logits. [labels]

    Beside an encoder member, which learns how common each label is.
    """
    members = lineup.first
    patterns = [member for member in members if member.kind == "pattern"]
    nothing = np.zeros(len(session.task.labels))
    mixed = 0 < len(patterns) < len(members)
    if session.outcome.several or not mixed or not _untrained(members):
        return nothing
    own = [weight for member, weight in zip(members, weights, strict=True) if member in patterns]
    found = out_of_fold_logits(session, lineup, patterns, own)
    if found is None or not sum(own):
        return nothing
    scaling = _scaling(session, patterns, found[1], session.labeled.labels[found[0]])
    return sum(own) / sum(weights) * scaling.temperature * np.asarray(scaling.offsets)


def _scaling(
    session: Session, members: Sequence[Member], logits: NDArray[np.floating], labels: Truth
) -> Scaling:
    """Fit temperature and offsets; for trained members a temperature alone.

    Training makes a member and its held-out member about equally overconfident; which label each
    prefers is chance. So it is of a teacher that was trained jointly: with offsets of those who
    were trained without a fold, patterns were right in .818 of a set of films, without in .848.
    """
    expected = UNTRAINED if _untrained(members) else TRAINED
    several = session.outcome.several  # of several labels a text nobody has measured it
    zero_shot = _untrained(members) and (several or not is_trained_jointly(session))
    return session.outcome.fit_scaling(logits, labels, expected, offsets=zero_shot)


def _untrained(members: Sequence[Member]) -> bool:
    """Whether no pattern has learned anything; the encoder member may have."""
    return all(m.kind == "encoder" or m.generation is None for m in members)


def scaled_pool(
    session: Session, members: Sequence[Member], weights: Sequence[float], scaling: Scaling
) -> NDArray[np.floating]:
    """Return the members' combined and scaled logits of the unlabeled rows. [rows, labels]"""
    return scaling.of(session.outcome.combine(pool_logits(session, members), weights))


def ensemble_scores(
    session: Session,
    lineup: Lineup,
    members: Sequence[Member],
    logits: NDArray[np.floating],
    source: Source = "pool",
) -> tuple[NDArray[np.floating], Scaling]:
    """Return the members' combined logits, weighted, calibrated, with rules; and the scaling.

    Args:
        logits: of each. [members, rows, labels]
        source: whose rows these are.

    Returns:
        [rows, labels], and what calibrates them.
    """
    weights = member_weights(session, lineup, members)
    scaling = expected_scaling(session, lineup, members, weights)
    scores = scaling.of(session.outcome.combine(logits, weights))
    if not session.task.rules:
        return scores, scaling
    of_pool = scores if source == "pool" else scaled_pool(session, members, weights, scaling)
    added = added_by_rules(session, of_pool)
    return scores + rule_scores(session.task, rows_fired(session, source), added), scaling


def teacher_probabilities(session: Session, lineup: Lineup, member: Member) -> NDArray[np.floating]:
    """Return the probabilities that a member's teachers give to every unlabeled row. [rows, labels]

    Rules have a say, too: of what held-out members learn from, without what the labeled rows tell
    of them. Without labeled rows to calibrate on, they are not scaled. Made as confident as is
    likely, they handed their errors on: without labels, an ensemble on topics ended at .69 where it
    had come to .84 (validation rows).

    Raises:
        PetError: scores are missing.
    """
    teachers, everybody = lineup.teachers[member], lineup.before(member)
    scaling = expected_scaling(
        session, lineup, everybody, member_weights(session, lineup, everybody), guess=1.0
    )
    if member.kind == "held-out":  # weights and offsets depend on labels that it holds out
        weights = [1.0] * len(teachers)
        scaling = session.outcome.plain_scaling(scaling.temperature, len(session.task.labels))
    else:
        weights = member_weights(session, lineup, teachers, among=everybody)
    scores = scaled_pool(session, teachers, weights, scaling)
    if session.task.rules:
        added = added_by_rules(session, scores, blind=member.kind == "held-out")
        scores += rule_scores(session.task, rows_fired(session, "pool"), added)
    return session.outcome.probabilities(scores)
