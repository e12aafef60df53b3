"""What faults are put into: a run, labels, a night, exports, rows out to people and back."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pet.errors import PetError
from pet.finished.exports import export_run
from pet.finished.inference import label_new_pool, predict_texts
from pet.nightly.arrivals import DIGESTS
from pet.nightly.night import label_new
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.reviewing.review_rows import write_review
from pet.reviewing.reviewed import take_answers
from pet.storage.files import TEMPORARY_PREFIX, read_json
from pet.storage.locks import LOCK
from tests.faults.disk import Disk
from tests.support import samples
from tests.support.nights import arrive, night_settings
from tests.support.run_digests import digest_of

# Of these only that they are whole counts: they hold what was made in which process, or times.
NEVER_ALIKE = {"manifest.json", LOCK, DIGESTS}


@dataclass(frozen=True)
class Samples:
    """What all scenarios start from; not to be changed."""

    inputs: Path
    model: Path
    run: Path


@dataclass(frozen=True)
class Whole:
    """What a command comes to when nothing happens.

    Attributes:
        contents: what is in each file afterwards.
        seen: what a reader sees before it and after it.
        operations: how often each was counted.
    """

    contents: dict[str, str]
    seen: list[object]
    operations: Counter[str]


@dataclass
class Scenario:
    """A command, and the folder that it works in.

    Args:
        begin: puts what the command starts from into the folder.
        command: does the work in the folder.
        look: reads its results; before the command is done, what was there, or is refused.
    """

    name: str
    place: Path
    begin: Callable[[Path], object]
    command: Callable[[Path], object]
    look: Callable[[Path], object] = lambda place: None

    def start(self) -> object:
        return self.command(self.place)

    def prepare(self) -> dict[str, str]:
        """Empty the folder, and fill it with what the command starts from; return what is in it."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        self.begin(self.place)
        return contents(self.place)

    def see(self) -> object:
        """Return what a reader sees; None where that is refused."""
        try:
            return self.look(self.place)
        except PetError:
            return None

    @cached_property
    def undisturbed(self) -> Whole:
        self.prepare()
        before = self.see()
        with Disk(self.place) as disk:
            self.start()
        return Whole(contents(self.place), [None, before, self.see()], disk.counts)


def kinds_of_runs(starting: Samples, folder: Path) -> list[Scenario]:
    """List runs of other tasks: several labels a text, and rules; with generations."""

    def run(place: Path, inputs: Path, **changes: Any) -> object:
        changes = {**samples.SHIPPED, "generations": 1, "growth_factor": 2, **changes}
        return label_pool(samples.tiny_config(inputs, starting.model, place / "news", **changes))

    def with_rules(place: Path) -> None:
        shutil.copytree(starting.inputs, place / "inputs")
        task = samples.task_toml() + samples.RULES
        (place / "inputs" / "task.toml").write_text(task, encoding="utf-8")

    def several(place: Path) -> object:
        inputs = place / "inputs"
        pool = str(inputs / "pool.parquet")
        return run(place, inputs, **samples.several(inputs, pool=pool))

    return [
        Scenario(
            "run of several labels",
            folder / "several",
            lambda place: samples.write_several(place / "inputs"),
            several,
            predicted,
        ),
        Scenario(
            "run with rules",
            folder / "rules",
            with_rules,
            lambda place: run(place, place / "inputs"),
            predicted,
        ),
    ]


def predicted(place: Path) -> object:
    """Return what a run's student predicts of three texts."""
    texts = ["the team won", "a rocket", "the price of the stock"]
    found = predict_texts(place / "news", texts)
    return [(row.get("labels", row.get("label")), row["confidence"]) for row in found]


def contents(place: Path) -> dict[str, str]:
    """Name what is in each file, but for times; temporary names are passed over.

    Raises:
        AssertionError: a file is not whole that no two commands write alike.
    """
    found = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if TEMPORARY_PREFIX in name or not path.is_file():
            continue
        if path.name not in NEVER_ALIKE:
            found[name] = digest_of(path)
        elif path.name != LOCK:
            assert isinstance(read_json(path), dict), f"{name} is half a file"
    return found


