"""What report.json holds, as far as a page is drawn from it: read back, and held against this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pet.errors import InputError, Problem

T = TypeVar("T", bound=BaseModel)


class _Part(BaseModel):
    """More than is named here may stand in the file; less, or anything of another type, may not."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Metrics(_Part):
    accuracy: float
    macro_f1: float
    ece: float
    rows: float
    micro_f1: float | None = None  # of several labels a text, where accuracy is of whole rows
    log_loss: float | None = None

    @property
    def main(self) -> float:
        """The figure that models are compared by: accuracy, or micro-F1 of several labels."""
        return self.accuracy if self.micro_f1 is None else self.micro_f1


class Abstaining(_Part):
    threshold: float
    coverage: float
    accuracy: float | None


class Coverage(_Part):
    coverage: float
    threshold: float
    accuracy: float


class Bin(_Part):
    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


class LabelFigures(_Part):
    """How well one of several labels is given, from a probability on."""

    rows: int
    given: int
    right: int
    precision: float | None
    recall: float | None
    f1: float
    ece: float
    threshold: float


class LevelFigures(_Part):
    """How good the nodes at one depth of a tree of labels are, and how many rows get there."""

    nodes: int
    accuracy: float
    macro_f1: float
    coverage: float
    sure_accuracy: float | None


class Evaluation(Metrics):
    """A model with all that is known of its confidence; confusion: [true label][predicted one].

    Where a text may have several labels, each has a row in `by_label` instead.
    """

    abstaining: Abstaining
    coverage: list[Coverage]
    reliability: list[Bin]
    confusion: list[list[int]] = []
    by_label: list[LabelFigures] = []
    levels: list[LevelFigures] = []  # from the top, where labels are a tree


class Pattern(_Part):
    """What was measured of a pattern.

    zero_shot: nothing where the model was first trained by all patterns; trained: nothing on the
    labeled set without held-out rows.
    """

    zero_shot: Metrics | None = None
    trained: Metrics | None = None


class BestPattern(Metrics):
    name: str


class Pair(_Part):
    one: str
    other: str
    only_one_right: int
    only_other_right: int


class Counted(_Part):
    """Rows in which a rule fires, and those in which it is right."""

    rows: int
    right: int


class RuleFigures(_Part):
    """A rule of the task file: shares of the pool, and how often it is believed to be right."""

    label: str
    finds: str
    coverage: float
    overlap: float
    conflict: float
    agreement: float | None
    precision: float
    added: float


class Measured(_Part):
    """Everything that was measured on the labeled set or the test set."""

    patterns: dict[str, Pattern]
    best_pattern: BestPattern | None = None
    encoder: Metrics | None = None
    ensemble: Evaluation
    student: Evaluation
    supervised: Evaluation | None = None
    linear_supervised: Metrics | None = None
    linear_student: Metrics | None = None
    linear_encoder: Metrics | None = None
    without_rules: Metrics | None = None  # the ensemble, where the task has rules
    rules: dict[str, Counted] = {}
    ensembles: dict[str, Metrics] = {}
    pairs: list[Pair] = []
    unseen: bool


class Pool(_Part):
    rows: int
    rejected: int
    scored_by_members: int


class Choice(_Part):
    """Who labels the pool rows that the members scored, by which measure, on which set."""

    model: Literal["student", "ensemble"] = "student"
    by: Literal["accuracy", "macro_f1", "micro_f1"] | None = None
    on: Literal["labeled", "test"] | None = None


class LayerShares(_Part):
    """Rows that leave a student at each of its layers, and keep the label of the last one."""

    rows: int
    agreement: float
    layers: list[float]


class Exits(_Part):
    """The student's early exits: the confidence from which on a row leaves, and what that does."""

    threshold: float
    held_out: LayerShares
    test: LayerShares | None = None


class Labels(_Part):
    """The pool's labels; `sources` (rows per model) and `choice` are not in former reports."""

    counts: dict[str, int]
    rows: int
    abstained: int
    abstained_of: dict[str, int]
    mean_confidence: float
    confidence_counts: list[int]
    sources: dict[str, int] = {}
    without: int = 0  # rows with none of several labels
    together: list[list[int]] = []  # rows with each two of several labels
    unsure_of_level: list[int] = []  # rows that stop above each level of a tree of labels
    layers: list[int] = []  # rows by the student's layer that gave their label, with early exits
    choice: Choice = Choice()

    @property
    def of_ensemble(self) -> int:
        return self.sources.get("ensemble", 0)

    @property
    def labeler(self) -> Literal["student", "ensemble"]:
        """The model that most labels come from."""
        return "ensemble" if 2 * self.of_ensemble > self.rows else "student"


class Member(_Part):
    kind: Literal["pattern", "encoder"]
    pattern: str
    trained: bool
    agreement: float


class Generation(_Part):
    members: list[str]
    rows: int
    agreement: float
    shares: dict[str, float]
    test_accuracy: float | None = None


