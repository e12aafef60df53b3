"""Which model labels the pool rows that both have scored: the student, or the ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pet.ensemble.lineup import Lineup
from pet.ensemble.logits import read_logits
from pet.ensemble.members import Member
from pet.ensemble.weights import predict_measured
from pet.inputs.session import Session
from pet.method.paired_tests import Measure
from pet.student.soft_labels import decided_outcome
from pet.student.student_folder import student_outcome


@dataclass(frozen=True)
class LabelChoice:
    """The model that labels the pool rows which the members scored; the student labels all others.

    Attributes:
        by: the measure by which the ensemble is significantly better; None where it is not.
        on: the set that this was measured on; None where there are no rows to measure on.
    """

    model: Literal["student", "ensemble"] = "student"
    by: Measure | None = None
    on: Literal["labeled", "test"] | None = None

    @property
    def labeled_with(self) -> str:
        """Name who labels, for the files' metadata and the provenance."""
        return "student" if self.model == "student" else "ensemble and student"


def choose_labels(session: Session, lineup: Lineup, members: Sequence[Member]) -> LabelChoice:
    """Choose the ensemble's labels where they are significantly better than the student's.

    Both are compared on the test rows, or on labeled rows, which the ensemble predicts out of fold.
    The student has learned from these, by way of its teachers: it is chosen too often there.
    """
    on: Literal["labeled", "test"] = "labeled" if session.test is None else "test"
    known = session.inputs.measured().get(on)
    ensemble = None if known is None else predict_measured(session, lineup, members, on)
    if known is None or ensemble is None or not ensemble.unseen:
        return LabelChoice()
    student = read_logits(session.folder / "evaluation" / f"student-{on}.parquet")[1][ensemble.rows]
    outcome, of_student = decided_outcome(session), student_outcome(session)
    by = outcome.better_by(
        known.labels[ensemble.rows],
        outcome.choose(ensemble.probabilities),
        of_student.choose(outcome.probabilities(student)),
        len(session.task.labels),
    )
    return LabelChoice("student" if by is None else "ensemble", by, on)
