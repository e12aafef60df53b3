"""What each way of tuning needs: rates, lengths, starts, losses; one member each, validation rows.

    python -m tests.bench.tuning_settings                        what is missing, table and plot
    python -m tests.bench.tuning_settings --groups ways lengths --seeds 5

One cell is one pattern (`category`) of newsgroups with BERT-tiny: trained on 50 labeled rows for
150 steps of 8, asked about 400 validation rows, of the labeled sets of seeds 5 to 7. Its figures
are a file under PET_CACHE/bench/tuning-settings, so an interrupted benchmark goes on; a group of
which there are none keeps its table. Everything is computed in this process, a cell in ten seconds
of one core; the three of SmolLM2 take ten minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from data.cache import cache_root
from pet.config import ModelRef, RunConfig, Tuning
from pet.ensemble.fingerprints import adaptation_training
from pet.models.adapter import save_adapter
from pet.models.adapter_kinds import start_adapter
from pet.models.cloze_model import ClozeModel
from pet.models.scoring import cloze_encoder, score_columns, tokenize_columns
from pet.models.teachers import load_teacher
from pet.models.training import cross_entropy, one_hot, optimize, train
from pet.settings import make_config
from pet.storage.files import write_json, write_text
from pet.tasks.encoding import Encoder
from pet.tasks.task import load_task
from tests.bench.tables import RESULTS, notes

TASK, PATTERN, LABELS, SEEDS, ROWS = "newsgroups", "category", 50, (5, 6, 7), 400
# With SmolLM2 less: one labeled set, and of the texts as many tokens whatever the prompt's length.
LARGE, LARGE_PATTERN, LARGE_SEEDS, LARGE_ROWS, LARGE_STEPS, LARGE_TOKENS = (
    "soft prompts of SmolLM2", "topic", (5,), 150, 40, 64
)  # fmt: skip
POOL_ROWS = 2000  # that adaptation and the auxiliary loss learn from
CPU = torch.device("cpu")

WAYS = tuple(own for own in get_args(Tuning) if own not in ("top-3", "top-4"))  # it has two layers


def _rates(tuning: str, *rates: float) -> dict[str, tuple[str, ...]]:
    own = f"member.tuning={tuning}"
    return {f"{tuning} at {rate:g}": (own, f"member.learning_rate={rate}") for rate in rates}


def _variants(tuning: str, name: str, *values: object) -> dict[str, tuple[str, ...]]:
    own = f"member.tuning={tuning}"
    return {f"{tuning}, {name} {value}": (own, f"{name}={value}") for value in values}


# What is compared, and the settings of each; all else is as by default.
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "ways": {way: (f"member.tuning={way}",) for way in WAYS},
    "rates": {
        **_rates("dora", 2e-3),
        **_rates("ia3", 1e-2, 3e-2, 1e-1, 3e-1),
        **_rates("houlsby", 1e-3, 2e-3, 5e-3, 1e-2),
        **_rates("pfeiffer", 2e-3, 5e-3, 1e-2, 2e-2),
        **_rates("layer-norm", 1e-2, 3e-2, 1e-1),
        **_rates("bitfit", 3e-3, 1e-2, 3e-2),
        **_rates("top-1", 5e-4, 1e-3, 2e-3),
        **_rates("top-2", 5e-4, 1e-3, 2e-3),
    },
    "lengths": {
        **_variants("soft-prompt", "soft_prompt.length", 1, 5, 20, 100),
        **_variants("prefix", "prefix.length", 1, 50),
        **_variants("pfeiffer", "bottleneck.width", 8, 16),
    },
    "starts": {
        **_variants("soft-prompt", "soft_prompt.init", "random", "vocabulary", "pattern-words"),
        **_variants("prefix", "prefix.init", "random", "vocabulary"),
    },
    LARGE: {
        f"SmolLM2, soft_prompt.length {length}": (
            "member.tuning=soft-prompt",
            f"soft_prompt.length={length}",
            f"max_length={LARGE_TOKENS + length}",
            f"member.steps={LARGE_STEPS}",
        )
        for length in (5, 20, 100)
    },
    "language model": {
        **_variants("full", "lm_weight", 1e-4, 1e-2, 1e-1),
        **_variants("full", "adapt_steps", 50, 200),
    },
}


@dataclass(frozen=True)
class Cell:
    """Settings on a labeled set."""

    group: str
    name: str
    seed: int

    @property
    def path(self) -> Path:
        place = f"{self.name.replace(' ', '_')}-seed{self.seed}.json"
        return cache_root() / "bench" / "tuning-settings" / place

    @property
    def config(self) -> RunConfig:
        values = {"task": TASK, "model": "m", "pool": "p", "out": "o", "seed": self.seed}
        return make_config(values, GROUPS[self.group][self.name])


def measure(cell: Cell) -> dict[str, float]:
    """Train a member as the cell's settings say, and ask it."""
    config, task, large = cell.config, load_task(TASK), cell.group == LARGE
    pattern = LARGE_PATTERN if large else PATTERN
    ref = ModelRef(str(cache_root() / "models" / ("smollm2" if large else "bert-tiny")))
    model = load_teacher(ref, CPU)
    plain = cloze_encoder(config, task, model, pattern)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cell.seed)
        if config.adapt_steps:
            _adapt(model, plain, config)
    if config.member.tuning != "full":
        model.module.requires_grad_(False)
        model = model.with_adapter(start_adapter(model, config, plain, cell.seed))
    encoder = cloze_encoder(config, task, model, pattern)
    columns, targets = read_columns(TASK, f"labeled-{LABELS}-seed{cell.seed}")
    loss, weight = cross_entropy(one_hot(targets, len(task.labels)), CPU), config.lm_weight
    started = time.process_time()
    train(
        model,
        encoder,
        tokenize_columns(encoder, model.tokenizer, columns),
        np.arange(len(targets)),
        lambda scores, rows: (1 - weight) * loss(scores, rows),
        config.member,
        warmup=config.warmup,
        seed=cell.seed,
        tokens_per_batch=config.tokens_per_batch,
        auxiliary=_auxiliary(model, encoder, weight, cell.seed) if weight else None,
    )
    seconds = time.process_time() - started
    columns, gold = read_columns(TASK, "validation", LARGE_ROWS if large else ROWS)
    scores = score_columns(model, encoder, columns, config.tokens_per_batch)
    return {
        "accuracy": float((scores.argmax(axis=1) == gold).mean()),
        "milliseconds a step": 1000 * seconds / config.member.steps,
        "weights trained": sum(own.numel() for own in model.trained().values()),
        "bytes": _bytes(model),
    }


