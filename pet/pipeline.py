"""The sequence of stages, written once; what executes a stage is the caller's choice."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pet
from pet.adaptation import adapt
from pet.answers import pool_logits
from pet.compilation import plain_encoder
from pet.config import RunConfig
from pet.data import PoolBatch
from pet.ensembling import agreement, combine, softmax
from pet.errors import InputError
from pet.inputs import Inputs, check_folder, claim_folder, computation, read_inputs
from pet.ipet import (
    Growth,
    harm,
    measure_growth,
)  # fmt: skip
from pet.jobs import Execute, Job, plainly
from pet.labeling import Predictions, write_labels
from pet.locks import LOCK, locked
from pet.members import Member, generations_of, members_of, trains_at_once, untrained_members
from pet.polling import embed_texts, measure_prior, score_member
from pet.progress import SILENT, Observer, Tick
from pet.provenance import write_provenance
from pet.reference import write_reference
from pet.reporting.report import Generation, write_report
from pet.reporting.report_page import write_page
from pet.runs import Unit, fingerprint, read_record, sweep, write_json
from pet.sampling import sample_pool, unlabeled_rows
from pet.scoring import score_columns
from pet.students import (
    load_classifier,
    score_classifier,
    train_student,
    train_supervised,
    write_soft_labels,
)
from pet.teaching import train_member
from pet.weighing import member_weights


def label_pool(
    config: RunConfig, execute: Execute = plainly, observer: Observer = SILENT, *,
    update: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Run every stage that is missing or has changed; return what `report.json` holds.

    Raises:
        InputError: the inputs are wrong (nothing is written), or the folder is another run's.
        LockedError: another process works on the folder.
        PetError: a stage failed; what was done before it stays.
    """
    inputs = execute([Job("check inputs", partial(read_inputs, config, observer))])[0]
    for warning in inputs.labeled.warnings:
        observer.say(f"warning: {warning}")
    is_new = not os.path.exists(inputs.folder)
    had_lock = os.path.exists(inputs.folder / LOCK)
    check_folder(inputs, update)  # before a lock is put there, and again when nobody else can write
    with locked(inputs.folder, observer.say):
        stages = _Stages(inputs, execute)
        try:
            check_folder(inputs, update)
            sweep(inputs.folder)
            stages.one("sample pool", partial(sample_pool, inputs))
        except InputError:
            if is_new:  # wrong inputs leave nothing behind
                shutil.rmtree(inputs.folder, ignore_errors=True)
            elif not had_lock:  # it may be somebody else's folder
                (inputs.folder / LOCK).unlink(missing_ok=True)
            raise
        claim_folder(inputs)
        return stages.run()


