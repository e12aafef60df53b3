"""One frozen model of settings: the command's options, a flow's form, the run folder's file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from pet.former_settings import FormerSettings, Removed, warn
from pet.storage.locations import place_problem

Tuning = Literal[
    "full", "top-1", "top-2", "top-3", "top-4", "layer-norm", "bitfit",
    "lora", "dora", "ia3", "houlsby", "pfeiffer", "prefix", "soft-prompt",
]  # fmt: skip

# The group of settings that shapes a way of tuning, of those that have any.
SETTINGS_OF: dict[str, str] = {
    "lora": "lora",
    "dora": "lora",
    "houlsby": "bottleneck",
    "pfeiffer": "bottleneck",
    "prefix": "prefix",
    "soft-prompt": "soft_prompt",
}

# Where a prompt's or a prefix's first vectors come from.
Start = Literal["random", "vocabulary", "label-words", "pattern-words"]


# How a teacher of encoder and decoder reads a label's word.
Mask = Literal["sentinel", "end"]


class Frozen(BaseModel):
    """Settings: never changed, and nothing unknown among them."""

    former: ClassVar[FormerSettings] = FormerSettings()

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class LoraConfig(Frozen):
    """A low-rank change beside every linear layer (Hu et al. 2022, arXiv 2106.09685)."""

    rank: int = Field(8, ge=1, le=1024, description="of the change to a layer's weight")
    dropout: float = Field(0.0, ge=0, lt=1, description="of what goes into the change")
    targets: tuple[str, ...] = Field(
        (), description="names of layers, or ends of them; none: every linear layer below the head"
    )


class BottleneckConfig(Frozen):
    """Small layers behind a model's own (Houlsby et al. 2019, arXiv 1902.00751)."""

    width: int = Field(64, ge=1, le=4096, description="of what is between their two projections")


class SoftPromptConfig(Frozen):
    """Learned vectors in front of a text, in the place of words (Lester et al. 2021)."""

    length: int = Field(10, ge=1, le=512, description="vectors; they count in max_length")
    init: Start = Field("label-words", description="what they start from")


class ProjectorConfig(Frozen):
    """What brings another model's soft prompts to a model of another width (Su et al. 2022)."""

    steps: int = Field(
        0, ge=0, description="of its training; 0: prompts of another model are refused"
    )


class PrefixConfig(Frozen):
    """Learned keys and values in every layer (Li and Liang 2021, arXiv 2101.00190)."""

    length: int = Field(10, ge=1, le=512, description="keys and values per layer")
    width: int = Field(
        64, ge=0, description="of the MLP that they come from while they are trained; 0: none"
    )
    init: Start = Field("label-words", description="whose activations they start from")


def _known_encoding(name: str) -> str:
    try:
        "".encode(name)  # of text: Python has others, such as base64
    except LookupError:
        raise PydanticCustomError("encoding", "an encoding that Python knows, as cp1252") from None
    return name


Character = Annotated[str, Field(max_length=1)]

Delimiter = Annotated[
    str,
    BeforeValidator(lambda own: "\t" if own == r"\t" else own),
    Field(min_length=1, max_length=1),
]


class CsvConfig(Frozen):
    """How CSV files are written; what is not given is found out from the file."""

    delimiter: Delimiter | None = Field(
        None, description="between columns; else a comma, in .tsv a tab"
    )
    quote: Character | None = Field(None, description='around values; nothing: none; else "')
    escape: Character | None = Field(
        None, description="before a quote within a value, as Spark's backslash; nothing: none"
    )
    encoding: Annotated[str, AfterValidator(_known_encoding)] | None = Field(
        None, description="such as cp1252 or utf-16; else UTF-8"
    )

    @property
    def stated(self) -> dict[str, str]:
        """What is given."""
        return self.model_dump(exclude_none=True)


_NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,3})?)"
_TIME = re.compile(f"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")


def seconds_of(text: str) -> float:
    """Read a time such as `90s`, `10m`, `1.5h` or `1h30m`; 0 if it is none."""
    found = _TIME.fullmatch(text.strip())
    hours, minutes, seconds = (float(own or 0) for own in found.groups()) if found else (0, 0, 0)
    return 3600 * hours + 60 * minutes + seconds


def _checked_time(value: str) -> str:
    if not seconds_of(value):
        raise PydanticCustomError("time", "a time above 0 such as 90s, 10m, 2h or 1h30m")
    return value.strip()


