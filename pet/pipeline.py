"""The sequence of stages, written once; what executes a stage is the caller's choice."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from pet.checking.before_run import settle
from pet.config import Budget, RunConfig
from pet.ensemble.adaptation import adapt
from pet.ensemble.chosen_words import search
from pet.ensemble.fingerprints import with_fingerprints
from pet.ensemble.joint_training import train_jointly
from pet.ensemble.lineup import (
    Lineup,
    are_alike,
    generations_of,
    has_few_labels,
    plan_members,
    unused_labels,
)
from pet.ensemble.member_scoring import embed_texts, measure_prior, score_members, score_untrained
from pet.ensemble.member_training import train_member
from pet.ensemble.members import Member, untrained_members
from pet.ensemble.predictions import zero_shot_logits
from pet.ensemble.rule_weighing import weigh_rules
from pet.ensemble.rules import apply_rules
from pet.ensemble.stopping import Generation, degradation_of, generation_of
from pet.errors import InputError
from pet.inputs.folder_claim import check_folder, claim_folder
from pet.inputs.pool_sample import pool_rows, sample_pool, unlabeled_rows
from pet.inputs.presets import idle_settings, slow_precision
from pet.inputs.reading import open_session
from pet.inputs.session import Session
from pet.jobs import Execute, InProcess, Job, synced
from pet.models.loading import quiet, reading_of
from pet.progress import SILENT, Observer
from pet.reporting.drift_reference import write_reference
from pet.reporting.provenance import write_provenance
from pet.reporting.report import write_report
from pet.reporting.report_page import write_page
from pet.storage.files import read_record, sweep, write_json
from pet.storage.locks import LOCK
from pet.storage.run_folders import ALL_LABELS, NO_LABELS
from pet.storage.units import Unit
from pet.student.combination import write_soft_labels
from pet.student.distillation import (
    score_classifier,
    score_unlabeled,
    train_student,
    train_supervised,
)
from pet.student.exits import fit_exits
from pet.student.label_choice import LabelChoice, choose_labels
from pet.student.label_files import close_labels, count_shards
from pet.student.linear_baselines import score_linear
from pet.student.linear_student import fit_linear_student, fit_linear_supervised
from pet.student.pool_labeling import cut_shards, label_own_pool
from pet.student.soft_labels import cross_fit, folds_of_pool

T = TypeVar("T")


@quiet()  # once for all models that are loaded
def label_pool(
    config: RunConfig,
    execute: Execute | None = None,
    observer: Observer = SILENT,
    *,
    update: bool = False,
    budget: Budget | None = None,
    estimated: bool = False,
) -> dict[str, Any]:
    """Run every stage that is missing or has changed; return what `report.json` holds.

    Args:
        execute: carries out the jobs of a stage; one after another in this process, by default.
        update: let new inputs, or another budget, into an old run folder.
        budget: the time in which the run is to end; settings are chosen for it once.
        estimated: note first what a new run will take.

    Raises:
        InputError: the inputs are wrong (nothing is written), or the folder is another run's.
        LockedError: another process works on the folder.
        PetError: a stage failed; what was done before it stays.
    """
    execute = execute or InProcess()
    session = execute([Job("check inputs", partial(open_session, config, observer), here=True)])[0]
    warnings = (*session.labeled.warnings, slow_precision(config), idle_settings(config))
    for warning in filter(None, warnings):
        observer.note(f"warning: {warning}")
    is_new = not os.path.exists(session.folder)
    had_lock = os.path.exists(session.folder / LOCK)
    check_folder(session, update)  # before a lock is put there, and again under the lock
    chosen: dict[str, Any] = {}
    if budget is not None or estimated:
        inputs, chosen = settle(
            session.inputs, session.folder, budget, observer, update=update, jobs=execute.at_once
        )
        session = Session(inputs, observer)
    with session.run_folder.locked(observer.note):
        stages = _Stages(session, execute)
        try:
            fetched = session.run_folder.fetch()
            check_folder(session, update)
            sweep(session.folder)
            stages.here("sample pool", partial(sample_pool, session))
            if session.task.rules:
                stages.here("rules", partial(apply_rules, session))
        except InputError:
            if is_new:  # wrong inputs leave nothing behind
                shutil.rmtree(session.folder, ignore_errors=True)
            elif not had_lock:  # it may be somebody else's folder
                with contextlib.suppress(OSError):
                    (session.folder / LOCK).unlink()
            raise
        if fetched:
            observer.note(f"{fetched} files were fetched from {session.run_folder}")
        claim_folder(session, chosen)
        report = stages.run()
        sweep(session.folder)  # of jobs whose node died, and that were done on another
        session.run_folder.push()
        return report


class _Stages:
    """The table of contents of a run."""

    def __init__(self, session: Session, execute: Execute):
        self.session = session
        self.execute = execute
        self.made: list[Generation] = []
        self.stages: dict[str, dict[str, float]] = {}
        self.of_now: set[str] = set()  # units that this start has made

    def run(self) -> dict[str, Any]:
        session = self.session
        untrained = untrained_members(session.task)
        if session.config.encoder is not None and (len(session.labeled) or self.generations()):
            self.one("embeddings", partial(embed_texts, session))
        if session.config.adapt_steps:
            self.one("adaptation", partial(adapt, session))
        if session.config.base == "joint":
            self.one("joint training", partial(train_jointly, session))
        if session.inputs.words_from_labeled:
            self.one("label words", partial(search, session))
        if session.config.calibration != "none":
            measure = partial(measure_prior, session)
            self.stage("calibration", self.group_jobs("measure the prior of", measure, untrained))
        score = partial(score_untrained, session)
        self.stage("zero-shot", self.group_jobs("score", score, untrained))
        lineup = self.plan(untrained)
        members = self.grow(lineup)
        self.train_held_out(lineup, members[0].generation or 0)
        session.backbone.drop()  # no member is scored any more
        soft = self.here("soft labels", partial(write_soft_labels, session, lineup, members))
        out_of_fold = None
        if folds_of_pool(session) is not None:
            out_of_fold = self.here("cross-fitting", partial(cross_fit, session, soft))
        classifiers = self.train_classifiers(soft, out_of_fold)
        student = classifiers[0]
        exits = None
        if session.config.student.exits:
            exits = self.one("early exits", partial(fit_exits, session, student, soft, out_of_fold))
        self.stage(
            "evaluation",
            [
                self.job(f"evaluate {unit.path.name}", partial(score_classifier, session, unit))
                for unit in classifiers
            ],
        )
        self.here("linear baselines", partial(score_linear, session, soft, out_of_fold))
        choice = choose_labels(session, lineup, members)
        if choice.model == "ensemble":
            self.one("student on the ensemble's rows", partial(score_unlabeled, session, student))
        labels = self.label(members, student, soft, choice, exits)
        self.here("reference for drift", partial(write_reference, session, labels, soft, choice))
        seconds = {name: stage["seconds"] for name, stage in self.stages.items()}
        write_provenance(session, choice.labeled_with)
        report = write_report(session, lineup, members, self.made, seconds, choice)
        write_page(session.folder)
        return report

    def plan(self, untrained: Sequence[Member]) -> Lineup:
        """Plan who takes part, now that the untrained members have scored the labeled rows."""
        session = self.session
        lineup = plan_members(
            session.config,
            session.task,
            session.labeled,
            zero_shot_logits(session, untrained),
            self.rows(),
        )
        self.note_start(lineup)
        return with_fingerprints(session, lineup)

    def grow(self, lineup: Lineup) -> Sequence[Member]:
        """Train generation after generation; return the members of the one to keep."""
        session = self.session
        train = partial(train_member, session, lineup)
        score = partial(score_members, session, lineup)
        for number, members in enumerate(lineup.generations):
            name = f"generation {number}"
            if to_train := [member for member in members if member.generation == number]:
                self.stage(f"{name}: members", self.jobs("train", train, to_train))
            self.stage(f"{name}: scoring", self.group_jobs("score", score, members))
            if number == 0 and lineup.held_out[0]:
                self.stage("held-out members", self.jobs("train", train, lineup.held_out[0]))
            if number == 0 and session.task.rules:
                self.here("agreement with rules", partial(weigh_rules, session, lineup))
            self.made.append(generation_of(session, lineup, members))
            if number and (found := degradation_of(session, lineup, self.made)):
                session.observer.note(f"{name} is discarded, {number - 1} is kept: {found}")
                return lineup.generations[number - 1]
        return lineup.generations[-1]

    def train_held_out(self, lineup: Lineup, kept: int) -> None:
        """Train the held-out members of the generation that is kept, after their teachers."""
        train = partial(train_member, self.session, lineup)
        score = partial(score_members, self.session, lineup)
        for number in range(kept + 1):
            name = f"held-out members of generation {number}"
            if number and lineup.held_out[number]:
                self.stage(name, self.jobs("train", train, lineup.held_out[number]))
            if number < kept and lineup.teaching[number]:
                teaching = lineup.teaching[number]
                self.stage(f"{name}: scoring", self.group_jobs("score", score, teaching))

    def train_classifiers(self, soft: Unit, out_of_fold: Unit | None) -> list[Unit]:
        """Train the student, then the baseline on the labeled rows: each by all threads.

        Side by side, the student, which takes ten times as long, had one of them.
        """
        session = self.session
        fit, fit_supervised = train_student, train_supervised
        if session.config.linear_student:
            fit, fit_supervised = fit_linear_student, fit_linear_supervised
        jobs = [self.job("student", partial(fit, session, soft, out_of_fold))]
        if len(session.labeled):
            jobs.append(self.job("supervised", partial(fit_supervised, session)))
        return [unit for job in jobs for unit in self.stage(job.name, [job])]

    def label(
        self,
        members: Sequence[Member],
        student: Unit,
        soft: Unit,
        choice: LabelChoice,
        exits: Unit | None,
    ) -> Unit:
        """Label the pool: in one go, or in blocks of shards where jobs are done side by side."""
        session = self.session
        rows = pool_rows(session)
        shards = count_shards(rows, session.config.shard_rows)
        blocks = cut_shards(shards, self.execute.at_once)
        names = [f"labels from file {block.start} on" for block in blocks]
        units = self.stage(
            "labels",
            [
                self.job(
                    name if len(blocks) > 1 else "labels",
                    partial(label_own_pool, session, members, student, soft, choice, block, exits),
                    labels=block,
                )
                for name, block in zip(names, blocks, strict=True)
            ],
        )
        made = units[0]
        session.run_folder.fetch(labels=ALL_LABELS)
        close_labels(session.folder / made.path, made.fingerprint, shards, rows)
        return Unit(made.path, made.fingerprint, all(unit.reused for unit in units))

    def note_start(self, lineup: Lineup) -> None:
        """Note of few labeled rows whether generation 0 is trained on them, and why."""
        session = self.session
        config, rows, note = session.config, len(session.labeled), session.observer.note
        if not rows and config.encoder is not None and not self.generations():
            note(
                "warning: without labeled rows and generations the encoder has nothing to learn "
                "from: it is no member"
            )
        if unused := unused_labels(config, session.labeled.labels, lineup.generations[-1]):
            note(f"warning: {unused}")
            return
        few = has_few_labels(config, session.task, session.labeled)
        if not rows or not few or not config.member.steps:
            return
        if lineup.trains_at_once:
            note(
                "zero-shot, the patterns are less accurate on the labeled rows than predicting the "
                f"most frequent label: generation 0 is trained on these {rows}"
            )
            return
        later = "generation 1 is"
        if not self.generations():
            later = "only the encoder member is; --set train_from=0 trains patterns, too"
        why = f"fewer than train_from, {config.train_from:g} per label"
        if are_alike(session.labeled.labels):
            why = "all of one label"
        note(f"{rows} labeled rows are {why}: generation 0 is not trained on them, {later}")

    def rows(self) -> int:
        """How many unlabeled rows there are to learn from."""
        return int(unlabeled_rows(self.session).trainable.sum())

    def generations(self) -> int:
        session = self.session
        return generations_of(session.config, session.task, session.labeled, self.rows())

    def job(
        self,
        name: str,
        work: Callable[[], T],
        *,
        here: bool = False,
        labels: range = NO_LABELS,
        weights: Collection[str] = (),
    ) -> Job[T]:
        """Make a job of a stage; for `labels` and `weights`, see `synced`."""
        return Job(name, partial(synced, self.session.run_folder, work, labels, weights), here)

    def jobs(
        self, verb: str, work: Callable[[Member], T], members: Iterable[Member]
    ) -> list[Job[T]]:
        return [
            self.job(f"{verb} {member.name}", partial(work, member), weights=[member.name])
            for member in members
        ]

    def group_jobs(
        self, verb: str, work: Callable[[Sequence[Member]], T], members: Iterable[Member]
    ) -> list[Job[T]]:
        """Make a job for each member; one for all untrained members of a causal model.

        Such a model reads a text once for all patterns. A masked one gains nothing by it, and its
        members may be scored side by side.
        """
        config = self.session.config
        causal = reading_of(config.model_ref, config.mask) == "causal"
        groups: dict[object, list[Member]] = {}
        for member in members:
            together = causal and member.generation is None
            groups.setdefault("untrained" if together else member, []).append(member)
        return [
            self.job(
                f"{verb} {own[0].name if len(own) == 1 else 'all untrained members'}",
                partial(work, own),
                weights=[member.name for member in own],
            )
            for own in groups.values()
        ]

    def one(self, name: str, work: Callable[[], T]) -> T:
        return self.stage(name, [self.job(name, work)])[0]

    def here(self, name: str, work: Callable[[], T]) -> T:
        return self.stage(name, [self.job(name, work, here=True)])[0]

    def stage(self, name: str, jobs: Sequence[Job[T]]) -> list[T]:
        """Execute a stage's jobs, report what was reused, and note the time in the manifest."""
        started = time.monotonic()
        run_folder = self.session.run_folder
        results = self.execute([replace(job, alone=len(jobs) == 1) for job in jobs])
        run_folder.fetch()  # what was made elsewhere
        units = [unit for result in results for unit in _units(result)]
        reused = sum(unit.reused and str(unit.path) not in self.of_now for unit in units)
        self.of_now |= {str(unit.path) for unit in units if not unit.reused}
        if reused:
            self.session.observer.note(f"{name}: {reused} of {len(units)} reused, up to date")
        for unit in units:
            if not unit.reused and unit.reason not in ("", "not made yet"):
                self.session.observer.note(f"{name}: {unit.path.name} made again: {unit.reason}")
        self.note(name, time.monotonic() - started, len(units) - reused, reused)
        run_folder.push()
        return results

    def note(self, name: str, seconds: float, made: int, reused: int) -> None:
        path = self.session.folder / "manifest.json"
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
