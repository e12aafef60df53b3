"""Who takes part in a run: members, generation by generation, their teachers, held-out rows."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pet.config import MOST_GENERATIONS, RunConfig
from pet.data.labeled import LabeledSet
from pet.ensemble.members import Member, member_seed, untrained_members
from pet.method.ensembling import folds_of
from pet.method.ipet import choose_teachers, count_generations, generation_quotas
from pet.method.outcomes import Outcome, Truth, outcome_of
from pet.method.several_labels import kind_shares
from pet.storage.units import derive_seed
from pet.tasks.task import Task

FIRST_ROWS_PER_LABEL = 10  # of the first generation without labels

# Candidates per label of that generation: what the authors run zero-shot iPET with
# (`--ipet_n_most_likely 100`).
MOST_LIKELY = 100

GROWTH_GOAL = 1000  # rows at which `generations=paper` stops growing: section 4 of the paper

ENOUGH = 5  # labeled rows from which anything is concluded

# Labeled rows from which generation 0 is trained, however many labels share them. Of 20 labels
# (20 Newsgroups, BERT-tiny, one set each) an untrained start led to an ensemble of .43 with 60
# rows, .43 with 80 and .46 with 100; one that is trained at once to .43, .48 and .49.
MANY_ROWS = 80

HELD_OUT_LINES = 4  # at most: of 1 / out_of_bag folds, by default 4, one a line

LINES_AFTER_UNTRAINED = 2  # each of them holds out every labeled row


@dataclass(frozen=True)
class Lineup:
    """Members of a run, planned once, after the untrained models have scored the labeled rows.

    A held-out member is a pattern's model that does not learn from some labeled rows, so that its
    predictions of them are out of fold. Those of later generations form lines: each is taught by
    the one before it in its line alone, and holds out the same rows, so that none has learned of
    these rows from a teacher either.

    Attributes:
        untrained: the pretrained model under every pattern.
        generations: members by generation, in the order of the task file, then the encoder member.
            Where patterns are not trained yet, or never, they are the untrained ones.
        trains_at_once: whether generation 0 is trained on the labeled rows.
        held_out: held-out members by generation.
        teaching: those of them that may teach the next generation.
        teachers: of every member, held-out ones too, of a generation after the first.
        held_out_rows: labeled rows that a held-out member does not learn from. [rows]
        fingerprints: of every member above.
    """

    untrained: tuple[Member, ...]
    generations: tuple[tuple[Member, ...], ...]
    trains_at_once: bool
    held_out: tuple[tuple[Member, ...], ...]
    teaching: tuple[tuple[Member, ...], ...]
    teachers: Mapping[Member, tuple[Member, ...]]
    held_out_rows: Mapping[Member, NDArray[np.int64]]
    fingerprints: Mapping[Member, str] = field(default_factory=dict)

    @property
    def first(self) -> tuple[Member, ...]:
        """The members of generation 0."""
        return self.generations[0]

    def before(self, member: Member) -> tuple[Member, ...]:
        """Return the generation from which a member's teachers are chosen."""
        assert member.generation, "generation 0 has no teachers"
        return self.generations[member.generation - 1]

    def adds_encoder(self, members: Sequence[Member]) -> bool:
        """Return whether members are the first generation, and a later encoder member beside it."""
        return tuple(members[:-1]) == self.first and members[-1].kind == "encoder"

    def held_out_for(self, member: Member) -> Member | None:
        """Return the held-out member beside a member, if there is one."""
        held_out = replace(member, kind="held-out")
        known = member.generation is not None and held_out in self.held_out[member.generation]
        return held_out if known else None

    def is_kept(self, member: Member) -> bool:
        """Return whether a member's weights are kept: it is a member, or teaches one."""
        return member.kind != "held-out" or member in self.teaching[member.generation or 0]


