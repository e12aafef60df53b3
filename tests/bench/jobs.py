"""Whole commands, timed as a user waits for them: in a process of their own, import and all."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

import verbalizers
from data.cache import cache_root
from pet.tasks.task import load_task
from tests.bench import loops
from tests.bench.size import words

Lines = list[tuple[str, str]]  # what was measured, and the figure


@dataclass(frozen=True)
class Took:
    """What a command took: seconds by the clock and of the processor, peak memory in bytes."""

    seconds: float
    processor: float
    memory: int


# A process inherits the peak memory of the one that started it (Linux keeps it over exec), and a
# benchmark of models is larger than what it measures. So a small process starts the command. It is
# the parent of whatever the command leaves behind (worker processes of a fork server, which nobody
# waits for), so that their processor time counts, too.
LAUNCHER = """
import contextlib, ctypes, os, resource, subprocess, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
with contextlib.suppress(ChildProcessError):
    while True:
        os.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
sys.exit(status)
"""


def pet(*arguments: str, python: str = sys.executable, tree: Path | None = None) -> Took:
    """Run a `pet` command to its end.

    Args:
        python: the interpreter of another version's environment.
        tree: the folder of that version.
    """
    return timed([python, "-m", "flows.cli", *arguments], tree)


def timed(command: Sequence[str], folder: Path | None = None) -> Took:
    """Run a command to its end in a folder, this one by default."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *command], capture_output=True, text=True, cwd=folder
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    unit = 1 if sys.platform == "darwin" else 1024
    memory, processor = done.stdout.split()
    return Took(time.monotonic() - started, float(processor), int(memory) * unit)


def settings(**values: Any) -> list[str]:
    """Write settings as the command takes them; `__` stands for the point of a group."""
    return [f"--set={key.replace('__', '.')}={json.dumps(v)}" for key, v in values.items()]


def write_task(folder: Path, patterns: int) -> Path:
    """Write the newsgroups task with its first patterns only."""
    task = tomllib.loads((Path(verbalizers.__path__[0]) / "newsgroups.toml").read_text())
    lines = ['name = "newsgroups"', f"fields = {json.dumps(task['fields'])}", "[labels]"]
    lines += [
        f"{json.dumps(label)} = {json.dumps(words)}" for label, words in task["labels"].items()
    ]
    lines.append("[patterns]")
    kept = list(task["patterns"].items())[:patterns]
    lines += [f"{json.dumps(name)} = {json.dumps(template)}" for name, template in kept]
    path = folder / "task.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_pool(path: Path, task: str, rows: int) -> Path:
    """Write a pool of so many real texts, again and again from the start where they run out."""
    texts = pq.read_table(cache_root() / task / "pool.parquet")["text"].to_pylist()
    with pq.ParquetWriter(path, pa.schema({"text": pa.string()}), compression="zstd") as file:
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            own = [texts[(start + row) % len(texts)] for row in range(count)]
            file.write_table(pa.table({"text": own}))
    return path


EXTRA = (
    "calibration",
    "held-out members",
    "supervised",
)  # stages of ours that the research code has not


def research_job(folder: Path) -> Lines:
    """The research code's job, beside a loop that does it as that code does, with two shortcuts.

    Three patterns of 150 steps of 8 at 128 tokens, 2,000 posts scored by each and labeled, a
    student of 300 steps of 16. Ours also measures the prior and how sure members may be, trains
    the supervised baseline, and writes what a crash would cost; import and all.
    """
    cache = cache_root()
    labeled = cache / "newsgroups" / "labeled-50-seed0.parquet"
    task, pool = (
        write_task(folder, 3),
        write_pool(folder / "pool.parquet", "newsgroups", loops.JOB_ROWS),
    )
    took = pet(
        "run",
        str(task),
        "--plain",
        "--out",
        str(folder / "job"),
        "--labeled",
        str(labeled),
        "--pool",
        str(pool),
        "--model",
        str(cache / "models" / "bert-tiny"),
        *settings(
            generations=0,
            train_from=0,
            member__steps=loops.JOB_STEPS,
            member__batch_size=loops.JOB_BATCH,
            max_length=loops.JOB_LENGTH,
            student__steps=loops.STUDENT_STEPS,
            student__batch_size=loops.STUDENT_BATCH,
        ),
    )
    report = json.loads((folder / "job" / "report.json").read_text())
    stages = {name: seconds for name, seconds in report["seconds"].items() if seconds >= 0.5}
    whole = took.seconds
    same = whole - sum(seconds for name, seconds in stages.items() if name.startswith(EXTRA))
    plain = research_loop(task, labeled, pool)
    return [
        ("the research code's job by a plain loop, seconds", f"{plain:.1f}"),
        ("by `pet run`, all of it", f"{whole:.1f}: {plain / whole:.1f} times as fast"),
        ("by `pet run`, without " + ", ".join(EXTRA), f"{same:.1f}: {plain / same:.1f} times"),
        *((f"of it: {name}", f"{seconds:.1f}") for name, seconds in stages.items()),
        ("peak memory, MiB", f"{took.memory / 2**20:.0f}"),
    ]


