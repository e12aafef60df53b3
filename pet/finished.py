"""What can be done with a finished run: label other pools, predict, evaluate, look it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.backbones import Backbone
from pet.calibration import Scaling
from pet.config import RunConfig
from pet.data import Pool, PoolBatch, open_pool
from pet.encoding import Encoder
from pet.ensembling import agreement, combine, entropy, softmax
from pet.errors import InputError, Problem, gather
from pet.evaluation import above, confusion_matrix, coverage_curve, metrics
from pet.formats import check_format
from pet.inputs import computation, recorded_inputs, recorded_run_id
from pet.labeled import read_labeled
from pet.labeling import Predictions, label_into, label_metadata, refuse_other_labels
from pet.member_models import load_member
from pet.members import Member, parse_member
from pet.mirrors import run_folder
from pet.places import place_in_pool
from pet.progress import Observer, Tick, no_tick
from pet.prompt_ensembles import PromptEnsemble
from pet.runs import DONE, fingerprint, finished, read_record
from pet.scoring import Columns, ask_in_turn
from pet.sentence_encoders import encoder_digest
from pet.settings import load_config
from pet.student_folder import CARD, Student, record_of
from pet.students import load_classifier
from pet.tables import content_digest
from pet.tasks import Task, column_names, load_task

KEPT_BYTES = 2 << 30  # weights of an ensemble that stay in memory; larger ones are loaded again


@dataclass(frozen=True)
class FinishedRun:
    """A run folder that holds a student."""

    folder: Path
    config: RunConfig
    task: Task

    def fingerprint_of(self, unit: str) -> str:
        return str(read_record(self.folder / unit / DONE).get("fingerprint"))


def open_run(folder: Path) -> FinishedRun:
    """Open a finished run.

    Raises:
        InputError: the folder is no run, its student is not made yet, or a newer version made it.
    """
    check_format(folder, read_record(folder / "manifest.json"))
    config = load_config(folder / "config.json")
    path = folder / "task.toml"
    # The report is written last, and taken away when new inputs come into the folder.
    if not all((folder / name).exists() for name in ("student", "task.toml", "report.json")):
        raise InputError(
            Problem(str(folder), "a finished run, with a student", "a run that has not ended",
                    "give its `pet run` command again: it goes on where it was")
        )  # fmt: skip
    refuse_changed(folder / "student")
    return FinishedRun(folder, config, load_task(path.absolute()))


def student_of(run: FinishedRun, **changes: str) -> Student:
    """Load a run's student.

    Args:
        changes: settings unlike the run's own: the device, the precision.
    """
    config = run.config.model_copy(update=changes)
    folder = run.folder / "student"
    model = load_classifier(config, folder)
    if (made_for := model.module.config.num_labels) != len(run.task.labels):
        raise InputError(
            Problem(str(run.folder / "task.toml"),
                    f"the {made_for} labels that the student was made for",
                    f"{len(run.task.labels)}: it was changed",
                    "put the old file back, or make the run anew with `pet run --update`")
        )  # fmt: skip
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).exists() else ""
    return Student(model, record_of(run.task, config.student_length), card, config.tokens_per_batch)


Voice = Callable[[Columns, Tick], Predictions]


def student_voice(run: FinishedRun) -> Voice:
    """Load the student; return the function that asks it."""
    student = student_of(run)

    def say(columns: Columns, tick: Tick) -> Predictions:
        probabilities = softmax(student.logits(columns, tick))
        return Predictions(probabilities, np.full(len(probabilities), np.nan))

    return say


def ensemble_voice(run: FinishedRun) -> Voice:
    """Return the function that asks the last generation's members, loaded as they are needed."""
    members, weights, scaling = _ensemble_of(run)
    for member in members:
        if member.generation is not None:
            refuse_changed(run.folder / "members" / member.name)
    backbone = Backbone.of(run.config, run.folder)
    _refuse_other_models(run, members, backbone)
    load = _loader(run, members, backbone)
    prompts = None
    if run.config.member.tuning == "soft-prompt":
        prompts = PromptEnsemble.of([load(member) for member in members])

    def say(columns: Columns, tick: Tick) -> Predictions:
        voices = (load(member) for member in members)
        logits = None if prompts is None else prompts.score(columns)
        if logits is None:
            logits = ask_in_turn(voices, len(members), columns, run.config.tokens_per_batch, tick)
        else:
            tick(logits.shape[1])
        probabilities = scaling.probabilities(combine(logits, weights))
        best = probabilities.argmax(axis=-1)
        return Predictions(probabilities, agreement(logits.argmax(axis=-1), best))

    return say


