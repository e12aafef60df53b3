"""What Debian's packages are used for, from apt's own lists: `debtags` and `uses`.

Tags of the facet `use` were given by hand (debtags.debian.org); a package has any number of them.
`uses` has the packages with one tag: twelve labels, of which a text has one. The lists are those of
the machine, so the texts differ from one release to the next.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.cache import Recipe, Unavailable
from data.cuts import Row, Sizes, cut, proportional, shuffled
from data.texts import write_parts

LABELS, LABELED, SEEDS, HELD_OUT = 12, 72, 4, 1000

ONE_LABEL_SIZES = Sizes(pool=1_100, test=500, validation=400)

FEWEST = 2000  # packages with such a tag, below which the lists are not whole

TASK = """\
name = "{name}"
description = "What is this package used for?"
source = "Debian's package lists, facet use; words and patterns are ours"
fields = ["text"]
{several}
[labels]
{labels}
[patterns]
category = "category: {{mask}}. {{text}}"
purpose = "[ purpose: {{mask}} ] {{text}}"
used = "{{text}} It is used for {{mask}}"
"""

WORDS = {
    "gameplaying": "games",
    "converting": "conversion",
    "editing": "editing",
    "checking": "testing",
    "viewing": "viewing",
    "monitor": "monitoring",
    "configuring": "configuration",
    "analysing": "analysis",
    "playing": "music",
    "learning": "education",
    "organizing": "organization",
    "storing": "storage",
    "searching": "search",
    "downloading": "download",
    "scanning": "scanning",
    "timekeeping": "time",
    "login": "login",
    "browsing": "browsing",
}


@dataclass(frozen=True)
class Package:
    """A package with its tags of the facet."""

    id: str
    text: str
    labels: tuple[str, ...]


def packages(lists: str) -> Iterator[Package]:
    """Yield the packages that have a tag of the facet, each text once."""
    seen: set[str] = set()
    for block in lists.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Description|Tag):((?:.*\n?)(?: .*\n?)*)", block, re.M))
        uses = re.findall(r"\buse::([\w:+-]+)", fields.get("Tag", ""))
        about = fields.get("Description", "").strip().partition("\n")[0]
        if not uses or not about or about in seen:
            continue
        seen.add(about)
        name = fields["Package"].strip()
        yield Package(name, f"{name}: {about}", tuple(dict.fromkeys(uses)))


def read_lists() -> str:
    """Return the records of all packages that apt knows."""
    done = subprocess.run(  # noqa: S603
        [str(shutil.which("apt-cache")), "dumpavail"], capture_output=True, check=False
    )
    return done.stdout.decode("utf-8", "replace")


def check_lists() -> None:
    """Raise if apt, or its lists, are not here."""
    if shutil.which("apt-cache") is None:
        raise Unavailable("there is no apt on this machine, whose package lists these texts are")
    if sum(1 for _ in packages(read_lists())) < FEWEST:
        raise Unavailable("apt's lists hold too few tagged packages; apt-get update brings them")


def build_debtags(_archive: Path, folder: Path) -> None:
    """Cut the packages into a pool, a test set and labeled sets; write the task beside them."""
    write_debtags(list(packages(read_lists())), folder)


def write_debtags(every: Sequence[Package], folder: Path, held_out: int = HELD_OUT) -> None:
    """Write Parquet files with lists of labels, the commonest ones, and `task.toml`."""
    common = [label for label, _ in counted(every).most_common(LABELS)]
    mixed = shuffled(every, "debtags")
    parts, start = {"test": mixed[:held_out]}, held_out
    for seed in range(SEEDS):
        parts[f"labeled-{LABELED}-seed{seed}"] = mixed[start : start + LABELED]
        start += LABELED
    parts["pool"] = mixed[start:]
    for name, rows in parts.items():
        labels = pa.array(
            [[own for own in row.labels if own in common] for row in rows], pa.list_(pa.string())
        )
        ids, texts = [row.id for row in rows], [row.text for row in rows]
        columns = {"id": ids, "text": texts, "label": labels}
        if name == "pool":  # it does not give its labels away
            write(folder / "pool-labels.parquet", {"id": ids, "label": labels})
            del columns["label"]
        write(folder / f"{name}.parquet", columns)
    write_task(folder, "debtags", common, 'labels_per_text = "any"\n')


def build_uses(_archive: Path, folder: Path) -> None:
    """Cut the packages that have one of the commonest tags, and no other."""
    write_uses(list(packages(read_lists())), folder)


def write_uses(every: Sequence[Package], folder: Path, sizes: Sizes = ONE_LABEL_SIZES) -> None:
    """Write the files of every cut, labels as rare everywhere as they are, and `task.toml`."""
    single = [package for package in every if len(package.labels) == 1]
    common = [label for label, _ in counted(single).most_common(LABELS)]
    rows = [
        Row(package.id, package.text, package.labels[0])
        for package in single
        if package.labels[0] in common
    ]
    write_parts(cut(rows, rows, sizes, proportional), folder)
    write_task(folder, "uses", common)


def write_task(folder: Path, name: str, labels: Sequence[str], several: str = "") -> None:
    """Write the task file of a recipe."""
    lines = "".join(f'{label} = "{WORDS.get(label, label)}"\n' for label in labels)
    text = TASK.format(name=name, several=several, labels=lines)
    (folder / "task.toml").write_text(text, encoding="utf-8")


def write(path: Path, columns: dict[str, Any]) -> None:
    """Write columns as Parquet."""
    pq.write_table(pa.table(columns), path)


def counted(every: Iterable[Package]) -> Counter[str]:
    """Count the packages of every label."""
    return Counter(label for package in every for label in package.labels)


DEBTAGS = Recipe("debtags", "debtags", None, build_debtags, check_lists)
USES = Recipe("uses", "uses", None, build_uses, check_lists)