def plan_members(
    config: RunConfig,
    task: Task,
    labeled: LabeledSet,
    zero_shot: NDArray[np.floating] | None,
    rows: int,
) -> Lineup:
    """Plan the members of a run.

    Args:
        zero_shot: logits of the labeled rows by the untrained members; None where there are no
            such rows, or before they were scored. [patterns, rows, labels]
        rows: unlabeled rows to learn from.
    """
    at_once = trains_at_once(config, task, labeled, zero_shot)
    count = generations_of(config, task, labeled, rows)
    untrained = tuple(untrained_members(task))
    generations = tuple(
        _generation(config, task, labeled, number, at_once) for number in range(count + 1)
    )
    lines = _Lines(config, task, labeled, at_once)
    first = [replace(m, kind="held-out") for m in generations[0] if _is_trained_pattern(m)]
    held_out = [tuple(member for member in first if len(lines.rows_of_first(member)))]
    held_out += [lines.later(number) for number in range(1, count + 1)]
    most = generations_of(config, task, labeled, sys.maxsize)  # whatever the pool will allow
    teaching = [
        lines.members(number)
        if number < most and (number or at_once) and lines.later(number + 1)
        else ()
        for number in range(count + 1)
    ]
    teachers = {
        member: _teachers_of(config, member, generations[number - 1], lines)
        for number in range(1, count + 1)
        for member in (*generations[number], *held_out[number])
        if member.generation
    }
    everyone = dict.fromkeys(member for own in (*held_out, *teaching) for member in own)
    return Lineup(
        untrained,
        generations,
        at_once,
        tuple(held_out),
        tuple(teaching),
        teachers,
        {member: lines.rows_of(member) for member in everyone},
    )


def _generation(
    config: RunConfig, task: Task, labeled: LabeledSet, number: int, at_once: bool
) -> tuple[Member, ...]:
    """List a generation: the encoder member begins with the first one that has labels.

    Where patterns never learn, the first encoder member stays beside each later one. Those learn
    what the generation before predicts, patterns included: with the patterns once more beside
    them alone, what the labeled rows have taught counted for half as much in every generation
    (news, 10 labels, three labeled sets: from .81 to .71 in three generations, now to .85).
    """
    members = untrained_members(task)
    trained = config.member.steps and (number or at_once)
    if trained:
        repetitions = range(config.repetitions)
        members = [Member(p.name, own, number) for p in task.patterns for own in repetitions]
    if config.encoder is not None and len(labeled) and number and not trained:
        members.append(Member("", 0, 0, "encoder"))
    if config.encoder is not None and (number or len(labeled)):
        members.append(Member("", 0, number, "encoder"))
    return tuple(members)


def _is_trained_pattern(member: Member) -> bool:
    return member.kind == "pattern" and member.generation is not None


def trains_at_once(
    config: RunConfig, task: Task, labeled: LabeledSet, zero_shot: NDArray[np.floating] | None
) -> bool:
    """Return whether generation 0 is trained on the labeled set, or stays untrained.

    A handful of rows teaches a small model less about the task than it makes it forget: such a
    run starts with untrained members, and learns from the labeled rows beside the drawn ones.
    But not where they know next to nothing of these labels. On Reuters R8, of which half is one
    label, BERT-tiny's patterns were right about 8 of 50 labeled rows; untrained they led to an
    ensemble of .79, trained at once to one of .87.
    """
    if not has_few_labels(config, task, labeled):
        return True
    if zero_shot is None:
        return False
    outcome = outcome_of(task.labels_per_text)
    together = outcome.combine(zero_shot, [1.0] * len(zero_shot))
    return not are_informative(outcome, labeled.labels, together)


def has_few_labels(config: RunConfig, task: Task, labeled: LabeledSet) -> bool:
    """Return whether the labeled rows are too few to train on at once, or all alike.

    Too few are fewer than `train_from` for every label, and than `MANY_ROWS` in all.
    """
    rows = len(labeled)
    if not rows or not config.train_from:
        return not rows
    enough = min(config.train_from * len(task.labels), MANY_ROWS)
    return rows < enough or are_alike(labeled.labels)


