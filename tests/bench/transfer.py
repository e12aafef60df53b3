"""Transfer of soft prompts: between tasks, and from model to model. `make bench-transfer`

    python -m tests.bench.transfer                         what is missing, then the page
    python -m tests.bench.transfer --parts starts projector

`runs` are three runs of `pet` that `pet transfer` compares. In all other parts a member is trained
and asked here, as a run does it: 50 labeled rows, the task's last pattern, 10 vectors, 64 tokens,
labeled sets 0 and 1, the first 400 test rows (100 for SmolLM2). A cell's
figures, and the prompts, are files under PET_CACHE/bench/transfer. Nothing is chosen by these
figures.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from data.cache import cache_root
from pet.config import ModelRef, RunConfig, TrainingConfig
from pet.finished.transfer import measure_transfer
from pet.method.calibration import calibration_offset
from pet.models.adapter import save_adapter
from pet.models.adapter_kinds import start_adapter
from pet.models.cloze_model import ClozeModel
from pet.models.scoring import cloze_encoder, score_columns, tokenize_columns
from pet.models.soft_prompt import PROJECTOR_RATE, PROJECTOR_WIDTH, SoftPrompt
from pet.models.teachers import load_teacher
from pet.models.training import cross_entropy, one_hot, train
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.settings import make_config
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task, load_task
from tests.bench.tables import measure_missing, write_page
from tests.bench.tuning_settings import read_columns

CPU = torch.device("cpu")
TASKS = ("newsgroups", "movies", "reuters")
SEEDS, LABELS, MAX_LENGTH, ROWS, FEWER_ROWS, PRIOR_ROWS = (0, 1), 50, 64, 400, 100, 50
STEPS, LARGE_STEPS = 150, 40  # of a member's own prompt: of 8 rows; with SmolLM2, of 4
MEMBER_STEPS = 50  # behind a projector
TINY, LARGE = "bert-tiny", "smollm2"
TOKENS_PER_BATCH = 8192
RUNS = (("newsgroups", 0), ("newsgroups", 1), ("movies", 0))
RUN_SETTINGS = (
    "member.tuning=soft-prompt",
    f"max_length={MAX_LENGTH}",
    "generations=0",
    "train_from=0",
    "out_of_bag=0",
    "unlabeled_rows=200",
    "student.steps=1",
    "supervised.steps=1",
)

# A member of newsgroups: whose prompts it starts from, and its steps.
STARTS: dict[str, tuple[str | None, int]] = {
    **{f"label words, {steps} steps": (None, steps) for steps in (50, 75, 100, 150)},
    **{f"prompts of {task}, 75 steps": (task, 75) for task in TASKS},
}
# The same from prompts of SmolLM2: the projector's steps and rate; then 50 of the member.
PROJECTORS = {
    "50 steps": (50, PROJECTOR_RATE),
    "100 steps": (100, PROJECTOR_RATE),
    "100 steps at a rate of 1e-2": (100, 1e-2),
}
# What the projector has learned on, before prompts of every task go through it as they are.
LEARNED: dict[str, str | None] = {**{task: task for task in TASKS}, "nothing": None}


@dataclass(frozen=True)
class Cell:
    part: str
    name: str
    seed: int

    @property
    def path(self) -> Path:
        place = f"{self.part}-{self.name.replace(' ', '_')}-seed{self.seed}.json"
        return folder() / place


def folder() -> Path:
    return cache_root() / "bench" / "transfer"


def all_cells() -> list[Cell]:
    parts = {"starts": STARTS, "projector": PROJECTORS, "other tasks": LEARNED, "own": (TINY,)}
    cells = [Cell(part, n, seed) for seed in SEEDS for part, names in parts.items() for n in names]
    return [Cell("runs", "all", 0), *cells, Cell("own", LARGE, 0)]


def measure(cell: Cell) -> dict[str, Any]:
    """Measure a cell: mostly accuracies, by the task that is asked."""
    return MEASURES[cell.part](cell.name, cell.seed)


def compared_runs(_name: str, _seed: int) -> dict[str, Any]:
    """Run `pet` three times, and compare what was learned as `pet transfer` does."""
    place = folder() / "runs"
    shutil.rmtree(place, ignore_errors=True)
    runs = []
    for task, seed in RUNS:
        own = place / f"{task}-{seed}"
        own.mkdir(parents=True)
        for name, rows in (("pool", 2 * PRIOR_ROWS), ("test", ROWS)):
            table = pq.read_table(cache_root() / task / f"{name}.parquet").slice(0, rows)
            pq.write_table(table, own / f"{name}.parquet")
        values = {name: str(own / f"{name}.parquet") for name in ("pool", "test")}
        label_pool(config_of(task, seed, RUN_SETTINGS, out=str(own / "run"), **values))
        runs.append(own / "run")
    found = measure_transfer(runs, SILENT)
    shutil.rmtree(place)
    return found


def config_of(task: str, seed: int, settings: Sequence[str], **values: str) -> RunConfig:
    given = {
        "task": task,
        "model": str(cache_root() / "models" / TINY),
        "labeled": str(cache_root() / task / f"labeled-{LABELS}-seed{seed}.parquet"),
        "pool": "p",
        "out": "o",
        "seed": seed,
    }
    return make_config({**given, **values}, settings)


def started(name: str, seed: int) -> dict[str, float]:
    """Train a member of newsgroups from label words, or from BERT-tiny's prompts of a task."""
    task, steps = STARTS[name]
    if task is None:
        prompt = fresh(TINY, TASKS[0], seed)
    else:  # of newsgroups: those of the other labeled set
        prompt = kept(TINY, task, 1 - seed if task == TASKS[0] else seed)
    learn(TINY, TASKS[0], seed, prompt, steps)
    return {"accuracy": accuracy(TINY, TASKS[0], prompt)}


