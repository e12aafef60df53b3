"""Members: one language model each, trained on one pattern, and what they say of every row."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pet.compilation import pattern_encoder
from pet.config import RunConfig
from pet.data import write_parquet
from pet.encoding import Encoder, TokenizedTexts, tokenize
from pet.ensembling import softmax
from pet.evaluation import metrics
from pet.inputs import Inputs, Unlabeled, load_unlabeled
from pet.models import ClozeModel, Rows, Scorer, choose_device
from pet.progress import Tick
from pet.runs import DONE, Unit, fingerprint, make_unit, read_json
from pet.scoring import score
from pet.tasks import Task
from pet.training import train

Columns = Mapping[str, Sequence[str]]


@dataclass(frozen=True, order=True)
class Member:
    """One model: pattern x repetition x generation. Generation None is not trained at all."""

    pattern: str
    repetition: int = 0
    generation: int | None = 0

    @property
    def name(self) -> str:
        if self.generation is None:
            return f"untrained-{self.pattern}"
        return f"g{self.generation}-{self.pattern}-r{self.repetition}"


def members_of(inputs: Inputs, generation: int | None = 0) -> list[Member]:
    """List a generation's members, in the order of the task file."""
    repetitions = range(inputs.config.repetitions) if generation is not None else [0]
    return [
        Member(pattern.name, repetition, generation)
        for pattern in inputs.task.patterns
        for repetition in repetitions
    ]


def folder_of(inputs: Inputs, member: Member) -> Path:
    return inputs.folder / "members" / member.name


def member_fingerprint(inputs: Inputs, member: Member) -> str:
    """Name a member by all that shapes it, and by nothing else: not by the other patterns."""
    config, task = inputs.config, inputs.task
    return fingerprint(
        unit="member", generation=member.generation, repetition=member.repetition,
        pattern=task.pattern(member.pattern).template, words=dict(task.verbalizer(member.pattern)),
        model=inputs.digests["model"], max_length=config.max_length, device=config.device,
        **({} if member.generation is None else {
            "labeled": inputs.digests["labeled"], "training": config.member.model_dump(),
            "seed": inputs.seed("member", member.generation, member.pattern, member.repetition),
        }),
    )  # fmt: skip


def tokenize_columns(
    encoder: Encoder, tokenizer: Any, columns: Columns
) -> dict[str, TokenizedTexts]:
    """Tokenise every field that the encoder uses, as it stands in its pattern."""
    return {
        name: tokenize(tokenizer, columns[name], encoder.max_length, space)
        for name, space in encoder.spaces.items()
    }


def cross_entropy(
    truth: NDArray[np.int64], device: torch.device
) -> Callable[[Tensor, Rows], Tensor]:
    """Cross-entropy over the labels, summed over the rows (section 3.1 of the PET paper)."""
    gold = torch.from_numpy(truth).to(device)

    def loss(scores: Tensor, rows: Rows) -> Tensor:
        return functional.cross_entropy(scores, gold[torch.from_numpy(rows)], reduction="sum")

    return loss


def train_member(inputs: Inputs, member: Member) -> Unit:
    """Train a member from the pretrained model on the labeled set, and keep it."""
    return make_unit(
        folder_of(inputs, member), member_fingerprint(inputs, member),
        lambda folder: _train(inputs, member, folder),
    )  # fmt: skip


def _train(inputs: Inputs, member: Member, folder: Path) -> dict[str, Any]:
    config, labeled = inputs.config, inputs.labeled
    model = ClozeModel.load(config.model, config.model_revision, choose_device(config.device))
    encoder = cloze_encoder(model, inputs.task, member.pattern, config.max_length)
    texts = tokenize_columns(encoder, model.tokenizer, labeled.columns)
    rows = np.arange(len(labeled))
    with inputs.observer.stage(f"training {member.name}", config.member.steps, "steps") as tick:
        losses = train(
            model, encoder, texts, rows, cross_entropy(labeled.labels, model.device), config.member,
            seed=inputs.seed("member", member.generation, member.pattern, member.repetition),
            tokens_per_batch=config.tokens_per_batch, tick=tick,
        )  # fmt: skip
    model.save(folder)
    return {"losses": [round(value, 4) for value in losses]}


def cloze_encoder(model: ClozeModel, task: Task, pattern: str, max_length: int) -> Encoder:
    """Compile one of the task's patterns for a model."""
    return pattern_encoder(
        model.tokenizer, task.pattern(pattern), task.verbalizer(pattern), model.causal, max_length
    )


def load_member(
    config: RunConfig, task: Task, run: Path, member: Member
) -> tuple[ClozeModel, Encoder]:
    """Load a trained member of a run, or the pretrained model for an untrained one."""
    device = choose_device(config.device)
    if member.generation is None:
        model = ClozeModel.load(config.model, config.model_revision, device)
    else:
        model = ClozeModel.load(str(run / "members" / member.name), None, device)
    return model, cloze_encoder(model, task, member.pattern, config.max_length)


