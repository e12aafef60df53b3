"""A small task with its texts: 3 labels, 3 patterns, 12 labeled rows, a pool of 40, 9 test rows."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pet.config import RunConfig
from pet.progress import Observer
from pet.settings import make_config
from pet.storage.files import read_record, write_json
from pet.storage.run_folders import name_files

LABELS = ("sport", "space", "business")
HEAD = """\
name = "tiny_news"
description = "What is the news about?"
source = "our tests"
fields = ["text"]

[labels]
sport = "sport"
space = ["space", "moon"]
business = "business"

[patterns]
"""
PATTERNS = {
    "category": "category: {mask}. {text}",
    "bracket": "[ topic: {mask} ] {text}",
    "last": "{text} the topic is {mask}",
}
# For the task above: one that is right, one that is wrong, one that never fires.
RULES = """
[[rules]]
name = "rocket"
label = "space"
keywords = ["rocket", "orbit"]

[[rules]]
name = "big"
label = "business"
regex = 'bi[g]\\b'

[[rules]]
name = "silent"
label = "sport"
keywords = ["zebra"]
"""
# Another task, with all that a task file can have.
TICKETS = """
name = "tickets"
description = "Who answers?"
source = "ours"
fields = ["subject", "message"]

[labels]
billing = ["payment", " invoice "]
"Log-in / access" = "password"

[patterns]
topic = "[ topic: {mask} ] {subject} {message}"
about = "{message} This is about {mask}"

[verbalizers.about]
billing = "money"
"""
SUBJECTS = {
    "sport": ("the team won the game", "a great goal in the match", "the ball was good today",
              "big match and a bad game", "the team said it won"),
    "space": ("a rocket to the moon", "the launch of a new planet star", "orbit of the star",
              "the moon was big today", "rocket launch and orbit"),
    "business": ("the bank and the market", "stock price is bad", "a new trade in money",
                 "the price of the stock", "big money in the bank"),
}  # fmt: skip


class Listener(Observer):
    """Remembers every message."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def task_toml(names: Sequence[str] = tuple(PATTERNS)) -> str:
    """The task with these of its patterns."""
    return HEAD + "".join(f'{name} = "{PATTERNS[name]}"\n' for name in names)


def labeled_rows() -> list[tuple[str, str]]:
    return [(text, label) for label in LABELS for text in SUBJECTS[label][:4]]


def test_rows() -> list[tuple[str, str]]:
    return [
        (f"{SUBJECTS[label][4]} {more}", label)
        for label in LABELS
        for more in ("today", "it said", "!")
    ]


def pool_texts() -> list[str | None]:
    """40 rows: row 5 stands in the labeled set, and rows 7, 20 and 33 are no good."""
    texts: list[str | None] = [
        f"{SUBJECTS[LABELS[i % 3]][i % 5]} and {SUBJECTS[LABELS[i % 3]][(i + 1) % 5]}"
        + " on the news" * (i % 4)
        for i in range(40)
    ]
    texts[5] = labeled_rows()[0][0]
    texts[7], texts[20], texts[33] = None, "", "   "
    return texts


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def write_pool(path: Path, texts: Sequence[str | None]) -> Path:
    origin = [f"line {number}" for number in range(len(texts))]
    pq.write_table(pa.table({"text": pa.array(texts, pa.string()), "origin": origin}), path)
    return path


def write_inputs(folder: Path) -> Path:
    """Write the task and its texts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(task_toml(), encoding="utf-8")
    write_csv(folder / "labeled.csv", labeled_rows(), ("text", "label"))
    write_csv(folder / "test.csv", test_rows(), ("text", "label"))
    write_pool(folder / "pool.parquet", pool_texts())
    return folder


def set_rows() -> list[tuple[str, list[str]]]:
    """Labeled rows of the task with several labels a text: with one, with two and with none."""
    rows: list[tuple[str, list[str]]] = []
    for place, label in enumerate(LABELS):
        other = LABELS[(place + 1) % len(LABELS)]
        rows += [(text, [label]) for text in SUBJECTS[label][:2]]
        rows.append((f"{SUBJECTS[label][2]} and {SUBJECTS[other][2]}", [label, other]))
        rows.append((f"{'the ' * (place + 1)}text is new", []))
    return rows


def set_test_rows() -> list[tuple[str, list[str]]]:
    rows = [(f"{SUBJECTS[label][4]} today", [label]) for label in LABELS]
    rows.append((f"{SUBJECTS['sport'][3]} and {SUBJECTS['space'][3]}", ["sport", "space"]))
    return [*rows, ("this is great", [])]


def several_toml(more: str = "") -> str:
    """The task with any number of labels a text."""
    return task_toml().replace("fields =", f'labels_per_text = "any"\n{more}fields =')


def write_sets(path: Path, rows: Sequence[tuple[str, list[str]]]) -> Path:
    labels = pa.array([own for _, own in rows], pa.list_(pa.string()))
    pq.write_table(pa.table({"text": [text for text, _ in rows], "label": labels}), path)
    return path


def write_several(folder: Path) -> Path:
    """Write a task of several labels a text, and its texts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(several_toml(), encoding="utf-8")
    write_sets(folder / "labeled.parquet", set_rows())
    write_sets(folder / "test.parquet", set_test_rows())
    write_pool(folder / "pool.parquet", pool_texts())
    return folder