class Budget(Frozen):
    """How long a run may take; settings are chosen so that it ends in that time."""

    time: Annotated[str, AfterValidator(_checked_time)] = Field(
        description="seconds, minutes or hours: 90s, 10m, 2h, 1h30m"
    )
    kept: tuple[str, ...] = Field(
        (), description="settings that stay as they are, beside those that differ from the preset's"
    )

    @property
    def seconds(self) -> float:
        return seconds_of(self.time)


Preset = Literal["default", "fast", "cpu", "cpu-masked", "cpu-causal", "paper"]

# Ways to take the labels' prior out of their scores, and to weigh members.
Prior = Literal["none", "content-free", "pool", "matched", "half-matched"]

# What is read of a text that is longer than a model reads.
LongTexts = Literal["head", "head-tail", "windows"]

Weighing = Literal["uniform", "accuracy", "agreement"]

ClassWeight = Literal["none", "sqrt", "balanced"]

# Of a large teacher on a CPU that learns from the labeled rows itself.
FEW_STEPS: dict[str, Any] = {
    "max_length": 64,
    "unlabeled_rows": 1000,
    "generations": 0,
    "train_from": 0,  # no later generation would learn from the labeled rows
    "member": {"steps": 40},
    "student": {"steps": 100},
    "supervised": {"steps": 40},
}

# What a preset says stands under whatever the user says. The paper's settings are Table 5 and
# section 4 of arXiv 2001.07676.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # With no generation to come, labeled rows teach the members at once, however few they are.
    "fast": {"generations": 0, "train_from": 0},
    # A large causal teacher on a CPU, beside a sentence encoder: as measured in
    # tests/bench/results/quality.md.
    "cpu": {
        "max_length": 64,
        "student_max_length": 128,
        "joint": {"steps": 20},  # where it pays: see `with_joint_steps`
        "member": {"steps": 0},
        "student": {"steps": 300},
    },
    # Half an hour on two cores for a teacher of 110 million weights.
    "cpu-masked": FEW_STEPS,
    "cpu-causal": FEW_STEPS,
    "paper": {
        "repetitions": 3,
        "max_length": 256,
        "warmup": 0.0,
        # With the language-model loss: 4 labeled and 12 unlabeled rows a step.
        "member": {"steps": 1000, "batch_size": 4, "learning_rate": 1e-5, "dropout": None},
        "student": {"steps": 5000, "batch_size": 16, "learning_rate": 1e-5, "dropout": None},
        "supervised": {"steps": 250, "batch_size": 16, "learning_rate": 1e-5, "dropout": None},
        "lm_weight": 1e-4,
        "calibration": "none",
        "generations": "paper",
        "first_rows": 10,
        "teacher_share": 0.25,
        "drawn_labels": "hard",
        "class_weight": "none",
        "train_from": 0,
        "out_of_bag": 0,
        "cross_fitting_folds": 1,
    },
}  # fmt: skip

MOST_GENERATIONS = 10  # `paper` with a growth_factor near 1 would be hundreds


class OptimizerConfig(Frozen):
    """How weights are optimized: AdamW, linear decay; constants of it are in models.training."""

    batch_size: int = Field(8, ge=1, description="rows per optimizer step")
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="peak learning rate; by width and tuning if not given"
    )
    dropout: float | None = Field(
        0.0, ge=0, lt=1, description="dropout while training; the model's own if not given"
    )
    steps: int = Field(150, ge=0, description="optimizer steps; 0: the model is used as it is")


class TrainingConfig(OptimizerConfig):
    """How one model is trained."""

    tuning: Tuning = Field("full", description="what is trained: all weights, or few beside them")


# A model that is kept whole, so that plain transformers loads it, takes no other tuning.
WholeTuning = Annotated[
    Literal["full", "lora"],
    Field(description="what is trained; what LoRA learned is merged into the weights"),
]


class WholeTrainingConfig(TrainingConfig):
    """Training of a model that is kept whole."""

    tuning: WholeTuning = "full"


class StudentConfig(WholeTrainingConfig):
    """Training of the student."""

    exits: bool = Field(
        False,
        description="fit a head to every layer of it afterwards: when it labels a pool, a row "
        "leaves at the first layer that is sure enough, as learned from rows held out from it",
    )


class JointConfig(Frozen):
    """Training of one teacher by LoRA on the labeled rows, under all patterns."""

    steps: int = Field(0, ge=0, description="of a batch under one pattern, in turn; 0: none")