def score_member(inputs: Inputs, member: Member, pool: bool = True) -> list[Unit]:
    """Write what a member says of the labeled set, the test set and the unlabeled rows."""
    own = member_fingerprint(inputs, member)
    folder = folder_of(inputs, member) / "logits"
    load = functools.cache(lambda: load_member(inputs.config, inputs.task, inputs.folder, member))
    units = [
        _score_table(inputs, member.name, own, folder / f"{name}.parquet", name, table, load)
        for name, table in measured_tables(inputs).items()
    ]
    return units + (_score_unlabeled(inputs, member, own, folder, load) if pool else [])


def measured_tables(inputs: Inputs) -> dict[str, Any]:
    """The sets with known labels: the labeled set, and the test set where there is one."""
    tables = {"labeled": inputs.labeled}
    return tables if inputs.test is None else {**tables, "test": inputs.test}


def _score_table(
    inputs: Inputs, name: str, own: str, path: Path, source: str, table: Any, load: Any
) -> Unit:
    expected = fingerprint(model=own, rows=inputs.digests[source])

    def make(tick: Tick) -> tuple[list[str], NDArray[np.float32]]:
        model, encoder = load()
        return table.ids, score_columns(inputs.config, model, encoder, table.columns, tick)

    return write_logits(inputs, path, expected, f"{name} on {source}", len(table), make)


def _score_unlabeled(
    inputs: Inputs, member: Member, own: str, folder: Path, load: Any
) -> list[Unit]:
    unlabeled = unlabeled_rows(inputs)
    source = unlabeled_fingerprint(inputs)
    size = inputs.config.shard_rows
    units = []
    for shard, start in enumerate(range(0, len(unlabeled), size)):
        rows = slice(start, start + size)

        def make(tick: Tick, rows: slice = rows) -> tuple[list[str], NDArray[np.float32]]:
            model, encoder = load()
            columns = {name: texts[rows] for name, texts in unlabeled.columns.items()}
            return unlabeled.ids[rows], score_columns(inputs.config, model, encoder, columns, tick)

        path = folder / f"part-{shard:05d}.parquet"
        expected = fingerprint(model=own, rows=source, shard=shard, size=size)
        count = len(unlabeled.ids[rows])
        units.append(write_logits(inputs, path, expected, f"{member.name} on pool", count, make))
    return units


def score_columns(
    config: RunConfig, model: Scorer, encoder: Encoder, columns: Columns, tick: Tick
) -> NDArray[np.float32]:
    """Tokenise and score texts. [rows, labels]"""
    texts = tokenize_columns(encoder, model.tokenizer, columns)
    return score(model, encoder, texts, tokens_per_batch=config.tokens_per_batch, tick=tick)


def write_logits(
    inputs: Inputs, path: Path, expected: str, stage: str, rows: int,
    make: Callable[[Tick], tuple[list[str], NDArray[np.float32]]],
) -> Unit:  # fmt: skip
    """Write a file of logits, unless it is there and was made from the same things."""
    if stored_fingerprint(path) == expected:
        return Unit(path, expected, True, "up to date")
    with inputs.observer.stage(f"scoring {stage}", rows, "rows") as tick:
        ids, logits = make(tick)
    write_parquet(path, logits_table(ids, logits), {"fingerprint": expected})
    return Unit(path, expected, False)


def logits_table(ids: Sequence[str], logits: NDArray[np.floating]) -> pa.Table:
    """Put row ids and a row of label scores each into a table: id, scores."""
    flat = pa.array(logits.astype(np.float32).ravel())
    scores = pa.FixedSizeListArray.from_arrays(flat, logits.shape[1])
    return pa.table({"id": pa.array(ids, pa.string()), "scores": scores})


def stored_fingerprint(path: Path) -> str | None:
    """Return the fingerprint that a Parquet file was written with, if it is whole."""
    try:
        stored = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    return stored.get(b"fingerprint", b"").decode() or None


def read_logits(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Read a file of logits: row ids, and [rows, labels]."""
    table = pq.read_table(path)
    scores = table["scores"].combine_chunks()
    width = scores.type.list_size
    return table["id"].to_pylist(), scores.flatten().to_numpy().reshape(-1, width)


def zero_shot_accuracy(inputs: Inputs, pattern: str) -> float:
    """Accuracy on the labeled set before any training: the weight of section 3.3."""
    path = folder_of(inputs, Member(pattern, generation=None)) / "logits" / "labeled.parquet"
    return metrics(softmax(read_logits(path)[1]), inputs.labeled.labels)["accuracy"]


def unlabeled_fingerprint(inputs: Inputs) -> str:
    return str((read_json(inputs.folder / "unlabeled" / DONE) or {})["fingerprint"])


@functools.lru_cache(maxsize=2)
def _load_unlabeled(folder: str, expected: str) -> Unlabeled:
    return load_unlabeled(Path(folder))


def unlabeled_rows(inputs: Inputs) -> Unlabeled:
    """The pool rows that members score, read once per process."""
    return _load_unlabeled(str(inputs.folder), unlabeled_fingerprint(inputs))