class Chance(_Part):
    label: str
    probability: float


class Example(_Part):
    id: str
    label: str
    confidence: float
    second: Chance | None  # the likeliest label that the row was not given
    given: list[Chance] | None = None  # where a text may have several labels
    agreement: float
    texts: dict[str, str]


class Examples(_Part):
    among: int
    doubtful: list[Example]
    surest: dict[str, list[Example]]


class RejectedRow(_Part):
    file: str
    row: int
    reason: str


class Rejected(_Part):
    reasons: dict[str, int]
    first: list[RejectedRow]


class LabelCounts(_Part):
    rows: int
    counts: dict[str, int]
    without: int = 0
    together: list[list[int]] = []


class Report(_Part):
    """`sets` has labeled and test, as far as they were given; so has `rejected`, and pool."""

    task: str
    description: str
    run: str
    templates: dict[str, str]
    pool: Pool
    sets: dict[str, LabelCounts]
    leaked: int
    rejected: dict[str, Rejected]
    labels: Labels
    examples: Examples
    weighing: str
    weights: dict[str, float]
    members: dict[str, Member]
    ensemble_temperature: float
    ensemble_offsets: dict[str, float] = {}  # none in reports of earlier versions
    seconds: dict[str, float]
    generations: list[Generation]
    warnings: list[str]
    test_warnings: list[str] = []  # none in reports of earlier versions
    prompts: dict[str, list[list[str]]] = {}  # member -> vector -> words; of soft prompts alone
    rules: dict[str, RuleFigures] = {}
    exits: Exits | None = None
    prior: dict[str, float] = {}  # the labels' shares, where the task file knows them
    unused_labels: str = ""  # why no member has learned from the labeled rows, and what to set
    labeled: Measured | None = None
    test: Measured | None = None
    labels_per_text: Literal["one", "any"] = "one"

    @property
    def several(self) -> bool:
        return self.labels_per_text == "any"

    @property
    def label_names(self) -> list[str]:
        return list(self.labels.counts)

    @property
    def tested(self) -> Evaluation | None:
        """The model that most labels come from, on the test set."""
        if self.test is None:
            return None
        return self.test.ensemble if self.labels.labeler == "ensemble" else self.test.student

    @model_validator(mode="after")
    def _fits_together(self) -> Report:
        """Refuse figures of other labels or members than the rest."""
        names = self.label_names
        of_labels: list[Mapping[str, object]] = [self.labels.abstained_of, self.examples.surest]
        of_labels += [of_set.counts for of_set in self.sets.values()]
        of_labels += [self.prior] if self.prior else []
        of_labels += [generation.shares for generation in self.generations]
        if not names or any(list(of_label) != names for of_label in of_labels):
            raise ValueError("figures of different labels")
        measured = {"labeled": self.labeled, "test": self.test}
        if {name for name, found in measured.items() if found} != set(self.sets):
            raise ValueError("figures of a set that was not counted")
        for found in filter(None, measured.values()):
            for evaluation in filter(None, (found.ensemble, found.student, found.supervised)):
                confusion, by_label = evaluation.confusion, evaluation.by_label
                if self.several and len(by_label) != len(names):
                    raise ValueError("figures of different labels")
                if not self.several and {len(names)} != {len(confusion), *map(len, confusion)}:
                    raise ValueError("a confusion matrix of different labels")
        for found in filter(None, measured.values()):
            if found.rules and list(found.rules) != list(self.rules):
                raise ValueError("figures of different rules")
        if list(self.weights) != list(self.members):
            raise ValueError("weights of different members")
        return self


class Manifest(_Part):
    run_id: str
    inputs: dict[str, str]
    machine: dict[str, str]
    made_with: dict[str, str]


def read_report(folder: Path) -> tuple[Report, Manifest]:
    """Read report.json and manifest.json of a finished run.

    Raises:
        InputError: the run has not ended, or a file is damaged or of another version.
    """
    if not (folder / "report.json").exists():
        found = "a run that has not ended" if (folder / "manifest.json").exists() else "no run"
        raise InputError(
            Problem(
                str(folder),
                "a finished run, with report.json",
                found,
                "give the folder that was --out, or give its `pet run` command again",
            )
        )
    return _read(folder / "report.json", Report), _read(folder / "manifest.json", Manifest)


def _read(path: Path, kind: type[T]) -> T:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        details = [
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}".removeprefix(": ")
            for detail in error.errors()
        ]
        more = f"; and {len(details) - 3} more" if len(details) > 3 else ""
        found = "; ".join(details[:3]) + more
    except OSError as error:
        found = f"nothing that can be read: {error.strerror}"
    raise InputError(
        Problem(
            str(path),
            "the figures of a run, as this version writes them",
            found,
            "give the run's `pet run` command again: it measures anew, and trains nothing "
            "that is up to date",
        )
    )