def read_columns(
    task: str, name: str, count: int | None = None
) -> tuple[dict[str, list[str]], np.ndarray]:
    """Read a file's first rows: texts by field, and the numbers of their labels. [rows]"""
    table, labels = pq.read_table(cache_root() / task / f"{name}.parquet"), load_task(task).labels
    gold = [labels.index(own) for own in table.column("label").to_pylist()[:count]]
    return {"text": table.column("text").to_pylist()[:count]}, np.array(gold)


def _pool() -> dict[str, list[str]]:
    table = pq.read_table(cache_root() / TASK / "pool.parquet").slice(0, POOL_ROWS)
    return {"text": table.column("text").to_pylist()}


def _auxiliary(
    model: ClozeModel, encoder: Encoder, weight: float, seed: int
) -> Callable[[int], Tensor]:
    """The auxiliary loss of section 3.2, as `pet.ensemble.member_training` has it."""
    texts = tokenize_columns(encoder, model.tokenizer, _pool())
    rng = np.random.default_rng(seed)

    def loss(rows: int) -> Tensor:
        drawn = rng.choice(POOL_ROWS, 3 * rows, replace=False)
        return weight * rows * model.language_model_loss(encoder, texts, drawn)

    return loss


def _adapt(model: ClozeModel, encoder: Encoder, config: RunConfig) -> None:
    """Train on the pool's language, as `pet.ensemble.adaptation` does, with one pattern."""
    texts, rows = tokenize_columns(encoder, model.tokenizer, _pool()), np.arange(POOL_ROWS)
    optimize(
        model,
        encoder.lengths(texts, rows),
        rows,
        lambda own, step: len(own) * model.language_model_loss(encoder, texts, own),
        adaptation_training(config),
        warmup=config.warmup,
        seed=config.seed,
        tokens_per_batch=config.tokens_per_batch,
    )