def unused_labels(
    config: RunConfig, labels: Truth, members: Sequence[Member], later: bool = False
) -> str:
    """Say why no member of an ensemble learns from the labeled rows, and what to set; or nothing.

    Args:
        labels: of the labeled rows. [rows]
        members: the ensemble.
        later: whether there was a later generation, which was discarded.
    """
    if not len(labels) or any(member.generation is not None for member in members):
        return ""
    if config.base == "joint":  # the model that all untrained members ask learns from them
        return ""
    what = f"no model learns from the {len(labels):,} labeled rows"
    if not config.member.steps:
        return (
            f"{what}: member.steps=0 trains no pattern; set member.steps=150 or joint.steps=20, or "
            "give a sentence encoder (--encoder), which learns from them"
        )
    if are_alike(labels):
        return f"{what}: all have one label; add rows of other labels"
    few = f"they are fewer than train_from={config.train_from:g} per label"
    if later:
        return f"{what}: {few}, and generation 1 was discarded; --set train_from=0 trains on them"
    return f"{what}: {few}, and generations=0; --set train_from=0 trains on them"


def are_informative(outcome: Outcome, truth: Truth, scores: NDArray[np.floating]) -> bool:
    """Return whether as many predictions are right as the commonest label would be.

    Of a few rows, and of rows of one label alone, which the commonest label is right about, nothing
    is concluded.
    """
    return len(truth) < ENOUGH or are_alike(truth) or outcome.is_informative(truth, scores)


def are_alike(labels: Truth) -> bool:
    """Return whether all rows have the same labels, so that nothing sets them apart from others."""
    return len(np.unique(labels, axis=0)) < 2


def generations_of(config: RunConfig, task: Task, labeled: LabeledSet, rows: int) -> int:
    """How many generations follow the first: none after one that has the whole pool.

    Args:
        rows: how many unlabeled rows there are to learn from.
    """
    if not config.member.steps and config.encoder is None:
        return 0  # nobody would learn anything
    if config.generations == "paper":
        of_paper = count_generations(
            len(labeled), config.growth_factor, GROWTH_GOAL, first_rows(config, task)
        )
        wanted = min(of_paper, MOST_GENERATIONS)
    else:
        wanted = config.generations
    sizes = [quotas_of(config, task, labeled, number).sum() for number in range(1, wanted)]
    return min(wanted, 1 + sum(int(size) < rows for size in sizes))


def quotas_of(
    config: RunConfig, task: Task, labeled: LabeledSet, generation: int
) -> NDArray[np.int64]:
    """How many rows of each label the members of a generation after the first draw. [labels]

    Where a text may have several labels, rows are counted by their rarest one, and at the end
    those that have none; without labeled rows, so many as the task's shares say. [labels + 1]
    """
    first = first_rows(config, task)
    if task.several and task.shares and not len(labeled):
        wanted = first * config.growth_factor ** (generation - 1) * kind_shares(task.shares)
        return np.maximum(np.round(wanted), 1).astype(np.int64)
    strata = outcome_of(task.labels_per_text).strata(labeled.labels)
    kinds = len(task.labels) + task.several
    counts = np.bincount(strata, minlength=kinds)
    quotas = generation_quotas(counts.tolist(), generation, config.growth_factor, first)
    if task.several and not counts[-1]:
        quotas[-1] = 0  # no labeled row shows that a text may have none
    return quotas


def first_rows(config: RunConfig, task: Task) -> int:
    """How many rows generation 1 draws where there are no labeled rows."""
    return config.first_rows or FIRST_ROWS_PER_LABEL * len(task.labels)