def refuse_changed(folder: Path) -> dict[str, Any]:
    """Return the record of a unit that is as it was made.

    Raises:
        InputError: a file of it is another by now, or its record cannot be read.
    """
    record = read_record(folder / DONE)
    is_whole, reason = finished(folder, str(record.get("fingerprint")))
    if not is_whole:
        raise InputError(
            Problem(str(folder), "a part of the run as it was made", reason,
                    "give the run's `pet run` command again: it is made anew")
        )  # fmt: skip
    return record


def _ensemble_of(run: FinishedRun) -> tuple[list[Member], list[float], Scaling]:
    """Read who is in the ensemble, with what weights, and how their scores are scaled.

    Raises:
        InputError: the record is gone, or names members that no run of this task has.
    """
    folder = run.folder / "soft_labels"
    record: Any = refuse_changed(folder)
    try:
        weights = {str(name): float(weight) for name, weight in record["weights"].items()}
        members = [parse_member(name) for name in weights]
        none = [0.0] * len(run.task.labels)  # as in runs of earlier versions
        offsets = [float(offset) for offset in record.get("ensemble_offsets", none)]
        scaling = Scaling(float(record["ensemble_temperature"]), tuple(offsets))
        if len(offsets) != len(none):
            raise ValueError("offsets of other labels")
        known = {"", *(pattern.name for pattern in run.task.patterns)}
        if not members or any(member.pattern not in known for member in members):
            raise ValueError("members of other patterns")
    except (TypeError, ValueError, KeyError, AttributeError):
        raise InputError(
            Problem(str(folder), "the record of an ensemble", f"another {DONE}",
                    "give the run's `pet run` command again")
        ) from None  # fmt: skip
    return members, list(weights.values()), scaling


def _refuse_other_models(run: FinishedRun, members: Sequence[Member], backbone: Backbone) -> None:
    """Untrained members and the encoder are loaded from where they came from: is it still they?

    Raises:
        InputError: the model of that name is another one by now.
    """
    known = recorded_inputs(run.folder)
    config = run.config
    now = {}
    if any(m.generation is None for m in members) and not config.adapt_steps:
        now["model"] = config.model, backbone.digest
    if config.encoder is not None and any(m.kind == "encoder" for m in members):
        now["encoder"] = config.encoder, encoder_digest(config.encoder, config.encoder_revision)
    for name, (ref, digest) in now.items():
        if digest != known.get(name):
            raise InputError(
                Problem(ref, f"the {name} that the run was made with", "another model of that name",
                        "put the old one back, or make the run anew with `pet run --update`")
            )  # fmt: skip


def _loader(
    run: FinishedRun, members: Sequence[Member], backbone: Backbone
) -> Callable[[Member], tuple[Any, Encoder]]:
    """Return the function that loads a member: once only, where all of them fit in memory.

    Members that share the backbone, untrained ones and adapters, are kept in any case.
    """
    kept: dict[Member, tuple[Any, Encoder]] = {}

    def load(member: Member) -> tuple[Any, Encoder]:
        if member in kept:
            return kept[member]
        model, encoder = load_member(run.config, run.task, run.folder, member, backbone)
        weights = sum(p.numel() * p.element_size() for p in model.module.parameters())
        if backbone.holds(model) or len(members) * weights <= KEPT_BYTES:
            kept[member] = model, encoder
        return model, encoder

    return load


def voice_of(run: FinishedRun, who: str) -> Voice:
    """Return the function that asks the student or the ensemble."""
    if who not in ("student", "ensemble"):
        raise InputError(
            Problem("--with", "student or ensemble", repr(who), "leave it out for the student")
        )
    return student_voice(run) if who == "student" else ensemble_voice(run)