def research_loop(path: Path, labeled: Path, pool: Path) -> float:
    """Time the job as a plain loop does it, here: nothing of importing torch is counted."""
    task, folder = load_task(str(path)), str(cache_root() / "models" / "bert-tiny")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    known = pq.read_table(labeled).to_pydict()
    words = [tokenizer.convert_tokens_to_ids(label) for label in task.labels]  # each is its word
    fill = [
        lambda text, template=template: template.replace("{text}", text).replace(
            "{mask}", tokenizer.mask_token
        )
        for template in tomllib.loads(path.read_text())["patterns"].values()
    ]
    return loops.research_job(
        lambda: [AutoModelForMaskedLM.from_pretrained(folder) for _ in fill],
        lambda: AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(words)),
        tokenizer,
        fill,
        words,
        (known["text"], [task.labels.index(label) for label in known["label"]]),
        pq.read_table(pool)["text"].to_pylist(),
    )


def flow_overhead(folder: Path) -> Lines:
    """The same small run through Prefect and plainly: what the flow costs, once per run."""
    cache = cache_root()
    pool = write_pool(folder / "small.parquet", "movies", 200)
    took = {}
    for name, extra in (("plain", ["--plain"]), ("flow", [])):
        took[name] = pet(
            "run",
            "movies",
            *extra,
            "--out",
            str(folder / name),
            "--pool",
            str(pool),
            "--labeled",
            str(cache / "movies" / "labeled-50-seed0.parquet"),
            "--model",
            str(cache / "models" / "bert-tiny"),
            *settings(generations=0, member__steps=5, student__steps=5, supervised__steps=5),
        ).seconds
    more = took["flow"] - took["plain"]
    return [
        ("a small run, plainly, seconds", f"{took['plain']:.1f}"),
        ("the same through Prefect, seconds", f"{took['flow']:.1f}"),
        ("the difference, of a run of ten minutes", f"{more / 600:.1%}"),
    ]


def growth(folder: Path) -> Lines:
    """What a pool ten times as large and four times the members cost."""
    lines: Lines = []
    run = folder / "plain"
    rates, memory = [], []
    for rows in (5_000, 50_000):
        pool = write_pool(folder / f"pool-{rows}.parquet", "movies", rows)
        took = pet("label", str(run), "--pool", str(pool), "--out", str(folder / f"labeled-{rows}"))
        rates.append(rows / took.seconds)
        memory.append(took.memory / 2**20)
        lines.append(
            (f"`pet label` of {rows:,} film snippets, rows a second, all of it", f"{rates[-1]:.0f}")
        )
    lines.append(
        ("peak memory, pool x 10", f"{memory[1] / memory[0]:.2f} times ({memory[1]:.0f} MiB)")
    )
    seconds = []
    for repetitions in (1, 4):
        took = pet(
            "run",
            "movies",
            "--plain",
            "--out",
            str(folder / f"r{repetitions}"),
            "--pool",
            str(folder / "pool-5000.parquet"),
            "--labeled",
            str(cache_root() / "movies" / "labeled-50-seed0.parquet"),
            "--model",
            str(cache_root() / "models" / "bert-tiny"),
            *settings(
                generations=0,
                repetitions=repetitions,
                member__steps=50,
                student__steps=50,
                supervised__steps=5,
            ),
        )
        seconds.append(took)
    lines += _times("a run with four times the members", *seconds)
    return lines + _times("a run with 50 labels, of 5", *(_labels(folder, n) for n in (5, 50)))


def _times(what: str, small: Took, large: Took) -> Lines:
    return [
        (f"{what}: seconds", f"{large.seconds / small.seconds:.2f} times ({large.seconds:.0f} s)"),
        (f"{what}: peak memory", f"{large.memory / small.memory:.2f} times"),
    ]


def _labels(folder: Path, count: int) -> Took:
    """Run a task of so many labels, on as many labeled rows and pool rows whatever the count."""
    names = words()[::40][:count]
    lines = ['name = "topics"', 'fields = ["text"]', "[labels]", *(f'{n} = "{n}"' for n in names)]
    lines += ["[patterns]", 'about = "{mask}: {text}"', 'news = "[ news: {mask} ] {text}"']
    task = folder / f"labels-{count}.toml"
    task.write_text("\n".join(lines) + "\n")
    labeled = folder / f"labels-{count}.parquet"
    of_rows = [names[row % count] for row in range(100)]
    texts = [f"all about {name}, part {row}" for row, name in enumerate(of_rows)]
    pq.write_table(pa.table({"text": texts, "label": of_rows}), labeled)
    return pet(
        "run",
        str(task),
        "--plain",
        "--out",
        str(folder / f"labels-{count}"),
        "--labeled",
        str(labeled),
        "--pool",
        str(folder / "pool-5000.parquet"),
        "--model",
        str(cache_root() / "models" / "bert-tiny"),
        *settings(
            generations=0,
            train_from=0,
            member__steps=50,
            student__steps=50,
            supervised__steps=5,
            unlabeled_rows=2000,
        ),
    )