def through_own_projector(name: str, seed: int) -> dict[str, float]:
    """Train a projector, then the member of newsgroups, as `projector.steps` does."""
    prompt, (steps, rate) = projected(TASKS[0], seed), PROJECTORS[name]
    learn(TINY, TASKS[0], seed, prompt, steps, rate)
    prompt.fold_projector()
    learn(TINY, TASKS[0], seed, prompt, MEMBER_STEPS)
    return {"accuracy": accuracy(TINY, TASKS[0], prompt)}


def through_projector(name: str, seed: int) -> dict[str, float]:
    """Let a projector learn on one task, and ask every task with its prompts of SmolLM2.

    That is the cross-model transfer of Su et al. (2022, section 5): no row of a task that is asked
    has been learned from, unless it is the same one. `... of TASK`: with the prompts that the
    projector has learned with, whatever the task.
    """
    learned = LEARNED[name]
    first = projected(learned or TASKS[0], seed)
    if learned is not None:
        learn(TINY, learned, seed, first, STEPS, PROJECTOR_RATE)
    found = {}
    for task in TASKS:
        prompt = projected(task, seed)
        prompt.projector = first.projector
        found[task] = accuracy(TINY, task, prompt)
        if learned is not None:
            found[f"{task} by prompts of {learned}"] = accuracy(TINY, task, first)
    return found


def own_prompts(name: str, seed: int) -> dict[str, float]:
    """Ask every task with a model's own prompts, and with none: what transfer is set beside."""
    found = {}
    for task in TASKS:
        rows = FEWER_ROWS if name == LARGE else ROWS
        found[task] = accuracy(name, task, kept(name, task, seed), rows)
        found[f"{task}, no prompt"] = accuracy(name, task, None, rows)
    return found


MEASURES: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "runs": compared_runs,
    "starts": started,
    "projector": through_own_projector,
    "other tasks": through_projector,
    "own": own_prompts,
}


