"""What the labels of a text can be: one of them, or any number. The one place where that differs.

Scores become probabilities, labels and figures through an `Outcome`: with one label a text the
probabilities of all labels sum up to one (softmax) and the likeliest is given; with any number each
label has a probability of its own, and is given from a threshold of its own on. Numpy in, numpy
out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pet.method import label_metrics as of_sets
from pet.method import several_labels as several
from pet.method.calibration import (
    Scaling,
    calibration_offset,
    fit_scaling,
    fit_share,
    fit_temperature,
    likeliest_temperature,
    search_temperature,
)
from pet.method.cross_fitting import Correction, correct, unsoften
from pet.method.ensembling import Array, agreement, agreement_weights, combine, entropy, softmax
from pet.method.ipet import Draw, Growth, draw_rows, measure_growth, retention
from pet.method.linear_head import (
    Chosen,
    Fitted,
    LinearHead,
    fit_calibrated,
    fit_head,
    fit_to_teachers,
)
from pet.method.metrics import (
    above,
    beats_commonest,
    confusion_matrix,
    coverage_curve,
    metrics,
    reliability,
)
from pet.method.paired_tests import better_by

# Known labels, or predicted ones: an index each [rows], or whether a row has each [rows, labels].
Truth = NDArray[Any]

LOWEST_TEMPERATURE = 0.02  # that logits are divided by, which a penalty made small

INFORMATIVE_AREA = 0.6  # area under the curve from which untrained models know several labels


class Outcome(ABC):
    """What a text's labels can be, and how scores are read, learned from and measured then."""

    several: ClassVar[bool]

    def fitted(self, probabilities: Array) -> Outcome:
        """Return the outcome that decides by thresholds fitted to a pool's probabilities."""
        return self

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The probability from which on each label is given; none where the likeliest is."""
        return ()

    # Known labels

    @abstractmethod
    def targets(self, truth: Truth, labels: int) -> NDArray[np.float32]:
        """Put all probability on the known labels. [rows, labels]"""

    @abstractmethod
    def counts(self, truth: Truth, labels: int) -> NDArray[np.int64]:
        """Count the rows of each label. [labels]"""

    @abstractmethod
    def strata(self, truth: Truth) -> NDArray[np.int64]:
        """Return the kind of every row, by which rows are dealt out and drawn evenly. [rows]"""

    @abstractmethod
    def kinds(self, probabilities: Array) -> NDArray[np.int64]:
        """Return the kind that every row is predicted to be of, as `strata` numbers them. [rows]"""

    @abstractmethod
    def is_informative(self, truth: Truth, scores: Array) -> bool:
        """Return whether scores of labeled rows tell more than the labels' shares do."""

    # Scores of members

    @abstractmethod
    def prior_offset(
        self, scores: Array, prior: str, shares: Sequence[float] | None = None
    ) -> Array:
        """Return what to add to a pattern's scores to take out the labels' prior. [labels]

        Args:
            scores: of texts that carry no sign of a label. [rows, labels]
            shares: of the labels, where they are known. [labels]
        """

    @abstractmethod
    def combine(
        self, logits: Array, weights: Sequence[float], mask: NDArray[np.bool_] | None = None
    ) -> Array:
        """Return the weighted mean of members' scores; for the arguments see `combine`."""

    @abstractmethod
    def of_member(self, logits: Array) -> Array:
        """Return probabilities by one member's scores as they are. [rows, labels]"""

    @abstractmethod
    def accuracy_weight(self, logits: Array, truth: Truth) -> float:
        """Return how much a pattern counts that scores labeled rows so. [rows, labels]"""

    @abstractmethod
    def agreement_weights(self, logits: Array) -> list[float]:
        """Weigh each member by its agreement with the others. logits: [members, rows, labels]"""

    @abstractmethod
    def votes(self, logits: Array, scaling: Scaling) -> Truth:
        """Return the labels by each member alone. logits: [members, rows, labels]"""

    @abstractmethod
    def agreement(self, votes: Truth, chosen: Truth) -> Array:
        """Return how far the members' labels are these. [rows]"""

    # Calibration

    @abstractmethod
    def plain_scaling(self, temperature: float, labels: int) -> Scaling:
        """Return the scaling by one temperature."""

    @abstractmethod
    def fit_scaling(
        self,
        logits: Array,
        truth: Truth,
        expected: float,
        prior_strength: float = 4.0,
        *,
        offsets: bool = True,
    ) -> Scaling:
        """Fit the scaling under which the labels are likeliest.

        Args:
            offsets: with an offset a label; else, with one label a text, by temperature alone.
        """

    @abstractmethod
    def as_confident_as(self, scaling: Scaling, logits: Array, before: Array) -> Scaling:
        """Make members no less sure of the pool than probabilities of before were."""

    @abstractmethod
    def mix_share(self, scaling: Scaling, patterns: Array, encoder: Array, truth: Truth) -> float:
        """Return the encoder's share beside patterns that are calibrated by the scaling."""

    # Probabilities

    @abstractmethod
    def has(self, truth: Truth, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether rows have some labels, by their places. [rows, len(labels)]"""

    @abstractmethod
    def mean_confidence(self, probabilities: Array) -> Array:
        """Return the mean probability of each label in rows that are given it. [labels]"""

    @abstractmethod
    def probabilities(self, logits: Array, temperature: float = 1.0) -> Array:
        """Turn logits into probabilities, at a temperature. [..., labels]"""

    @abstractmethod
    def unsoften(self, soft_labels: Array, temperature: float) -> Array:
        """Return the probabilities that were softened at a temperature. [rows, labels]"""

    @abstractmethod
    def temperature_of(self, logits: Array, targets: Array) -> float:
        """Return what logits are to be divided by, so that target probabilities are likeliest.

        Args:
            logits, targets: [rows, labels]
        """

    @abstractmethod
    def choose(self, probabilities: Array) -> Truth:
        """Return the labels that are given. [rows] or [rows, labels]"""

    @abstractmethod
    def confidence(self, probabilities: Array, chosen: Truth) -> Array:
        """Return the probability that the labels that are given are right. [rows]"""

    @abstractmethod
    def entropy(self, probabilities: Array) -> Array:
        """Return the entropy of each row in nats. [rows]"""

    # Learning

    @abstractmethod
    def fit_head(self, embeddings: Any, targets: Array, penalty: float) -> LinearHead:
        """Fit a linear classifier to soft targets; its logits are the labels' own."""

    @abstractmethod
    def fit_encoder(
        self,
        embeddings: Array,
        truth: Truth,
        drawn: Array,
        drawn_targets: Array,
        rng: np.random.Generator,
        before: Chosen | None,
    ) -> Fitted:
        """Fit the encoder member's head; for the arguments see `fit_calibrated`.

        Args:
            before: what the first encoder member has chosen, where the teachers have learned the
                labeled rows.
        """

    @abstractmethod
    def correct(self, soft_labels: Array, logits: Array, temperature: float) -> Correction:
        """Let classifiers correct soft labels out of fold; see `cross_fitting.correct`."""

    @abstractmethod
    def draw(
        self,
        probabilities: Array,
        quotas: NDArray[np.int64],
        truth: Truth,
        rng: np.random.Generator,
        *,
        trainable: NDArray[np.bool_],
        most_likely: int | None = None,
    ) -> Draw:
        """Draw rows of each kind in proportion to the teachers' confidence; see `draw_rows`.

        Args:
            quotas: rows wanted of each kind, as `strata` numbers them.
            truth: of the labeled rows.
        """

    @abstractmethod
    def drawn_targets(self, probabilities: Array, drawn: Draw) -> NDArray[np.float32]:
        """Return the labels that teachers give to drawn rows, as targets. [drawn, labels]"""

    @abstractmethod
    def growth(self, logits: Array, scores: Array, scaling: Scaling) -> Growth:
        """Measure a generation; `scores` are the members' together, scaled."""

    @abstractmethod
    def retention(self, teachers: Array, scores: Array) -> float | None:
        """Return how much of what teachers know a learner retains; see `ipet.retention`."""

    # Figures

    @abstractmethod
    def metrics(self, probabilities: Array, truth: Truth) -> dict[str, float]:
        """Return accuracy, macro-F1, calibration error and rows of a set of predictions."""

    @abstractmethod
    def log_losses(self, probabilities: Array, truth: Truth) -> Array:
        """Return the log-loss of each row, over all of its labels, in nats. [rows]"""

    @abstractmethod
    def evaluated(self, probabilities: Array, truth: Truth, threshold: float) -> dict[str, Any]:
        """Measure coverage and calibration, and what is mistaken for what."""

    @abstractmethod
    def better_by(self, truth: Truth, one: Truth, other: Truth, labels: int) -> Any:
        """Return by which measure the first is significantly better than the other; or None."""


@dataclass(frozen=True)
class OneLabel(Outcome):
    """A text has exactly one of the labels."""

    several = False

    def targets(self, truth: Truth, labels: int) -> NDArray[np.float32]:
        return np.eye(labels, dtype=np.float32)[truth]

    def counts(self, truth: Truth, labels: int) -> NDArray[np.int64]:
        return np.bincount(truth, minlength=labels)

    def strata(self, truth: Truth) -> NDArray[np.int64]:
        return truth

    def kinds(self, probabilities: Array) -> NDArray[np.int64]:
        return probabilities.argmax(axis=1)

    def is_informative(self, truth: Truth, scores: Array) -> bool:
        return beats_commonest(truth, scores.argmax(axis=1))

    def prior_offset(
        self, scores: Array, prior: str, shares: Sequence[float] | None = None
    ) -> Array:
        return calibration_offset(scores, prior, shares)

    def combine(
        self, logits: Array, weights: Sequence[float], mask: NDArray[np.bool_] | None = None
    ) -> Array:
        return combine(logits, weights, mask)

    def of_member(self, logits: Array) -> Array:
        return softmax(logits)

    def accuracy_weight(self, logits: Array, truth: Truth) -> float:
        return metrics(softmax(logits), truth)["accuracy"]

    def agreement_weights(self, logits: Array) -> list[float]:
        return agreement_weights(logits)

    def votes(self, logits: Array, scaling: Scaling) -> Truth:
        return logits.argmax(axis=-1)

    def agreement(self, votes: Truth, chosen: Truth) -> Array:
        return agreement(votes, chosen)

    def plain_scaling(self, temperature: float, labels: int) -> Scaling:
        return Scaling.plain(temperature, labels)

    def fit_scaling(
        self,
        logits: Array,
        truth: Truth,
        expected: float,
        prior_strength: float = 4.0,
        *,
        offsets: bool = True,
    ) -> Scaling:
        if offsets:
            return fit_scaling(logits, truth, prior_strength, expected)
        temperature = fit_temperature(logits, truth, prior_strength, expected)
        return Scaling.plain(temperature, logits.shape[1])

    def as_confident_as(self, scaling: Scaling, logits: Array, before: Array) -> Scaling:
        return scaling.no_less_confident(logits, float(before.max(axis=1).mean()))

    def mix_share(self, scaling: Scaling, patterns: Array, encoder: Array, truth: Truth) -> float:
        # Without the only row of its label, the encoder does not know it; of all rows it does.
        known = np.bincount(truth)[truth] > 1
        rows = known if known.any() else np.full(len(truth), True)
        return fit_share(np.stack([scaling.of(patterns), encoder])[:, rows], truth[rows])

    def has(self, truth: Truth, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(truth[:, None] == labels)

    def mean_confidence(self, probabilities: Array) -> Array:
        """Return that of all labels together: some are never the likeliest."""
        return np.full(probabilities.shape[1], probabilities.max(axis=1).mean())

    def probabilities(self, logits: Array, temperature: float = 1.0) -> Array:
        return softmax(logits, temperature)

    def unsoften(self, soft_labels: Array, temperature: float) -> Array:
        return unsoften(soft_labels, temperature)

    def temperature_of(self, logits: Array, targets: Array) -> float:
        return likeliest_temperature(logits, targets, LOWEST_TEMPERATURE)[1]

    def choose(self, probabilities: Array) -> Truth:
        return probabilities.argmax(axis=-1)

    def confidence(self, probabilities: Array, chosen: Truth) -> Array:
        return np.asarray(probabilities.max(axis=1))

    def entropy(self, probabilities: Array) -> Array:
        return entropy(probabilities)

    def fit_head(self, embeddings: Any, targets: Array, penalty: float) -> LinearHead:
        return fit_head(embeddings, targets, penalty)

    def fit_encoder(
        self,
        embeddings: Array,
        truth: Truth,
        drawn: Array,
        drawn_targets: Array,
        rng: np.random.Generator,
        before: Chosen | None,
    ) -> Fitted:
        known = before is not None or not len(truth)
        fit = fit_to_teachers if known and len(drawn) > 1 else fit_calibrated
        return fit(embeddings, truth, drawn, drawn_targets, rng)

    def correct(self, soft_labels: Array, logits: Array, temperature: float) -> Correction:
        return correct(soft_labels, logits, temperature)

    def draw(
        self,
        probabilities: Array,
        quotas: NDArray[np.int64],
        truth: Truth,
        rng: np.random.Generator,
        *,
        trainable: NDArray[np.bool_],
        most_likely: int | None = None,
    ) -> Draw:
        return draw_rows(probabilities, quotas, rng, trainable=trainable, most_likely=most_likely)

    def drawn_targets(self, probabilities: Array, drawn: Draw) -> NDArray[np.float32]:
        return self.targets(drawn.labels, probabilities.shape[1])

    def growth(self, logits: Array, scores: Array, scaling: Scaling) -> Growth:
        return measure_growth(logits, scores)

    def retention(self, teachers: Array, scores: Array) -> float | None:
        return retention(teachers, scores.argmax(axis=1))

    def metrics(self, probabilities: Array, truth: Truth) -> dict[str, float]:
        return metrics(probabilities, truth)

    def log_losses(self, probabilities: Array, truth: Truth) -> Array:
        return -np.log(probabilities[np.arange(len(truth)), truth])

    def evaluated(self, probabilities: Array, truth: Truth, threshold: float) -> dict[str, Any]:
        labels = probabilities.shape[1]
        return {
            "abstaining": above(probabilities, truth, threshold),
            "coverage": coverage_curve(probabilities, truth),
            "reliability": reliability(probabilities, truth),
            "confusion": confusion_matrix(truth, probabilities.argmax(axis=1), labels).tolist(),
        }

    def better_by(self, truth: Truth, one: Truth, other: Truth, labels: int) -> Any:
        return better_by(truth, one, other, labels)


@dataclass(frozen=True)
class AnyLabels(Outcome):
    """A text has any number of the labels, or none.

    Members' scores are evidence: log-odds without the base; see `several_labels`.

    Attributes:
        base: log-odds of the labels' shares of the labeled rows, or of all texts as the task file
            has them; none where members are only asked whose scaling is known. [labels]
        decided: thresholds, as `thresholds`; 0.5 where none are fitted. [labels]
    """

    base: tuple[float, ...] = ()
    decided: tuple[float, ...] = ()

    several = True

    @classmethod
    def of(cls, truth: Truth) -> AnyLabels:
        """Return the outcome of a task whose labeled rows have these labels. [rows, labels]"""
        return cls(tuple(float(own) for own in several.base_log_odds(truth)))

    def fitted(self, probabilities: Array) -> AnyLabels:
        return replace(self, decided=several.best_thresholds(probabilities))

    @property
    def thresholds(self) -> tuple[float, ...]:
        return self.decided

    @property
    def _base(self) -> Array:
        return np.asarray(self.base)

    def targets(self, truth: Truth, labels: int) -> NDArray[np.float32]:
        return truth.astype(np.float32)

    def counts(self, truth: Truth, labels: int) -> NDArray[np.int64]:
        return np.asarray(truth.sum(axis=0), np.int64).reshape(labels)

    def strata(self, truth: Truth) -> NDArray[np.int64]:
        return several.strata_of(truth, truth.sum(axis=0))

    def kinds(self, probabilities: Array) -> NDArray[np.int64]:
        chosen = self.fitted(probabilities).choose(probabilities)
        return several.strata_of(chosen, chosen.sum(axis=0))

    def is_informative(self, truth: Truth, scores: Array) -> bool:
        area = several.area_under_curve(scores, truth)
        return area is None or area >= INFORMATIVE_AREA

    def prior_offset(
        self, scores: Array, prior: str, shares: Sequence[float] | None = None
    ) -> Array:
        """Take each label's own mean away: what a word scores without the text is no evidence.

        To go on until labels are even (`matched`) has no meaning where each is asked by itself.
        """
        return -np.asarray(scores, np.float64).mean(axis=0)

    def combine(
        self, logits: Array, weights: Sequence[float], mask: NDArray[np.bool_] | None = None
    ) -> Array:
        return several.weighted_mean(logits, np.asarray(weights), mask)

    def of_member(self, logits: Array) -> Array:
        return several.sigmoid(logits + self._base)

    def accuracy_weight(self, logits: Array, truth: Truth) -> float:
        """Return how far the area under the curve is above chance, 0 to 1."""
        area = several.area_under_curve(logits, truth)
        return 0.0 if area is None else round(max(0.0, 2 * area - 1), 4)

    def agreement_weights(self, logits: Array) -> list[float]:
        """Weigh each member by the correlation of its evidence with the mean of the others'."""
        if len(logits) <= 2:
            return [1.0] * len(logits)
        weights = []
        for place, own in enumerate(logits):
            others = np.delete(logits, place, axis=0).mean(axis=0)
            pairs = zip(own.T.astype(np.float64), others.T.astype(np.float64), strict=True)
            alike = [np.corrcoef(*p)[0, 1] if p[0].std() and p[1].std() else 0.0 for p in pairs]
            weights.append(max(0.0, float(np.mean(alike))))
        return weights

    def votes(self, logits: Array, scaling: Scaling) -> Truth:
        return self.choose(scaling.probabilities(logits))

    def agreement(self, votes: Truth, chosen: Truth) -> Array:
        """Return the mean share of labels that a member's set has in common with the given one."""
        return np.asarray(several.jaccard(votes, chosen[None]).mean(axis=0))

    def plain_scaling(self, temperature: float, labels: int) -> Scaling:
        return several.LabelScaling.around(self._base, temperature)

    def fit_scaling(
        self,
        logits: Array,
        truth: Truth,
        expected: float,
        prior_strength: float = 4.0,
        *,
        offsets: bool = True,
    ) -> Scaling:
        return several.fit_label_scaling(logits, truth, self._base, prior_strength, expected)

    def as_confident_as(self, scaling: Scaling, logits: Array, before: Array) -> Scaling:
        assert isinstance(scaling, several.LabelScaling), "a scaling of several labels"
        return scaling.as_confident_as(logits, before)

    def mix_share(self, scaling: Scaling, patterns: Array, encoder: Array, truth: Truth) -> float:
        stack = np.stack([scaling.of(patterns), encoder + self._base])
        return several.fit_label_share(stack, truth, self._base)

    def has(self, truth: Truth, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(truth[:, labels])

    def mean_confidence(self, probabilities: Array) -> Array:
        """Return that of as many rows as are expected to have a label, the likeliest."""
        ordered = -np.sort(-probabilities, axis=0)
        rows = np.maximum(1, probabilities.sum(axis=0).round().astype(int))
        return np.array([own[:n].mean() for own, n in zip(ordered.T, rows, strict=True)])

    def probabilities(self, logits: Array, temperature: float = 1.0) -> Array:
        return several.soften(logits, temperature)

    def unsoften(self, soft_labels: Array, temperature: float) -> Array:
        return several.unsoften_labels(soft_labels, temperature)

    def temperature_of(self, logits: Array, targets: Array) -> float:
        def loss(temperature: float) -> float:
            return several.log_loss(self.probabilities(logits, temperature), targets)

        return search_temperature(loss, LOWEST_TEMPERATURE)[1]

    def choose(self, probabilities: Array) -> Truth:
        return np.asarray(probabilities >= (np.asarray(self.decided) if self.decided else 0.5))

    def confidence(self, probabilities: Array, chosen: Truth) -> Array:
        return of_sets.confidence_of(probabilities, chosen)

    def entropy(self, probabilities: Array) -> Array:
        return several.entropy(probabilities)

    def fit_head(self, embeddings: Any, targets: Array, penalty: float) -> LinearHead:
        return several.fit_label_heads(embeddings, targets, penalty)

    def fit_encoder(
        self,
        embeddings: Array,
        truth: Truth,
        drawn: Array,
        drawn_targets: Array,
        rng: np.random.Generator,
        before: Chosen | None,
    ) -> Fitted:
        return several.fit_calibrated_heads(
            embeddings, truth, drawn, drawn_targets, self._base, rng, before
        )

    def correct(self, soft_labels: Array, logits: Array, temperature: float) -> Correction:
        return several.correct_labels(soft_labels, logits, temperature)

    def draw(
        self,
        probabilities: Array,
        quotas: NDArray[np.int64],
        truth: Truth,
        rng: np.random.Generator,
        *,
        trainable: NDArray[np.bool_],
        most_likely: int | None = None,
    ) -> Draw:
        """Draw rows by their rarest label, and rows with none by the chance that they have none."""
        chosen = self.fitted(probabilities).choose(probabilities)
        none = (1 - probabilities).prod(axis=1, keepdims=True)
        return draw_rows(
            np.concatenate([probabilities, none], axis=1),
            quotas,
            rng,
            trainable=trainable,
            kinds=several.strata_of(chosen, self._ranks(truth)),
        )

    def _ranks(self, truth: Truth) -> NDArray[np.int64]:
        """Rank the labels by how common they are, as numbers that grow with it. [labels]"""
        if len(truth):
            return np.asarray(truth.sum(axis=0), np.int64)
        return np.argsort(np.argsort(self._base, kind="stable"), kind="stable")

    def drawn_targets(self, probabilities: Array, drawn: Draw) -> NDArray[np.float32]:
        chosen = self.fitted(probabilities).choose(probabilities)
        return self.targets(chosen[drawn.rows], probabilities.shape[1])

    def growth(self, logits: Array, scores: Array, scaling: Scaling) -> Growth:
        probabilities = several.sigmoid(scores)
        own = self.fitted(probabilities)
        chosen = own.choose(probabilities)
        agree = own.agreement(own.votes(logits, scaling), chosen)
        return Growth(float(agree.mean()), tuple(float(share) for share in chosen.mean(axis=0)))

    def retention(self, teachers: Array, scores: Array) -> float | None:
        return several.label_retention(teachers, scores)

    def metrics(self, probabilities: Array, truth: Truth) -> dict[str, float]:
        return of_sets.set_metrics(probabilities, truth, self.choose(probabilities))

    def log_losses(self, probabilities: Array, truth: Truth) -> Array:
        return several.log_losses(probabilities, truth)

    def evaluated(self, probabilities: Array, truth: Truth, threshold: float) -> dict[str, Any]:
        chosen = self.choose(probabilities)
        labels = probabilities.shape[1]
        return {
            "abstaining": of_sets.sets_above(probabilities, truth, chosen, threshold),
            "coverage": of_sets.set_coverage(
                probabilities, truth, chosen, tuple(np.arange(1, 11) / 10)
            ),
            "reliability": of_sets.set_reliability(probabilities, truth),
            "by_label": of_sets.label_table(
                probabilities, truth, chosen, self.decided or (0.5,) * labels
            ),
        }

    def better_by(self, truth: Truth, one: Truth, other: Truth, labels: int) -> Any:
        return of_sets.better_by_f1(truth, one, other)


ONE = OneLabel()


def outcome_of(
    labels_per_text: str, truth: Truth | None = None, shares: Sequence[float] | None = None
) -> Outcome:
    """Return the outcome of a task, "one" or "any" label a text.

    Args:
        truth: of the labeled rows, which say how common several labels are. [rows, labels]
        shares: of the labels, where these are known better. [labels]
    """
    if labels_per_text == "one":
        return ONE
    if shares is not None:
        return AnyLabels(tuple(float(own) for own in several.log_odds(np.asarray(shares))))
    return AnyLabels() if truth is None else AnyLabels.of(truth)
