"""A finished run's results for other programs: `pet export`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.errors import InputError, PetError, Problem, gather
from pet.finished.finished_run import FinishedRun, open_run
from pet.finished.labeled_pool import write_labeled_csv, write_labeled_pool
from pet.finished.onnx_students import export_onnx, open_onnx, quantize, require_onnx
from pet.finished.predictors import refuse_unknown_model, student_of
from pet.inputs.pool_sample import load_unlabeled
from pet.inputs.run_tables import labeled_of
from pet.method.outcomes import Outcome, Truth
from pet.models.scoring import Columns
from pet.progress import SILENT, Observer
from pet.reporting.model_card import USE
from pet.storage.files import sweep, writing
from pet.student.student_folder import CARD, Student, write_record

FORMATS = ("hf", "onnx", "linear", "datasets", "csv")

WITH_TEXTS = {"datasets": write_labeled_pool, "csv": write_labeled_csv}

COMPARED_ROWS = 1000

LARGEST_DIFFERENCE = 1e-3  # in probability; float32 in another order of sums stays under 1e-5


def export_run(
    folder: Path,
    kind: str,
    out: Path,
    *,
    int8: bool = False,
    pool: str | None = None,
    who: str | None = None,
    observer: Observer = SILENT,
) -> dict[str, Any]:
    """Write the student or the labeled pool of a finished run into a new folder.

    Args:
        kind: hf (the student as transformers loads it), onnx, linear (a linear student), datasets
            or csv (labels and texts).
        int8: an int8 model beside the ONNX one.
        pool: for datasets and csv, where the pool is now.
        who: for these, whose labels: student or ensemble; those of the run if not given.

    Returns:
        `format`, `out`, `files` and what was measured.

    Raises:
        InputError: no finished run, an unknown format, options that do not go together, or
            something is at `out` already.
        PetError: what was written predicts other probabilities than the student.
    """
    sweep(out.parent, below=False)
    run = open_run(folder)
    _check_options(run, kind, out, int8, {"--pool": pool, "--with": who})
    with writing(out) as temporary:
        temporary.mkdir()
        if kind in WITH_TEXTS:
            measured = WITH_TEXTS[kind](run, pool, who, temporary, observer)
        elif kind == "onnx":
            measured = _write_onnx(run, temporary, int8)
        else:
            student_of(run).save(temporary)
            measured = {}
        files = {
            path.relative_to(temporary).as_posix(): path.stat().st_size
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
    return {"format": kind, "out": str(out), "files": files, **measured}


def _check_options(
    run: FinishedRun, kind: str, out: Path, int8: bool, with_texts: Mapping[str, str | None]
) -> None:
    problems = []
    if kind not in FORMATS:
        problems.append(Problem("--format", ", ".join(FORMATS), repr(kind), "choose one of these"))
    if kind in FORMATS and kind not in WITH_TEXTS:
        problems += _wrong_student(run, kind)
    if int8 and kind != "onnx":
        problems.append(Problem("--int8", "--format onnx", repr(kind), "leave out --int8"))
    for option, value in with_texts.items():
        if value is not None and kind not in WITH_TEXTS:
            needed = " or ".join(f"--format {name}" for name in WITH_TEXTS)
            problems.append(Problem(option, needed, repr(kind), f"leave out {option}"))
    if (who := with_texts["--with"]) is not None:
        gather(problems, lambda: refuse_unknown_model(who))
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        problems.append(
            Problem(
                str(out),
                "a folder that does not exist yet, or an empty one",
                "something is there",
                "choose another --out, or remove it",
            )
        )
    if problems:
        raise InputError(problems)
    if kind == "onnx":
        require_onnx()


def _wrong_student(run: FinishedRun, kind: str) -> list[Problem]:
    """Refuse a linear student in a language model's formats, and the other way round.

    ONNX has no operator that splits a text into words as scikit-learn does: in the patterns of
    onnxruntime's own tokenizer, \\w is an ASCII letter.
    """
    is_linear = run.config.linear_student
    if is_linear == (kind == "linear"):
        return []
    expected = "a linear student" if kind == "linear" else "a student of transformers"
    found = "a linear classifier of words" if is_linear else "a student of transformers"
    fix = "--format linear: JSON and safetensors" if is_linear else "--format hf or onnx"
    return [Problem(f"--format {kind}", expected, found, fix)]


def _write_onnx(run: FinishedRun, folder: Path, int8: bool) -> dict[str, Any]:
    """Write `model.onnx` and `model_int8.onnx`, and compare them with the student."""
    student = student_of(run, device="cpu", precision="float32")
    student.classifier.save_settings(folder)
    (folder / CARD).write_text(_onnx_card(student), encoding="utf-8")
    export_onnx(student, folder / "model.onnx")
    source, columns, truth = compared_rows(run)
    probabilities = student.probabilities(columns)
    measured: dict[str, Any] = {"compared_on": f"{len(probabilities):,} {source}"}
    if truth is not None:
        measured["student"] = _quality(run.outcome, probabilities, truth)
    names = ["model.onnx"]
    if int8:
        quantize(folder / "model.onnx", folder / "model_int8.onnx")
        names.append("model_int8.onnx")
    write_record(folder, student.record)
    for name in names:
        other = open_onnx(folder / name, student).probabilities(columns)
        measured[name] = _compare(run.outcome, probabilities, other, truth)
    difference = measured["model.onnx"]["largest_difference"]
    if difference > LARGEST_DIFFERENCE:
        raise PetError(
            Problem(
                "model.onnx",
                "the student's probabilities",
                f"others, by up to {difference}",
                "use --format hf, and report the student's kind of model",
            )
        )
    return measured


def _compare(
    outcome: Outcome,
    student: NDArray[np.floating],
    other: NDArray[np.floating],
    truth: Truth | None,
) -> dict[str, float]:
    same = outcome.choose(other) == outcome.choose(student)
    found = {
        "agreement": round(float((same.all(axis=1) if outcome.several else same).mean()), 4),
        "largest_difference": float(f"{np.abs(student - other).max():.2g}"),
    }
    return found if truth is None else {**found, **_quality(outcome, other, truth)}


def _quality(
    outcome: Outcome, probabilities: NDArray[np.floating], truth: Truth
) -> dict[str, float]:
    """Return the accuracy; of several labels a text, micro-F1."""
    name = "micro_f1" if outcome.several else "accuracy"
    return {name: outcome.metrics(probabilities, truth)[name]}


def compared_rows(run: FinishedRun) -> tuple[str, Columns, Truth | None]:
    """Find texts to compare models on: test rows, labeled rows, or what is left of the pool.

    Returns:
        what they are; field -> texts; the true labels where they are known.
    """
    config = run.config
    for source, path in (("test rows", config.test), ("labeled rows", config.labeled)):
        if path is None:
            continue
        with contextlib.suppress(InputError):  # moved or changed since the run
            table = labeled_of(config, run.task, path)
            kept = {name: texts[:COMPARED_ROWS] for name, texts in table.columns.items()}
            return source, kept, table.labels[:COMPARED_ROWS]
    unlabeled = load_unlabeled(run.folder).columns
    return "pool rows", {name: texts[:COMPARED_ROWS] for name, texts in unlabeled.items()}, None


def _onnx_card(student: Student) -> str:
    """Return the card with how to load the ONNX file in place of the PyTorch model."""
    more = len(student.record.fields) - 2
    texts = ", ".join(["['a text']", "['another']"][: 2 + min(more, 0)])
    if more > 0:  # as in training: all behind the first are one segment
        texts = f"['a text'], [' '.join({['another', *['one more'] * more]})]"
    about = student.card.partition(USE)[0]
    several = ""
    if thresholds := student.record.thresholds:
        several = f"""
probabilities = 1 / (1 + numpy.exp(-logits))
given = probabilities >= {[round(own, 6) for own in thresholds]}  # the labels' thresholds"""
    return f"""{about}{USE}
```python
{"import numpy" + chr(10) if several else ""}import onnxruntime
from transformers import AutoTokenizer

folder = "path/to/this/folder"
tokenizer = AutoTokenizer.from_pretrained(folder)
session = onnxruntime.InferenceSession(f"{{folder}}/model.onnx")
batch = tokenizer({texts}, padding=True, truncation=True, return_tensors="np")
inputs = {{wanted.name: batch[wanted.name] for wanted in session.get_inputs()}}
logits = session.run(["logits"], inputs)[0]  # [rows, labels]; config.json names the labels{several}
```
"""