def projected(task: str, seed: int) -> SoftPrompt:
    """Return SmolLM2's prompts of a task behind a new projector to BERT-tiny."""
    model = backbone(TINY)
    before = len(encoder_of(model, load_task(task)).special.before)
    own = prompts(LARGE, task, 0)
    return SoftPrompt.projected(model.module, own, before, PROJECTOR_WIDTH, seed)


def kept(name: str, task: str, seed: int) -> SoftPrompt:
    return SoftPrompt.load(backbone(name).module, prompts(name, task, seed))


def prompts(name: str, task: str, seed: int) -> Path:
    """Return the folder with a model's own prompts of a task; they are trained but once."""
    place = folder() / f"prompts-{name}-{task}-{seed}"
    if not place.exists():
        prompt = fresh(name, task, seed)
        learn(name, task, seed, prompt, LARGE_STEPS if name == LARGE else STEPS)
        save_adapter(prompt, place, {"ref": name, "revision": None, "digest": ""})
    return place


def fresh(name: str, task: str, seed: int) -> SoftPrompt:
    """Return a new prompt that starts from the task's words."""
    model = backbone(name)
    model.active_adapter.set(None)
    config = config_of(task, seed, RUN_SETTINGS)
    prompt = start_adapter(model, config, encoder_of(model, load_task(task)), seed)
    assert isinstance(prompt, SoftPrompt), "RUN_SETTINGS say so"
    return prompt


def learn(
    name: str, task: str, seed: int, prompt: SoftPrompt, steps: int, rate: float | None = None
) -> None:
    """Train a prompt, or its projector, on a labeled set."""
    model, labels = backbone(name).with_adapter(prompt), load_task(task).labels
    encoder = encoder_of(model, load_task(task), offset(name, task))
    columns, gold = read_columns(task, f"labeled-{LABELS}-seed{seed}")
    train(
        model,
        encoder,
        tokenize_columns(encoder, model.tokenizer, columns),
        np.arange(len(gold)),
        cross_entropy(one_hot(gold, len(labels)), CPU),
        TrainingConfig(
            tuning="soft-prompt",
            steps=steps,
            learning_rate=rate,
            batch_size=4 if name == LARGE else 8,
        ),
        warmup=0.1,
        seed=seed,
        tokens_per_batch=TOKENS_PER_BATCH,
    )


def accuracy(name: str, task: str, prompt: SoftPrompt | None, rows: int = ROWS) -> float:
    """Ask a model, with a prompt or without, about the first test rows of a task."""
    columns, gold = read_columns(task, "test", rows)
    scores = scored(name, task, prompt, columns, offset(name, task))
    return float((scores.argmax(axis=1) == gold).mean())


@cache
def offset(name: str, task: str) -> np.ndarray:
    """What is added to label scores, by default: of the untrained model, on a few pool rows."""
    table = pq.read_table(cache_root() / task / "pool.parquet").slice(0, PRIOR_ROWS)
    texts = {"text": table.column("text").to_pylist()}
    scores = scored(name, task, None, texts, None)
    return calibration_offset(scores, RunConfig.model_fields["calibration"].default)


def scored(
    name: str,
    task: str,
    prompt: SoftPrompt | None,
    columns: dict[str, list[str]],
    added: np.ndarray | None,
) -> np.ndarray:
    model = backbone(name)
    if prompt is None:
        model.active_adapter.set(None)
    else:
        model = model.with_adapter(prompt)
    return score_columns(
        model, encoder_of(model, load_task(task), added), columns, TOKENS_PER_BATCH
    )


def encoder_of(model: ClozeModel, task: Task, added: np.ndarray | None = None) -> Encoder:
    """Compile the task's last pattern, which ends in the mask, for both kinds of models."""
    config = config_of(task.name, 0, RUN_SETTINGS)
    own = None if added is None else added.astype(np.float32)
    return cloze_encoder(config, task, model, task.patterns[-1].name, own)


@cache
def backbone(name: str) -> ClozeModel:
    ref = ModelRef(str(cache_root() / "models" / name))
    model = load_teacher(ref, CPU)
    model.module.requires_grad_(False)
    return model


