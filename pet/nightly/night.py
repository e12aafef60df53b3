"""One night: what is new in a pool is labeled, drift is looked for, the model is renewed if due.

Everything that a night decides follows from the ledger, the pool and the labeled set. So the same
night twice changes nothing, and one that was killed is gone on with by the next.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pet.data.duplicate_ids import RepeatedIds
from pet.errors import InputError, Problem
from pet.jobs import Execute, InProcess, Job
from pet.method.drift import DriftTest, Sketch, drifted
from pet.nightly.arrivals import DIGESTS, Arrivals, Late, PoolFile, compare, scan_pool
from pet.nightly.label_store import has_labels, label_files, tidy
from pet.nightly.ledger import (
    LEDGER,
    MODELS,
    NAMED,
    BadFile,
    Entry,
    FileRecord,
    ModelRecord,
    State,
    read_state,
    write_entry,
)
from pet.nightly.model_choice import (
    FirstRun,
    describe_model,
    identity_of,
    is_another,
    reason_to_renew,
)
from pet.nightly.night_summary import describe_arrivals, describe_store
from pet.nightly.nightly_config import NightlyConfig
from pet.progress import SILENT, Observer
from pet.storage.files import TEMPORARY_PREFIX, read_parquet, sweep
from pet.storage.locations import place_in_pool
from pet.storage.locks import locked

if TYPE_CHECKING:
    from pet.nightly.file_labeling import FileLabeler

T = TypeVar("T")

OURS = {LEDGER, "labels", MODELS, "pools", "watch", DIGESTS}


def label_new(
    config: NightlyConfig, execute: Execute | None = None, observer: Observer = SILENT
) -> dict[str, Any]:
    """Label what is new or has changed in the pool; return what was done.

    Raises:
        InputError: the settings, the run or the labeled set are wrong. What was labeled before
            that showed is kept.
        LockedError: another process is at it.
        PetError: a stage failed; the next start goes on.
    """
    first = FirstRun(config)
    store = Path(config.out)
    if problems := [*place_in_pool(config.pool, config.out), *_foreign(store)]:
        raise InputError(problems)
    with locked(store, observer.note):
        sweep(store)
        return _Night(config, first, execute or InProcess(), observer).run()


def _foreign(store: Path) -> list[Problem]:
    others = sorted(
        path.name
        for path in store.glob("*")
        if path.name not in OURS and not path.name.startswith((".lock", TEMPORARY_PREFIX))
    )
    if not others or (store / LEDGER).is_dir():
        return []
    return [
        Problem(
            str(store),
            "a folder of nightly labels, or one that does not exist yet",
            f"a folder with other files ({', '.join(others[:4])})",
            "choose another out",
        )
    ]


@dataclass
class _Labeled:
    """The files that were labeled or found bad, and a sketch of the new ones."""

    labeled: dict[str, FileRecord] = field(default_factory=dict)
    bad: dict[str, BadFile] = field(default_factory=dict)
    sketch: Sketch | None = None


class _Night:
    """The steps of a night, and what they did."""

    def __init__(
        self, config: NightlyConfig, first: FirstRun, execute: Execute, observer: Observer
    ):
        self.config, self.first, self.execute, self.observer = config, first, execute, observer
        self.store = Path(config.out)
        self.state: State = read_state(self.store)
        self.started = time.monotonic()
        self.labeled: dict[str, FileRecord] = {}
        self.labeled_anew: dict[str, FileRecord] = {}
        self.came_into_use: ModelRecord | None = None
        self.found = Arrivals({})

    def run(self) -> dict[str, Any]:
        self.one("look at the pool", self.scan)
        self.adopt()
        compare(self.found, self.state, self.has_labels, self.first.config.pool_csv.stated)
        self.label()
        tidy(self.store, self.state, self.config.keep_deleted)
        if self.labeled:
            self.note_repeated_ids()
        errors = self.watch_errors()
        nights = self.state.nights  # a new model begins a list of its own
        if reason := reason_to_renew(self.config, self.state, self.first):
            self.renew(reason)
            tidy(self.store, self.state, self.config.keep_deleted)
        return {
            **describe_store(self.store, self.state, nights[-1] if nights else None),
            **describe_arrivals(self.found, self.labeled, self.first.task.labels),
            "labeled_anew": sorted(self.labeled_anew),
            "errors": errors,
            "came_into_use": self.came_into_use.model_dump() if self.came_into_use else None,
            "seconds": round(time.monotonic() - self.started, 1),
        }

    def one(self, name: str, work: Callable[[], T]) -> T:
        return self.execute([Job(name, work, here=True)])[0]

    @property
    def model(self) -> ModelRecord:
        assert self.state.model is not None, "a model was adopted first"
        return self.state.model

    def scan(self) -> None:
        config = self.config
        self.found = scan_pool(
            Path(config.pool), self.store / DIGESTS, config.settle_seconds, self.observer
        )
        for name, why in self.found.unreadable.items():
            self.observer.note(f"warning: {name} cannot be read: {why}")
        for name in self.found.late:
            self.observer.note(f"{name} is still being written: it is left for the next night")

    def has_labels(self, file: PoolFile) -> bool:
        return has_labels(self.store, self.model, file.name, file.digest)

    def labeler(self, model: ModelRecord) -> FileLabeler:
        from pet.nightly.file_labeling import FileLabeler  # torch: a quiet night imports none

        first = self.first
        return FileLabeler(self.store, first.config, first.task, model, self.observer)

    def adopt(self) -> None:
        """Bring the run into use that the settings name, if they have named another before."""
        model = self.describe(self.first.folder, NAMED)
        if is_another(model, self.state):
            self.bring_into_use(model)
        elif identity_of(self.model) == identity_of(model):
            # The run may have been moved since: the settings name where it is.
            self.state.models[-1] = self.model.model_copy(update={"run": model.run})

    def describe(self, run: Path, reason: str) -> ModelRecord:
        return describe_model(run, self.config.predictor, len(self.state.models) + 1, reason)

    def bring_into_use(self, model: ModelRecord) -> None:
        """Label anew what an earlier model had labeled, into a folder beside; then switch."""
        files = [
            file
            for name, file in self.found.present.items()
            if name in self.state.files
            and self.state.files[name].digest == file.digest
            and name not in self.found.late
        ]
        started, done = time.monotonic(), _Labeled()
        if files:
            work = partial(self.label_files, model, files, sketched=False)
            done = self.one(f"label {len(files)} files anew", work)
        self.write(started, came_into_use=model, labeled=done.labeled, bad=done.bad)
        self.labeled_anew |= done.labeled
        self.came_into_use = model
        line = f"model {model.version} is in use ({model.reason})"
        self.observer.note(f"{line}; {len(done.labeled)} files were labeled anew with it")

    def label_files(
        self, model: ModelRecord, files: Sequence[PoolFile], *, sketched: bool
    ) -> _Labeled:
        """Label files with a model; note those that are bad, and leave those that are late.

        Args:
            sketched: read the files before they are labeled, for a sketch of their texts.
        """
        done, labeler = _Labeled(), self.labeler(model)
        for file in files:
            try:
                try:
                    texts = labeler.read(file) if sketched else None
                    if texts is None:
                        labeler.open(file)
                except InputError as error:  # a run with other columns may find other files bad
                    done.bad[file.name] = self.set_aside(file, error)
                    continue
                done.labeled[file.name] = labeler.label(file)
            except Late as late:
                self.leave(file, late)
                continue
            if texts is not None:
                new = labeler.sketch(file, texts)
                done.sketch = new if done.sketch is None else done.sketch + new
        return done

    def leave(self, file: PoolFile, why: Exception) -> None:
        self.observer.note(f"{file.name} is left for the next night: {why}".splitlines()[0])
        self.found.late.append(file.name)

    def label(self) -> None:
        """Label new and changed files; write down what they were like, and what has gone."""
        found, started, done = self.found, time.monotonic(), _Labeled()
        if found.to_label:
            work = partial(self.label_files, self.model, found.to_label, sketched=True)
            done = self.one(f"label {len(found.to_label)} new or changed files", work)
        labeled, bad, sketch = done.labeled, {**done.bad, **self.new_special()}, done.sketch
        replaced = [name for name in found.replaced if name in labeled]
        passed_over = found.passed_over if found.passed_over != self.state.passed_over else None
        changes = (labeled, bad, replaced, found.deleted, found.returned, passed_over is not None)
        if not any(changes):
            return
        tests, rows = self.drift(sketch)
        self.write(
            started,
            labeled=labeled,
            bad=bad,
            replaced=replaced,
            deleted=found.deleted,
            returned=found.returned,
            passed_over=passed_over,
            sketch=sketch.as_json() if sketch else None,
            drift=[asdict(test) for test in tests],
            drift_rows=rows,
        )
        self.labeled = labeled

    def watch_errors(self) -> dict[str, Any] | None:
        """Draw rows of tonight's labels for people, and bet on the answers to earlier ones."""
        config = self.config.certify
        if not config.rows_a_night and not config.rows_below:
            return None
        from pet.nightly.error_watch import draw_tonight, threshold_of, watch_errors

        fields = self.first.task.fields
        found = watch_errors(self.store, self.model, config, fields)
        if found["alarm"]:
            self.observer.note(
                f"warning: more than {config.error:.3g} of the kept labels are wrong "
                f"({found['wrong']} of {found['answered']} drawn rows)"
            )
        if self.labeled:
            files = [self.found.present[name] for name in sorted(self.labeled)]
            threshold = threshold_of(config, self.model, self.first.config.abstain_below)
            labeler = self.labeler(self.model)
            path = self.one(
                "draw rows for people",
                lambda: draw_tonight(labeler, files, config, threshold, self.state.entries),
            )
            found["drawn"] = None if path is None else str(path)
        return found

    def set_aside(self, file: PoolFile, error: InputError) -> BadFile:
        self.observer.note(f"warning: {error}")
        first = error.problems[0]
        return BadFile(
            digest=file.digest,
            expected=first.expected,
            found=first.found,
            fix=first.fix,
            read_as=self.first.config.pool_csv.stated,
        )

    def note_repeated_ids(self) -> None:
        """Warn of ids that stand in several files, whichever nights these came in."""
        repeated = RepeatedIds()
        for path in label_files(self.store, self.model):
            repeated.offer(read_parquet(path, ["id"])["id"].to_pylist())
        if repeated.warning:
            self.observer.note(f"warning: {repeated.warning}")

    def new_special(self) -> dict[str, BadFile]:
        """Set aside what is no file, unless the ledger names it already."""
        found = {
            name: BadFile(
                digest=hashlib.sha256(kind.encode()).hexdigest(),
                expected="a plain file",
                found=kind,
                fix="write or copy a file there",
            )
            for name, kind in self.found.special.items()
        }
        new = {name: bad for name, bad in found.items() if self.state.bad.get(name) != bad}
        for name, bad in new.items():
            self.observer.note(f"warning: {name} is {bad.found}: it is not read")
        return new

    def drift(self, sketch: Sketch | None) -> tuple[list[DriftTest], int]:
        if sketch is None:
            return [], 0
        from pet.nightly.drift_watch import watch

        tests, rows = watch(self.config.drift, self.state, sketch)
        if names := drifted(tests):
            self.observer.note(f"drift: {', '.join(names)} of the newest {rows:,} rows")
        return tests, rows

    def renew(self, reason: str) -> None:
        """Train a model on a sample of the pool as it is now, and bring it into use."""
        from pet.nightly.renewal import Renewal

        bad = self.state.bad
        files = [
            file
            for name, file in sorted(self.found.present.items())
            if name in self.state.files and name not in bad and name not in self.found.late
        ]
        if not files:
            self.observer.note(f"a new model is due ({reason}), but the pool holds no texts")
            return
        self.observer.note(f"a new model is trained: {reason}")
        version = len(self.state.models) + 1
        renewal = Renewal(
            self.labeler(self.model),
            files,
            self.first.labeled,
            self.first.folder,
            version,
            self.leave,
        )
        pool = self.one("sample the pool for training", renewal.sample)
        if pool is None:
            self.observer.note("the new model is left for the next night, too")
            return
        renewal.train(pool, self.execute)
        self.bring_into_use(self.describe(renewal.folder, reason))

    def write(self, started: float, **what: Any) -> None:
        entry = Entry(
            number=self.state.entries + 1,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - started, 1),
            model=what["came_into_use"].version if "came_into_use" in what else self.model.version,
            **what,
        )
        write_entry(self.store, entry)
        self.state.add(entry)