# Each is a constant now, beside the code that uses it.
_OF_EVERY_TRAINING = {
    "weight_decay": Removed(0.01),
    "max_grad_norm": Removed(1.0),
    "adam_epsilon": Removed(1e-8),
}
_WARMUP = Removed(0.1, "set warmup, which is of every training")
REMOVED = (
    {
        "judge_lines": Removed(4, "leave it out; out_of_bag=0: no rows are held out"),
        "growth_goal": Removed(1000, "leave it out, and give generations as a number"),
        "most_likely": Removed(100),
        "lora.alpha": Removed(16, "leave it out, and scale member.learning_rate instead"),
        "projector.width": Removed(768),
        "projector.learning_rate": Removed(1e-3),
        "adaptation.steps": Removed(150, "give these steps as adapt_steps"),
        "adaptation.batch_size": Removed(32),
        "adaptation.learning_rate": Removed(None),
        "adaptation.warmup": _WARMUP,
        "adaptation.dropout": Removed(0.0),
        "adaptation.tuning": Removed("full"),
        "joint.batch_size": Removed(8),
        "joint.learning_rate": Removed(None),
        "joint.warmup": _WARMUP,
        "joint.dropout": Removed(0.0),
        "member.warmup": _WARMUP,
        "student.warmup": _WARMUP,
        "supervised.warmup": _WARMUP,
        "supervised.tuning": Removed(
            "full", "leave it out: the baseline is tuned as student.tuning"
        ),
        "model_revision": Removed(None, "write it behind the hub id: --model ID@REVISION"),
        "encoder_revision": Removed(None, "write it behind the hub id: --encoder ID@REVISION"),
        "student_revision": Removed(
            None, "write it behind the hub id: --student-model ID@REVISION"
        ),
    }
    | {
        f"{group}.{name}": removed
        for group in ("member", "student", "supervised", "adaptation")
        for name, removed in _OF_EVERY_TRAINING.items()
    }
    | {
        f"test_csv.{name}": Removed(None, f"set labeled_csv.{name}, which is of the test set, too")
        for name in CsvConfig.model_fields
    }
)
JOINED = {
    "warmup": ("member.warmup", "student.warmup", "supervised.warmup"),
    "student.tuning": ("student.tuning", "supervised.tuning"),
} | {
    f"labeled_csv.{name}": (f"labeled_csv.{name}", f"test_csv.{name}")
    for name in CsvConfig.model_fields
}


def _checked_place(value: str) -> str:
    if problem := place_problem("", value):
        raise PydanticCustomError("place", "{expected}, not {found}", vars(problem))
    return value


def _checked_place_or_address(value: str) -> str:
    if problem := place_problem("", value, stores=True):
        raise PydanticCustomError("place", "{expected}, not {found}", vars(problem))
    return value


Place = Annotated[str, AfterValidator(_checked_place)]

AnyPlace = Annotated[str, AfterValidator(_checked_place_or_address)]  # or on object storage


LINEAR = "linear"  # as `student_model`


class ModelRef(NamedTuple):
    """A model: a folder or a hub id, and for a hub id its revision."""

    name: str
    revision: str | None = None

    @classmethod
    def of(cls, written: str) -> ModelRef:
        """Read `FOLDER`, `ID` or `ID@REVISION`; a folder may have an @ in its name."""
        name, _, revision = written.rpartition("@")
        if not (name and revision) or os.path.exists(written):
            return cls(written)
        return cls(name, revision)

    @property
    def written(self) -> str:
        """What a user calls it."""
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