def document() -> str:
    """Lay out what has been measured."""
    by_name: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in all_cells():
        if cell.path.exists():
            found = json.loads(cell.path.read_text())
            by_name.setdefault((cell.part, cell.name), []).append(found)

    def mean(part: str, name: str, key: str = "accuracy") -> str:
        values = [own[key] for own in by_name.get((part, name), ()) if key in own]
        return f"{np.mean(values):.3f}" if values else ""

    def rows(part: str, names: Sequence[str]) -> list[str]:
        return [f"| {name} | {mean(part, name)} |" for name in names]

    lines = [
        "# Transfer of soft prompts",
        "",
        f"{date.today()}, written by `make bench-transfer`. BERT-tiny, {LABELS} labeled rows, "
        f"{MAX_LENGTH} tokens a text, prompts of 10 vectors; accuracy on the first {ROWS} test "
        f"rows ({FEWER_ROWS} with SmolLM2), so that differences under five points say nothing. "
        "Nothing was chosen by these figures.",
    ]
    if found := by_name.get(("runs", "all")):
        lines += ["", f"## `pet transfer` of three runs of {STEPS} steps, four patterns each", ""]
        lines += compared(found[0])
    columns = " | ".join(TASKS)
    lines += [
        "",
        "Below: one pattern, the last of the task; means of labeled sets 0 and 1.",
        "",
        "## `init_from`: a member of newsgroups that starts from",
        "",
        *["| | accuracy |", "|---|---|", *rows("starts", list(STARTS))],
        "",
        f"## From prompts of SmolLM2: {MEMBER_STEPS} steps of a member of newsgroups behind",
        "",
        *["| a projector with | accuracy |", "|---|---|", *rows("projector", list(PROJECTORS))],
        "",
        "## A projector that has learned on another task",
        "",
        f"SmolLM2's prompts of a task ({LARGE_STEPS} steps of 4 rows, labeled set 0), through a "
        f"projector that has learned on a task with that one's prompts ({STEPS} steps of 8), for "
        "BERT-tiny as they are: no step on the task that is asked. In brackets: the prompts that "
        "the projector has learned with, in the place of the asked task's.",
        "",
        f"| projector learned on | {columns} |",
        "|---|" + "---|" * len(TASKS),
    ]
    for name, task in LEARNED.items():
        shown = [
            mean("other tasks", name, own)
            + (f" ({mean('other tasks', name, f'{own} by prompts of {task}')})" if task else "")
            for own in TASKS
        ]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    for model, title in ((TINY, "BERT-tiny"), (LARGE, "SmolLM2")):
        for end, prompt in (("own prompts", ""), ("no prompt", ", no prompt")):
            shown = [mean("own", model, own + prompt) for own in TASKS]
            if any(shown):
                lines.append(f"| {title}, {end} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def compared(found: dict[str, Any]) -> list[str]:
    """Lay out what `pet transfer` says: accuracies, and how like the first run's prompts are."""
    lines = [
        "| prompts of | on newsgroups | on movies | cosine with newsgroups 0 | 1 / (1 + d) "
        "| neurons |",
        "|---|---|---|---|---|---|",
    ]
    similar = [
        found["similarity"][name]["runs"][0]
        for name in ("cosine_average", "euclidean_average", "active_neurons")
    ]
    accuracies = [*found["accuracy"]["matrix"], found["accuracy"]["untrained"]]
    for place, own in enumerate(accuracies):
        known = place < len(RUNS)
        name = "{} {}".format(*RUNS[place]) if known else "none"
        near = [f"{of[place]:.3f}" for of in similar] if known else ["", "", ""]
        shown = [f"{own[0]:.3f}", f"{own[2]:.3f}", *near]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    cells = all_cells()
    parts = list(dict.fromkeys(cell.part for cell in cells))
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder().mkdir(parents=True, exist_ok=True)
    measure_missing([cell for cell in cells if cell.part in options.parts], measure)
    write_page("transfer", document())


if __name__ == "__main__":
    main()