class _Stages:
    """The table of contents of a run."""

    def __init__(self, inputs: Inputs, execute: Execute):
        self.inputs = inputs
        self.execute = execute
        self.made: list[Generation] = []
        self.stages: dict[str, dict[str, float]] = {}
        self.of_now: set[str] = set()  # units that this start has made

    def run(self) -> dict[str, Any]:
        inputs = self.inputs
        untrained = untrained_members(inputs)
        self.say_who_is_not_trained()
        if inputs.config.encoder is not None:
            self.one("embeddings", partial(embed_texts, inputs))
        if inputs.config.adapt_steps:
            self.one("adaptation", partial(adapt, inputs))
        if inputs.config.calibration != "none":
            priors = [partial(measure_prior, inputs, m.pattern) for m in untrained]
            names = [f"measure the prior of {member.pattern}" for member in untrained]
            jobs = [Job(name, work) for name, work in zip(names, priors, strict=True)]
            self.stage("calibration", jobs)
        self.stage("zero-shot", self.jobs("score", partial(score_member, pool=False), untrained))
        members = self.grow()
        inputs.backbone.drop()  # members have said what they had to
        soft = self.one("soft labels", partial(write_soft_labels, inputs, members))
        student = self.one("student", partial(train_student, inputs, soft))
        classifiers = [student]
        if len(inputs.labeled):
            classifiers.append(self.one("supervised", partial(train_supervised, inputs)))
        self.stage("evaluation", [
            Job(f"evaluate {unit.path.name}", partial(score_classifier, inputs, unit))
            for unit in classifiers
        ])  # fmt: skip
        labels = self.one("labels", partial(label_with_student, inputs, members, student))
        self.one("reference for drift", partial(write_reference, inputs, labels, soft))
        seconds = {name: stage["seconds"] for name, stage in self.stages.items()}
        write_provenance(inputs)
        report = write_report(inputs, members, self.made, seconds)
        write_page(inputs.folder)
        return report

    def grow(self) -> list[Member]:
        """Train generation after generation; return the members of the one to keep."""
        inputs, generations = self.inputs, [members_of(self.inputs, 0)]
        for number in range(self.generations() + 1):
            members = generations[-1] if number == 0 else members_of(inputs, number)
            name = f"generation {number}"
            if to_train := [member for member in members if member.generation is not None]:
                self.stage(f"{name}: members", self.jobs("train", train_member, to_train))
            self.stage(f"{name}: scoring", self.jobs("score", score_member, members))
            self.made.append(Generation(members, growth_of(inputs, members)))
            if number:
                generations.append(members)
            if number and (found := self.harm()):
                inputs.observer.say(f"{name} did harm, {number - 1} is kept: {found}")
                return generations[number - 1]
        return generations[-1]

    def say_who_is_not_trained(self) -> None:
        config, rows = self.inputs.config, len(self.inputs.labeled)
        if not rows or not config.member.steps or trains_at_once(self.inputs):
            return
        later = "they are learned from in generation 1"
        if not self.generations():
            later = "nobody learns from them; --set train_from=0 trains on them"
        self.inputs.observer.say(
            f"{rows} labeled rows are fewer than train_from, {config.train_from:g} per label: "
            f"generation 0 is not trained, {later}"
        )

    def harm(self) -> str:
        """Say what harm the last generation did, if any."""
        inputs = self.inputs
        count = len(inputs.task.labels)
        labels = inputs.labeled.labels if len(inputs.labeled) else np.arange(count)
        ratio = np.bincount(labels, minlength=count) / len(labels)
        before, now = (generation.growth for generation in self.made[-2:])
        untrained = len(self.made) == 2 and not trains_at_once(inputs)
        return harm(before, now, ratio.tolist(), untrained_before=untrained)

    def generations(self) -> int:
        return generations_of(self.inputs, int(unlabeled_rows(self.inputs).trainable.sum()))

    def jobs(self, verb: str, work: Any, members: Iterable[Member]) -> list[Job]:
        return [
            Job(f"{verb} {member.name}", partial(work, self.inputs, member)) for member in members
        ]

    def one(self, name: str, work: Callable[[], Any]) -> Any:
        return self.stage(name, [Job(name, work)])[0]

    def stage(self, name: str, jobs: list[Job]) -> list[Any]:
        """Execute a stage's jobs, say what was reused, and note the time in the manifest."""
        started = time.monotonic()
        results = self.execute(jobs)
        units = [unit for result in results for unit in _units(result)]
        reused = sum(unit.reused and str(unit.path) not in self.of_now for unit in units)
        self.of_now |= {str(unit.path) for unit in units if not unit.reused}
        if reused:
            self.inputs.observer.say(f"{name}: {reused} of {len(units)} reused, up to date")
        for unit in units:
            if not unit.reused and unit.reason not in ("", "not made yet"):
                self.inputs.observer.say(f"{name}: {unit.path.name} made again: {unit.reason}")
        self.note(name, time.monotonic() - started, len(units) - reused, reused)
        return results

    def note(self, name: str, seconds: float, made: int, reused: int) -> None:
        path = self.inputs.folder / "manifest.json"
        manifest = read_record(path)
        before = manifest.get("stages", {}).get(name, {})
        spent = before.get("seconds", 0.0) if reused else 0.0
        self.stages[name] = {
            "seconds": round(spent + (seconds if made else 0.0), 2),
            "made": made,
            "reused": reused,
        }
        if manifest:  # before the folder is claimed there is none
            write_json(path, {**manifest, "stages": {**manifest.get("stages", {}), **self.stages}})


def _units(result: Any) -> list[Unit]:
    found = result if isinstance(result, list) else [result]
    return [unit for unit in found if isinstance(unit, Unit)]


def label_with_student(inputs: Inputs, members: list[Member], student: Unit) -> Unit:
    """Write `labels/` with the student's probabilities and the members' agreement."""
    config = inputs.config
    model = load_classifier(config, student.path)
    encoder = plain_encoder(model.tokenizer, inputs.task.fields, config.max_length)
    votes = MemberVotes(inputs, members)

    def say(batch: PoolBatch, tick: Tick) -> Predictions:
        logits = score_columns(model, encoder, batch.columns, config.tokens_per_batch, tick)
        return Predictions(softmax(logits), votes.agreement(batch.rows, logits.argmax(axis=1)))

    expected = fingerprint(
        student=student.fingerprint, pool=inputs.digests["pool"], **computation(config)
    )
    written, reused = write_labels(
        inputs.pool, inputs.folder / "labels", inputs.task.labels, say, model=expected,
        shard_rows=config.shard_rows, abstain_below=config.abstain_below,
        keep_columns=config.keep_columns, observer=inputs.observer,
        metadata={
            "task": inputs.task.name, "run": inputs.run_id, "model": student.fingerprint,
            "labeled_with": "student", "pet": pet.__version__,
        },
    )  # fmt: skip
    return Unit(inputs.folder / "labels", expected, written == 0 and reused > 0)


def growth_of(inputs: Inputs, members: list[Member]) -> Growth:
    """Measure a generation on the unlabeled rows."""
    logits = pool_logits(inputs, members)
    return measure_growth(logits, combine(logits, member_weights(inputs, members)))


class MemberVotes:
    """What the members' best labels were, for the pool rows that they scored."""

    def __init__(self, inputs: Inputs, members: list[Member]):
        self._votes = pool_logits(inputs, members).argmax(axis=-1)  # [members, rows]
        self._rows = unlabeled_rows(inputs).rows

    def agreement(self, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.floating]:
        """Share of members with the same label; NaN for rows that they did not score. [rows]"""
        place = np.searchsorted(self._rows, rows)
        inside = place < len(self._rows)
        inside[inside] = self._rows[place[inside]] == rows[inside]
        share = np.full(len(rows), np.nan)
        if inside.any():
            share[inside] = agreement(self._votes[:, place[inside]], labels[inside])
        return share
