"""Commands to a smart home with 42 intents: many labels, of which a few rows each are known.

Sentences are templates (`turn on [all] (lights|lamps) in {area}`); each is written out some times,
with choices and words drawn by a seed, so that everybody gets the same files.
"""

from __future__ import annotations

import json
import random
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.archives import Archive, missing_member
from data.cache import Recipe
from data.cuts import Row, shuffled, usable

ARCHIVE = Archive(
    package="home-assistant-intents",
    version="2026.11.25",
    filename="home_assistant_intents-2026.11.25-py3-none-any.whl",
    sha256="1eaf08165e1adfb1ca8a836081a46fd97433ed620ba32cba71972e35575140a5",
)
MEMBER = "home_assistant_intents/data/en.json"

EACH, FEWEST = 160, 60  # sentences of an intent at most; intents of fewer are left out

LABELED, SEEDS, TEST = (1, 3, 5), 4, 20  # rows of each intent; those of a seed are nested

# What a home would name itself, or a person say: the archive leaves it open.
OPEN = {
    "area": ("kitchen", "bedroom", "garage", "living room", "bathroom", "office", "hall"),
    "floor": ("first floor", "basement", "upstairs", "ground floor"),
    "name": ("desk lamp", "front door", "coffee machine", "heater", "fan", "tv", "washer", "mower"),
    "message": ("dinner is ready", "we leave in five minutes", "come down please"),
    "search_query": ("some jazz", "the beatles", "a cooking show", "piano music"),
    "timer_name": ("pizza", "laundry", "tea", "homework"),
    "timer_command": ("turn off the lights", "open the garage", "play music"),
    "shopping_list_item": ("milk", "two apples", "bread", "coffee"),
    "todo_list_item": ("call grandma", "fix the sink", "pay the rent"),
    "zone": ("work", "school", "the gym"),
}

TASK = """\
name = "intents"
description = "What does this command ask the house to do?"
source = "home-assistant-intents, Apache-2.0; words are the intents' names, patterns are ours"
fields = ["text"]

[labels]
{labels}
[patterns]
command = "{{text}}. This command means: {{mask}}"
bracket = "[ command: {{mask}} ] {{text}}"
want = "{{text}}. I want to {{mask}}"
"""


class Templates:
    """Writes templates out: `[optional]`, `(one|other)`, `(in;any order)`, `<rule>`, `{list}`."""

    def __init__(self, rules: Mapping[str, str], lists: Mapping[str, Any], rng: random.Random):
        self._rules, self._lists, self._rng = rules, lists, rng

    def write(self, template: str) -> str:
        """Write one template out, its choices drawn."""
        parts = re.findall(r"[\[\](){}<>|;]|[^\[\](){}<>|;]+", template)
        text, _ = self._group(parts, 0, "")
        return " ".join(text.split())

    def _group(self, parts: Sequence[str], place: int, end: str) -> tuple[str, int]:
        """Write what stands up to a closing bracket; return it, and the place behind."""
        ways, in_turn = [""], False
        while place < len(parts) and parts[place] != end:
            part = parts[place]
            place += 1
            if part in "|;":
                in_turn |= part == ";"
                ways.append("")
                continue
            if part in "([":
                text, place = self._group(parts, place, ")" if part == "(" else "]")
                part = text if part == "(" or self._rng.random() < 0.5 else ""
            elif part in "<{":
                part, place = self._named(part, parts[place]), place + 2
            ways[-1] += part
        if in_turn:
            self._rng.shuffle(ways)
            return " ".join(ways), place + 1
        return self._rng.choice(ways), place + 1

    def _named(self, kind: str, name: str) -> str:
        if kind == "<":
            return self.write(self._rules[name])
        name = name.partition(":")[0]
        if name in OPEN:
            return self._rng.choice(OPEN[name])
        own = self._lists[name]
        if "range" in own:
            return str(self._rng.randint(max(1, own["range"]["from"]), own["range"]["to"]))
        value = self._rng.choice(own["values"])
        return self.write(value["in"] if isinstance(value, dict) else value)


def sentences(intents: Mapping[str, Any], each: int = EACH) -> Iterator[Row]:
    """Yield sentences of every intent, from its templates in turn; some may be the same."""
    for intent, own in sorted(intents["intents"].items()):
        rng = random.Random(intent)  # noqa: S311
        templates = Templates(intents["expansion_rules"], intents["lists"], rng)
        every = [text for data in own["data"] for text in data["sentences"]]
        for number in range(4 * each):
            yield Row(f"{intent}-{number}", templates.write(every[number % len(every)]), intent)


def name_of(intent: str) -> str:
    """Return an intent's name in words: `HassTurnOn` is turn on."""
    return " ".join(re.findall("[A-Z][a-z]+", intent.removeprefix("Hass"))).lower()


def build_intents(archive: Path, folder: Path) -> None:
    """Cut the sentences into a pool, a test set and labeled sets; write the task beside them."""
    with zipfile.ZipFile(archive) as zipped:
        try:
            content = zipped.read(MEMBER)
        except KeyError:
            raise missing_member(archive, MEMBER) from None
    write_intents(usable(sentences(json.loads(content))), folder)


def write_intents(rows: Sequence[Row], folder: Path, fewest: int = FEWEST) -> None:
    """Write Parquet files, and `task.toml`."""
    by_label: dict[str, list[Row]] = {}
    for row in shuffled(rows, "intents"):
        by_label.setdefault(row.label, []).append(row)
    kept = {name: own[:EACH] for name, own in sorted(by_label.items()) if len(own) >= fewest}
    parts: dict[str, list[Row]] = {"pool": [], "test": []}
    for own in kept.values():
        parts["test"] += own[:TEST]
        for seed in range(SEEDS):
            first = TEST + seed * max(LABELED)
            for size in LABELED:
                part = f"labeled-{size}-each-seed{seed}"
                parts.setdefault(part, []).extend(own[first : first + size])
        parts["pool"] += own[TEST + SEEDS * max(LABELED) :]
    for name, of_part in parts.items():
        mixed = shuffled(of_part, name)
        columns = {
            "id": [row.id for row in mixed],
            "text": [row.text for row in mixed],
            "label": [name_of(row.label) for row in mixed],
        }
        if name == "pool":  # it does not give its labels away
            labels = {"id": columns["id"], "label": columns.pop("label")}
            pq.write_table(pa.table(labels), folder / "pool-labels.parquet")
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    lines = "".join(f'"{name_of(name)}" = "{name_of(name)}"\n' for name in kept)
    (folder / "task.toml").write_text(TASK.format(labels=lines), encoding="utf-8")


INTENTS = Recipe("intents", "intents", ARCHIVE, build_intents)