def several(folder: Path, **more: Any) -> dict[str, Any]:
    """Settings of a run of that task: what it starts from."""
    files = {"task": "task.toml", "labeled": "labeled.parquet", "test": "test.parquet"}
    return {name: str(folder / file) for name, file in files.items()} | more


# Settings of a `PetClassifier` that fits in a second: no generations, nothing held out.
ESTIMATOR: dict[str, Any] = {
    "device": "cpu",
    "max_length": 32,
    "generations": 0,
    "train_from": 0,
    "calibration": "none",
    "out_of_bag": 0,
    "cross_fitting_folds": 1,
}

# What a tiny run leaves out, as it is shipped: a test about these parts of a run asks for them.
SHIPPED: dict[str, Any] = {"out_of_bag": 0.25, "cross_fitting_folds": 2}
TINY: dict[str, Any] = {
    "device": "cpu",
    "max_length": 32,
    "shard_rows": 16,
    "tokens_per_batch": 512,
    "abstain_below": 0.4,
    "generations": 0,
    "train_from": 0,
    "out_of_bag": 0,
    "cross_fitting_folds": 1,
    "member": {"steps": 2, "batch_size": 4},
    "student": {"steps": 3, "batch_size": 8},
    "supervised": {"steps": 2, "batch_size": 4},
}


def tiny_config(inputs: Path, bert: Path, out: Path, /, **changes: Any) -> RunConfig:
    """Settings of a run that takes a second, without held-out members and cross-fitting."""
    values: dict[str, Any] = {
        "task": str(inputs / "task.toml"),
        "labeled": str(inputs / "labeled.csv"),
        "pool": str(inputs / "pool.parquet"),
        "test": str(inputs / "test.csv"),
        "model": str(bert),
        "out": str(out),
        **TINY,
    }
    return make_config({**values, **changes})


def tiny_command(inputs: Path, bert: Path, out: Path, *more: str) -> list[str]:
    """Return the same as a command: what follows `pet`."""
    own = {name: value for name, value in TINY.items() if not isinstance(value, dict)}
    for group in TINY.keys() - own.keys():
        own |= {f"{group}.{name}": value for name, value in TINY[group].items()}
    files = {"labeled": "labeled.csv", "pool": "pool.parquet", "test": "test.csv"}
    places = [("model", bert), ("out", out), *((name, inputs / of) for name, of in files.items())]
    return [
        "run",
        str(inputs / "task.toml"),
        *(word for name, place in places for word in (f"--{name}", str(place))),
        *(word for name, value in own.items() for word in ("--set", f"{name}={value}")),
        *more,
    ]


MEMBERS = [f"g0-{name}-r0" for name in PATTERNS]
ADAPTERS: dict[str, Any] = {
    "lora": {"rank": 2},
    "bottleneck": {"width": 4},
    "prefix": {"length": 3, "width": 8},
    "soft_prompt": {"length": 3},
}


def adapted(tuning: str, **more: Any) -> dict[str, Any]:
    """Settings of a run of adapters; a high rate, so that two steps show in what they say."""
    member = {"steps": 2, "batch_size": 4, "tuning": tuning, "learning_rate": 0.1}
    return {**ADAPTERS, "member": member, **more}


def change_settings(run: Path, **values: Any) -> None:
    """Let a run pass for one that was made with other settings."""
    write_json(run / "config.json", {**read_record(run / "config.json"), **values})
    manifest = read_record(run / "manifest.json")
    write_json(run / "manifest.json", {**manifest, "files": name_files(run)})