def scenarios(starting: Samples, folder: Path) -> list[Scenario]:
    """List them, each with a folder of its own below `folder`; frequent ones stand there twice."""
    inputs, finished = starting.inputs, starting.run

    def scenario(
        name: str,
        command: Callable[[Path], object],
        begin: Callable[[Path], object] = Path.exists,
        look: Callable[[Path], object] = lambda place: None,
    ) -> Scenario:
        return Scenario(name, folder / name.replace(" ", "-"), begin, command, look)

    def once(place: Path, make: Callable[[Path], object]) -> None:
        """Fill a folder with what another command left there, which is given once."""
        kept = folder / "kept" / place.name
        if not kept.exists():
            make(place)
            shutil.copytree(place, kept)
        shutil.copytree(kept, place, dirs_exist_ok=True)

    def run(place: Path, **changes: Any) -> object:
        config = samples.tiny_config(inputs, starting.model, place / "news", **changes)
        return label_pool(config, update=bool(changes))

    def run_again(place: Path) -> object:
        return run(place, task=str(place / "task.toml"))

    def with_other_labels(place: Path) -> None:
        """A run has ended; two lines of labels in its task have been exchanged since."""
        toml = samples.task_toml()
        (place / "task.toml").write_text(toml)
        once(place, run_again)
        space, business = (line for line in toml.splitlines() if line[:5] in ("space", "busin"))
        (place / "task.toml").write_text(
            toml.replace(f"{space}\n{business}", f"{business}\n{space}")
        )

    def label(place: Path) -> object:
        pool = str(inputs / "pool.parquet")
        return label_new_pool(finished, pool, place / "labels", "student", None, SILENT)

    def night(place: Path) -> object:
        return label_new(
            night_settings(place, finished, inputs / "labeled.csv", keep_deleted=False)
        )

    def first_night(place: Path) -> None:
        night_settings(place, finished, inputs / "labeled.csv")
        arrive(place / "pool", "monday.csv", 6)

    def three_files(place: Path) -> None:
        for name in ("monday.csv", "tuesday.csv", "more/wednesday.csv"):
            arrive(place / "pool", name, 6)
        night(place)

    def second_night(place: Path) -> None:
        """A night has labeled three files; one is replaced since, one has left, one is new."""
        once(place, three_files)
        arrive(place / "pool", "monday.csv", 4, first=20)
        (place / "pool" / "tuesday.csv").unlink()
        arrive(place / "pool", "thursday.csv", 5)

    def night_with_more_labels(place: Path) -> None:
        """Since then, so many rows were labeled that a new model is due."""
        second_night(place)
        more = [(f"{text} {n}", label) for n in (1, 2) for text, label in samples.labeled_rows()]
        samples.write_csv(
            place / "labeled.csv", [*samples.labeled_rows(), *more], ("text", "label")
        )

    def export(kind: str) -> Callable[[Path], object]:
        return lambda place: export_run(finished, kind, place / "exported")

    def hand_out(place: Path) -> object:
        return write_review(finished, place / "review.json", 6, SILENT)

    def take_back(place: Path) -> object:
        return take_answers(finished, place / "answers.csv", place / "more.jsonl", SILENT)

    def answered(place: Path) -> None:
        path = place / "answers.csv"
        write_review(finished, path, 6, SILENT)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            head, *rows = csv.reader(stream)
        at = head.index("answer")
        samples.write_csv(path, [[*r[:at], "sport", *r[at + 1 :]] for r in rows], head)

    often = [
        scenario("run", run, look=predicted),
        scenario("label", label),
        scenario("second night", night, second_night),
    ]
    return [
        *often,
        *often,
        scenario("run with other labels", run_again, with_other_labels, predicted),
        scenario("first night", night, first_night),
        scenario("night with more labels", night, night_with_more_labels),
        scenario("export hf", export("hf")),
        scenario("export datasets", export("datasets")),
        scenario("export csv", export("csv")),
        scenario("review out", hand_out),
        scenario("review back", take_back, answered),
    ]