def _bytes(model: ClozeModel) -> int:
    with tempfile.TemporaryDirectory() as folder:
        if model.adapter is None:
            model.save(Path(folder))
        else:
            save_adapter(model.adapter, Path(folder), {"ref": "r", "revision": None, "digest": ""})
        return sum(path.stat().st_size for path in Path(folder).iterdir())


HEAD = ("| | accuracy | ms a step | weights trained | bytes |", "|---|---|---|---|---|")


def write_table(cells: Sequence[Cell]) -> None:
    """Write mean and standard deviation over the seeds, of what has been measured."""
    path = RESULTS / "tuning-settings.md"
    lines = [
        "# What each way of tuning needs",
        "",
        f"{date.today()}, the first {ROWS} validation rows of {TASK}. BERT-tiny, pattern "
        f"`{PATTERN}`, {LABELS} labels, 150 steps of 8; mean ± standard deviation over the labeled "
        f"sets of seeds 5 to 7. SmolLM2: pattern `{LARGE_PATTERN}`, {LARGE_STEPS} steps, the set "
        f"of seed 5, {LARGE_TOKENS} tokens of text, {LARGE_ROWS} rows. The ways of tuning are "
        "drawn in [tuning.svg](tuning.svg).",
    ]
    for group, variants in GROUPS.items():
        rows = []
        for name in variants:
            found = [
                json.loads(cell.path.read_text())
                for cell in cells
                if (cell.group, cell.name) == (group, name) and cell.path.exists()
            ]
            if found:
                rows.append(f"| {name} ({len(found)}) | {_figures(found)} |")
        if table := [*HEAD, *rows] if rows else _former(path, group):
            lines += ["", f"## {group}", "", *table]
    write_text(path, "\n".join(lines) + "\n" + notes(path))
    print(path.read_text())


def _former(path: Path, group: str) -> list[str]:
    """Return a group's table as it stands in the page: of what was not measured here."""
    after = path.read_text().partition(f"\n## {group}\n")[2]
    return after.partition("\n## ")[0].strip().splitlines()


def _figures(found: Sequence[dict[str, float]]) -> str:
    accuracy = [own["accuracy"] for own in found]
    spread = f" ± {np.std(accuracy, ddof=1):.3f}" if len(found) > 1 else ""
    others = [
        f"{np.mean([own[name] for own in found]):,.0f}"
        for name in ("milliseconds a step", "weights trained", "bytes")
    ]
    return f"{np.mean(accuracy):.3f}{spread} | {' | '.join(others)}"


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Plot accuracy against weights trained, for every way of tuning."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for way in WAYS:
        found: list[dict[str, Any]] = [
            json.loads(own.path.read_text())
            for own in cells
            if (own.group, own.name) == ("ways", way) and own.path.exists()
        ]
        if found:
            accuracy = [own["accuracy"] for own in found]
            place = found[0]["weights trained"], float(np.mean(accuracy))
            axes.errorbar(*place, yerr=np.std(accuracy), fmt="o", capsize=3)
            axes.annotate(way, place, textcoords="offset points", xytext=(6, 4))
    axes.set(xscale="log", xlabel="weights trained", ylabel="accuracy on validation rows")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--groups", nargs="+", default=GROUPS, choices=GROUPS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    every = [
        Cell(group, name, seed)
        for seed in SEEDS
        for group, own in GROUPS.items()
        for name in own
        if group != LARGE or seed in LARGE_SEEDS
    ]
    for cell in every:
        if cell.group in options.groups and cell.seed in options.seeds and not cell.path.exists():
            found = measure(cell)
            cell.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(cell.path, found)
            print(f"{cell.name}, seed {cell.seed}: {found}", flush=True)
    write_table(every)
    if any(cell.group == "ways" and cell.path.exists() for cell in every):
        draw(every, RESULTS / "tuning.svg")


if __name__ == "__main__":
    main()