class _Lines:
    """Held-out members in lines through the generations; a line goes from pattern to pattern."""

    def __init__(self, config: RunConfig, task: Task, labeled: LabeledSet, at_once: bool):
        self._config = config
        self._patterns = [pattern.name for pattern in task.patterns]
        self._labels = outcome_of(task.labels_per_text).strata(labeled.labels)
        self._words_are_seen = bool(len(task.rows_of_words(labeled.columns)))
        self._at_once = at_once
        self._folds = round(1 / config.out_of_bag) if config.out_of_bag else 0
        self._fold_of_row = self._deal()
        self._all = [
            Member(name, number, 0, "held-out")
            for number in range(config.repetitions)
            for name in self._patterns
        ]
        self._starts = self._first_places()[:HELD_OUT_LINES]

    def _deal(self) -> NDArray[np.int64]:
        """Deal labeled rows into folds, each label evenly; -1 for a row that is in none. [rows]

        Every pattern's held-out member holds out a fold, so that a few of them cover as many rows
        as there can be (cross-fitting). Members learn from all rows: what they would lose by
        holding some out is more than the estimate is worth.
        """
        dealt = np.full(len(self._labels), -1)
        if not self._folds or not len(dealt):
            return dealt
        share = np.bincount(self._labels)[self._labels] / self._folds
        several = share > 0.5  # a label's only row is needed to learn it
        rng = np.random.default_rng(derive_seed(self._config.seed, "left out"))
        dealt[several] = folds_of(self._labels[several], self._folds, rng)
        return dealt

    def _first_places(self) -> list[int]:
        """Where in `_all` the lines start: one a fold, since more would hold out the same rows."""
        if not self._at_once:
            return list(range(len(self._all)))[:LINES_AFTER_UNTRAINED]
        if not self._folds:
            return []
        _, first = np.unique([self._fold(member) for member in self._all], return_index=True)
        # A line that holds nothing out is taught every row: its predictions are not out of fold.
        return [place for place in np.sort(first) if len(self.rows_of_first(self._all[place]))]

    def _fold(self, member: Member) -> int:
        """The fold that a held-out member of generation 0 holds out: the next pattern's is next."""
        return (self._patterns.index(member.pattern) + member.repetition) % self._folds

    def rows_of_first(self, member: Member) -> NDArray[np.int64]:
        """Return the labeled rows that a held-out member of generation 0 holds out. [rows]"""
        if not self._at_once:
            return np.arange(len(self._labels))
        if not self._folds:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(self._fold_of_row == self._fold(member))

    def rows_of(self, member: Member) -> NDArray[np.int64]:
        """Return the labeled rows that a held-out member of any generation holds out. [rows]"""
        return self.rows_of_first(self.ancestor(member, 0) if member.generation else member)

    def members(self, generation: int) -> tuple[Member, ...]:
        """List each line's member of a generation."""
        places = [(start + generation) % len(self._all) for start in self._starts]
        return tuple(replace(self._all[place], generation=generation) for place in places)

    def later(self, generation: int) -> tuple[Member, ...]:
        """List the held-out members of a later generation; none where they would cover too little.

        With an encoder there are none: it would need its own, too, since what a part of an ensemble
        predicts is no measure of the whole. Nor where untrained members ask for words that the
        labeled rows have suggested: as teachers they hand on what these say.
        """
        config = self._config
        if not config.out_of_bag or not config.member.steps or config.encoder is not None:
            return ()
        if self._words_are_seen and not self._at_once:
            return ()
        covered = {int(row) for member in self.members(0) for row in self.rows_of_first(member)}
        return self.members(generation) if len(covered) >= ENOUGH else ()

    def ancestor(self, member: Member, generation: int) -> Member:
        """Return the member of the same line in an earlier generation."""
        assert member.generation is not None, "a held-out member was trained"
        line = self.members(member.generation).index(member)
        return self.members(generation)[line]


def _teachers_of(
    config: RunConfig, member: Member, candidates: Sequence[Member], lines: _Lines
) -> tuple[Member, ...]:
    """Choose, by the member's own seed, who of the generation before teaches it.

    All of them teach the encoder member, its own former self too: the patterns that it is not
    like are few, and may be weaker than it is. The one before it in its line teaches a held-out
    member.
    """
    if member.kind == "held-out" and candidates[0].generation is not None:
        return (lines.ancestor(member, candidates[0].generation),)
    if member.kind == "encoder":
        return tuple(candidates)
    own = [place for place, other in enumerate(candidates) if other.pattern == member.pattern]
    place = own[min(member.repetition, len(own) - 1)] if own else None
    rng = np.random.default_rng(member_seed(config, "teachers", member))
    chosen = choose_teachers(place, len(candidates), rng, config.teacher_share)
    return tuple(candidates[index] for index in chosen)