class RunConfig(Frozen):
    """Everything that is needed to repeat a run."""

    former: ClassVar[FormerSettings] = FormerSettings(
        renamed={"student_folds": "cross_fitting_folds"},
        removed=REMOVED,
        joined=JOINED,
        groups=("adaptation", "test_csv"),
    )

    task: Place = Field(description="a task file, or the name of a shipped task")
    labeled: AnyPlace | None = Field(
        None,
        description="labeled texts, in files like the pool's; none: a start from words alone",
    )
    pool: AnyPlace = Field(
        description="raw texts: a file or a folder, of Parquet, CSV, JSONL or Feather, in gzip, "
        "too; s3:// and gs://, too"
    )
    out: AnyPlace = Field(description="the run folder; s3:// and gs://, too")
    test: AnyPlace | None = Field(None, description="labeled texts to measure on; never trained on")
    label_column: str = Field("label", description="the column that holds the label")
    text_column: str | None = Field(None, description="the column of a one-field task's text")
    id_column: Annotated[str | None, BeforeValidator(lambda name: name or None)] = Field(
        "id",
        description="the column that holds row ids, where there is one; null: ids are made of file "
        "and row",
    )
    labeled_csv: CsvConfig = Field(
        CsvConfig(), description="of the labeled texts and of the test set"
    )
    pool_csv: CsvConfig = Field(CsvConfig(), description="of the pool")
    keep_columns: tuple[str, ...] = Field((), description="pool columns to copy into the labels")

    model: Place = Field(
        description="the teacher: a local folder or a Hugging Face id, with a commit or tag as "
        "ID@REVISION"
    )
    mask: Mask | None = Field(
        None,
        description="where a teacher of encoder and decoder has a label's word, which its files do "
        "not say: sentinel: a token in the text stands for it (T5, mT5); end: it is the answer to "
        "the text (T0, Flan-T5)",
    )
    encoder: Place | None = Field(
        None, description="a sentence encoder: one more member, by a linear classifier on it"
    )
    student_model: Place | None = Field(
        None,
        description="the student; the teacher if not given. linear: a linear classifier of words, "
        "fitted in seconds; it has none of the settings of a training, and reads texts whole "
        "(./linear: a folder of that name)",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="of the forward passes; auto: bfloat16 on CUDA, float32 elsewhere; int8: of "
        "linear layers that score on a CPU, the rest as auto",
    )

    init_from: Place | None = Field(
        None,
        description="a run whose adapters members start from, of the same tuning and model; of "
        "another model with a projector. Where it was trained on the same labeled rows, accuracy "
        "and confidence on these are too high",
    )

    preset: Preset = Field("default", description="settings to start from")
    seed: int = Field(42, ge=0, description="every seed of the run is derived from it")
    repetitions: int = Field(1, ge=1, le=100, description="members per pattern, by seed")
    max_length: int = Field(128, ge=8, description="tokens per text, pattern included")
    student_max_length: int | None = Field(
        None, ge=8, description="tokens per text for the student; as max_length if not given"
    )
    long_texts: LongTexts = Field(
        "head",
        description="what is read of a text that is longer than max_length: its beginning; or half "
        "of it from the end; or up to 8 overlapping windows, whose scores are averaged. Of several "
        "fields, of each. By teacher, encoder and student",
    )
    encoder_max_length: int = Field(
        256, ge=8, description="tokens per text for the encoder, as far as it has positions"
    )
    weights: Weighing = Field(
        "accuracy",
        description="how members are weighted: uniformly, by the task file's [weights] or else by "
        "accuracy on labeled rows before training, or by agreement with each other on the pool",
    )
    temperature: float = Field(2.0, gt=0, description="softens soft labels and student")
    cross_fitting_folds: int = Field(
        5,
        ge=1,
        le=20,
        description="the pool's folds: a linear classifier of the words of the other folds "
        "corrects the soft labels of each; 1: the student learns from what the ensemble predicts, "
        "as in the paper",
    )
    unlabeled_rows: int | None = Field(
        None, ge=1, description="pool rows that members predict; 10,000 per label if not given"
    )
    learn_from_labeled: bool = Field(
        False,
        description="let the student learn from pool rows whose text stands in the labeled set, "
        "too; where there is no other text",
    )
    adapt_steps: int = Field(
        0, ge=0, description="steps of language-model training on the pool before the members"
    )
    lm_weight: float = Field(
        0.0, ge=0, lt=1, description="share of the auxiliary language-model loss; the paper: 1e-4"
    )
    calibration: Prior = Field(
        "half-matched",
        description="which prior of the labels is taken out of their scores: none; that of texts "
        "without content; their mean probability on the pool; the one that makes it even; or half "
        "way between these two",
    )
    generations: Annotated[int, Field(ge=0, le=MOST_GENERATIONS)] | Literal["paper"] = Field(
        "paper", description="iPET generations after the first; `paper`: until 1,000 rows were seen"
    )
    train_from: float = Field(
        8,
        ge=0,
        description="labeled rows per label, or 80 in all, from which generation 0 is trained in "
        "any case; with fewer, only where untrained members are less accurate than predicting the "
        "most frequent label",
    )
    out_of_bag: float = Field(
        0.25,
        ge=0,
        le=0.5,
        description="share of the labeled rows that is held out from models trained beside the "
        "members, so that confidence is calibrated on rows predicted out of fold; 0: on none",
    )
    growth_factor: float = Field(5.0, gt=1, description="d: growth of a generation's rows")
    teacher_share: float = Field(
        1.0, gt=0, le=1, description="share of the other members that teach one; the paper: 0.25"
    )
    drawn_labels: Literal["hard", "soft"] = Field(
        "soft",
        description="targets of drawn rows: the label that teachers predict, or probabilities",
    )
    class_weight: ClassWeight = Field(
        "sqrt",
        description="how much more often the student is trained on rows of a rare label: by the "
        "commonest label's number of rows over its own, or the square root, at most 8 times",
    )
    first_rows: int | None = Field(
        None,
        ge=1,
        description="rows of the first generation without labels; 10 per label if not given; the "
        "paper: 10",
    )
    abstain_below: float = Field(0.5, ge=0, le=1, description="rows of less confidence abstain")
    max_rejected: float = Field(
        0.1, ge=0, le=1, description="share of unusable rows that stops a run"
    )
    shard_rows: int = Field(10_000, ge=1, description="rows per file of logits and labels")
    tokens_per_batch: int = Field(
        8192, ge=64, description="tokens in one forward pass; scoring on a CPU: 2,048 at most"
    )

    warmup: float = Field(
        0.1, ge=0, lt=1, description="share of a training's steps with a rising rate"
    )
    joint: JointConfig = Field(
        JointConfig(),
        description="training of one model by all patterns on the labeled rows, where members are "
        "not trained (member.steps=0)",
    )
    member: TrainingConfig = Field(TrainingConfig(), description="training of a member")
    student: StudentConfig = Field(
        StudentConfig(steps=1000, batch_size=16, dropout=None),
        description="training of the student",
    )
    supervised: OptimizerConfig = Field(
        OptimizerConfig(),
        description="training of the supervised baseline; it is tuned as the student is",
    )
    lora: LoraConfig = Field(LoraConfig(), description="wherever tuning is lora or dora")
    bottleneck: BottleneckConfig = Field(
        BottleneckConfig(), description="of members, where tuning is houlsby or pfeiffer"
    )
    soft_prompt: SoftPromptConfig = Field(SoftPromptConfig(), description="of members")
    prefix: PrefixConfig = Field(PrefixConfig(), description="of members")
    projector: ProjectorConfig = Field(
        ProjectorConfig(), description="of soft prompts that `init_from` takes from another model"
    )

    @property
    def id_name(self) -> str:
        """The column that row ids are written to, also where none is read."""
        return self.id_column or "id"

    @property
    def model_ref(self) -> ModelRef:
        return ModelRef.of(self.model)

    @property
    def linear_student(self) -> bool:
        """Whether the student is a linear classifier of words, which starts from no model."""
        return self.student_model == LINEAR

    @property
    def student_ref(self) -> ModelRef:
        """What the student starts from: the teacher, where nothing else is named."""
        if self.student_model is None:
            return self.model_ref
        return ModelRef.of(self.student_model)

    @property
    def encoder_ref(self) -> ModelRef:
        assert self.encoder is not None, "only a run with an encoder asks"
        return ModelRef.of(self.encoder)

    def model_refs(self) -> dict[str, ModelRef]:
        """Return the models that are named, by their settings' names."""
        refs = {"model": self.model_ref}
        if self.student_model is not None and not self.linear_student:
            refs["student_model"] = self.student_ref
        if self.encoder is not None:
            refs["encoder"] = self.encoder_ref
        return refs

    @property
    def student_length(self) -> int:
        """Tokens of a text that the student reads."""
        return self.student_max_length or self.max_length

    @property
    def base(self) -> str | None:
        """The run's own model that members start from, by its folder; None: the teacher."""
        if self.joint.steps and self.labeled is not None:
            return "joint"
        return "adapted" if self.adapt_steps else None

    @property
    def prior_of_pool(self) -> bool:
        """Whether the labels' prior is measured on rows of the pool."""
        return self.calibration not in ("none", "content-free")

    @model_validator(mode="before")
    @classmethod
    def _preset_lies_under_settings(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        data = cls.former.of_today(data, warn)
        name = data.get("preset", "default")
        preset = PRESETS.get(name, {}) if isinstance(name, str) else {}
        return {**data, **_merged(preset, data), **_training_defaults(cls, preset, data)}


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in under.items() if not isinstance(value, Mapping)}
    return {key: over.get(key, value) for key, value in plain.items()}


def _has_steps(training: object) -> bool:
    if isinstance(training, Mapping):
        return bool(training.get("steps"))
    return isinstance(training, OptimizerConfig) and training.steps > 0


def _training_defaults(
    cls: type[BaseModel], preset: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Fill a partly given `student = {steps: 10}` from the preset, then from the default."""
    filled = {}
    for name, field in cls.model_fields.items():
        given = data.get(name, {})
        groups = (OptimizerConfig, JointConfig)
        if isinstance(field.default, groups) and isinstance(given, Mapping):
            under = dict(preset.get(name, {}))
            if name == "joint" and _has_steps(data.get("member")):
                under = {}  # a preset's is for members that are not trained
            tuned = data.get("student") if name == "supervised" else given
            if isinstance(tuned, Mapping) and tuned.get("tuning", "full") != "full":
                under.pop("learning_rate", None)  # a preset's is for all weights
            filled[name] = {**field.default.model_dump(), **under, **given}
    return filled