def label_new_pool(
    folder: Path, pool_path: str, out: str | Path, who: str, text_column: str | None,
    observer: Observer,
) -> tuple[int, int, dict[str, Any]]:  # fmt: skip
    """Label a pool with a finished run; return shards written, shards reused, and the counts."""
    run = open_run(folder)
    columns = _columns(run, text_column)
    problems = place_in_pool(pool_path, str(out))
    pool = gather(
        problems,
        lambda: open_pool(
            pool_path, run.task.fields, columns=columns, id_column=run.config.id_column
        ),
    )
    if pool is not None and not pool.count_rows():
        problems.append(Problem(pool_path, "at least one row", "none", "check the path"))
    kept: tuple[str, ...] = ()
    if pool is not None:
        kept = pool.keepable(run.config.keep_columns, observer.say)
        gather(problems, partial(pool.kept_schema, kept))
    if problems or pool is None:
        raise InputError(problems)
    model = run.fingerprint_of("student" if who == "student" else "soft_labels")
    source = fingerprint(
        model=model, who=who, pool=content_digest(pool.files, observer), columns=columns,
        **computation(run.config),
    )  # fmt: skip
    home = run_folder(out)
    refuse_other_labels(home, source)
    voice = voice_of(run, who)

    def say(batch: PoolBatch, tick: Tick) -> Predictions:
        return voice(batch.columns, tick)

    return label_into(
        home, pool, run.task.labels, say, source=source,
        config=run.config.model_copy(update={"keep_columns": kept}), observer=observer,
        metadata=label_metadata(run.task.name, recorded_run_id(folder), model, who),
    )  # fmt: skip


def open_run_pool(run: FinishedRun, path: str | None = None) -> Pool:
    """Open the pool that a run has labeled: ids alone (file and row) do not tell it from others.

    Args:
        path: where the pool is now, if not where it was.

    Raises:
        InputError: it is not there, or is another one by now.
    """
    config, path = run.config, path or run.config.pool
    columns = _columns(run, None)
    pool = open_pool(path, run.task.fields, columns=columns, id_column=config.id_column)
    if content_digest(pool.files) != recorded_inputs(run.folder).get("pool"):
        raise InputError(
            Problem(path, "the pool that the run labeled", "other files or another content",
                    "put it back as it was (pet export: name it with --pool), or label this one "
                    "with `pet run --update`")
        )  # fmt: skip
    return pool


def _columns(run: FinishedRun, text_column: str | None) -> dict[str, str] | None:
    return column_names(run.task, text_column or run.config.text_column)


def predict_texts(folder: Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Ask a run's student about texts; fields of a pair are parted by a tab."""
    run = open_run(folder)
    if broken := [text for text in texts if not _is_unicode(text)]:
        raise InputError(
            Problem("TEXT", "text in UTF-8", repr(broken[0]), "convert it, or set LANG to C.UTF-8")
        )
    rows = [text.split("\t") if len(run.task.fields) > 1 else [text] for text in texts]
    wrong = [
        text for row, text in zip(rows, texts, strict=True) if len(row) != len(run.task.fields)
    ]
    # As in pools: one field of a pair may be empty.
    if wrong or not rows or not all(any(map(str.strip, row)) for row in rows):
        expected = f"{len(run.task.fields)} fields a text, parted by tabs, not all of them empty"
        found = repr(wrong[0]) if wrong else "an empty text"
        raise InputError(Problem("TEXT", expected, found, "quote each text"))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(run.task.fields)}
    probabilities = student_voice(run)(columns, no_tick).probabilities
    return [
        {
            "text": text,
            "label": run.task.labels[int(row.argmax())],
            "confidence": round(float(row.max()), 4),
            "abstain": bool(row.max() < run.config.abstain_below),
            "probabilities": dict(zip(run.task.labels, np.round(row, 4).tolist(), strict=True)),
        }
        for text, row in zip(texts, probabilities, strict=True)
    ]


def _is_unicode(text: str) -> bool:
    """Tell whether no byte was left over when the command line was decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def evaluate_run(
    folder: Path, test: str, who: str, observer: Observer, *,
    label_column: str | None = None, text_column: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure a run on labeled texts: accuracy, macro-F1, ECE, confusion matrix."""
    run = open_run(folder)
    config = run.config
    voice = voice_of(run, who)
    table = read_labeled(
        test, run.task.fields, run.task.labels, label_column=label_column or config.label_column,
        columns=_columns(run, text_column),
        id_column=config.id_column, max_rejected=config.max_rejected,
    )  # fmt: skip
    with observer.stage(f"the {who} on {Path(test).name}", len(table), "rows") as tick:
        probabilities = voice(table.columns, tick).probabilities
    counts: NDArray[np.int64] = confusion_matrix(
        table.labels, probabilities.argmax(axis=1), len(run.task.labels)
    )
    return {
        "with": who,
        **metrics(probabilities, table.labels),
        "abstaining": above(probabilities, table.labels, config.abstain_below),
        "coverage": coverage_curve(probabilities, table.labels),
        "mean_entropy": round(float(entropy(probabilities).mean()), 4),
        "labels": list(run.task.labels),
        "confusion": counts.tolist(),
        "warnings": list(table.warnings),
    }
