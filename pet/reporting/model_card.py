"""The student's README.md: data, method, figures with their spread, limits, how to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pet
from pet.config import RunConfig
from pet.escaping import as_markdown
from pet.inputs.session import Session
from pet.method.linear_head import FILE, WORDS
from pet.method.metrics import wilson_interval
from pet.method.word_classifier import WORD
from pet.models.loading import HUB_ID
from pet.storage.files import read_record
from pet.storage.units import DONE
from pet.student.answered_rows import PERSON
from pet.student.student_folder import thresholds_of
from pet.tasks.windows import MOST

USE = "## Use\n"  # the heading under which a card shows how to load


def model_card(session: Session, report: Mapping[str, Any]) -> str:
    """Describe the student for whoever finds its folder.

    Args:
        report: what `report.json` holds.
    """
    config, task = session.config, session.task
    return f"""---
library_name: {"sklearn" if config.linear_student else "transformers"}
pipeline_tag: text-classification
{_base_model(session)}tags:
- pattern-exploiting-training
---
# {as_markdown(task.name)}

{as_markdown(task.description)}

## Data

{_label_table(session, report)}

Fields: {", ".join(as_markdown(name) for name in task.fields)}.
{report["pool"]["rows"]:,} rows were in the pool, {report["pool"]["rejected"]:,} of them
unusable. {_labelers(report)}

## Method

Pattern-Exploiting Training (Schick and Schütze 2021): an ensemble of {len(report["weights"])}
({", ".join(as_markdown(name) for name in report["weights"])}){_with_rules(report)}
{_learned_from(session, report)} and gave soft labels to
{report["pool"]["scored_by_members"]:,} unlabeled ones; this classifier was distilled from these
soft labels{_in_folds(session, report)}.
Teacher: {_name(config.model_ref.name)}. Student: {_student(config)}.

## Figures

{_figures(report)}

## Limits

{_limit_of_labels(session)}
- {_cut(config)}
- It inherits its teachers' errors and the biases of their language models.
- Evaluate it before using it on texts of another domain.

{USE}
{_usage(session)}
Made with pet {pet.__version__} by the run {as_markdown(str(report["run"]))}; its settings
are in the run's `config.json`.
"""


def _student(config: RunConfig) -> str:
    if config.linear_student:
        return "logistic regression on TF-IDF of words"
    return _name(config.student_ref.name)


def _cut(config: RunConfig) -> str:
    if config.linear_student:
        return "It knows the words of the pool and no others, and not their order."
    if config.long_texts == "head":
        return f"Texts are cut to {config.student_length} tokens."
    if config.long_texts == "windows":
        return (
            f"A text longer than {config.student_length} tokens is read in up to {MOST} "
            "overlapping windows of that length; its logits are\n  the mean of theirs. `pet` reads "
            "it so; plain transformers with `truncation=True` reads the first alone."
        )
    return (
        f"Texts are cut to {config.student_length} tokens: of a longer one it has learned from the "
        "first and the last,\n  half each. `pet` cuts them so; plain transformers with "
        "`truncation=True` reads the first alone."
    )


def _with_rules(report: Mapping[str, Any]) -> str:
    count = len(report.get("rules", {}))
    return f" and {count} rule{'' if count == 1 else 's'}" if count else ""


def _limit_of_labels(session: Session) -> str:
    labels = f"{len(session.task.labels)} labels"
    if not session.task.several:
        return f"- One of {labels} is predicted for every text, also where none of them applies."
    return (
        f"- Any of {labels} may be predicted for a text, each by itself: give a label from the\n"
        "  probability on that the table names as its threshold."
    )


def _learned_from(session: Session, report: Mapping[str, Any]) -> str:
    rows, members = f"{len(session.labeled):,} labeled rows", report["members"].values()
    learned = sum(member["trained"] for member in members)
    if learned == len(members) or not len(session.labeled):
        return f"had {rows}"
    return f"had {rows}, which {learned or 'none'} of them learned from,"


def _labelers(report: Mapping[str, Any]) -> str:
    sources = report["labels"]["sources"]
    others = {"its teachers together": sources.get("ensemble", 0), "people": sources.get(PERSON, 0)}
    if not any(others.values()):
        return "Shares of the pool are of this classifier's predictions."
    rest = report["labels"]["rows"] - sum(others.values())
    by_others = ", ".join(
        f"{rows:,} rows were labeled by {who}" for who, rows in others.items() if rows
    )
    return (
        "Shares of the pool are of the run's labels, and not of this classifier's alone:\n"
        f"{by_others}, {rest:,} by it."
    )


def _in_folds(session: Session, report: Mapping[str, Any]) -> str:
    if "cross-fitting" not in report["seconds"]:
        return ""
    weight = read_record(session.folder / "student" / DONE).get("share_of_folds", 0)
    return f", mixed with out-of-fold predictions of a linear classifier (weight {weight:.0%})"


def _base_model(session: Session) -> str:
    if session.config.linear_student:
        return ""
    ref = session.config.student_ref.name
    return f'base_model: "{ref}"\n' if _is_hub_id(ref) else ""


def _is_hub_id(ref: str) -> bool:
    return HUB_ID.fullmatch(ref) is not None and not Path(ref).exists()


def _name(ref: str) -> str:
    """Name a model by its id, or by its folder's last part: a card travels, paths do not."""
    return f"`{ref}`" if _is_hub_id(ref) else as_markdown(Path(ref).resolve().name)


def _label_table(session: Session, report: Mapping[str, Any]) -> str:
    known = session.outcome.counts(session.labeled.labels, len(session.task.labels))
    counts = report["labels"]["counts"]
    lines = ["| label | labeled rows | share of the pool |", "|---|---|---|"]
    for label, rows in zip(session.task.labels, known, strict=True):
        share = counts[label] / max(report["labels"]["rows"], 1)
        lines.append(f"| {as_markdown(label)} | {rows:,} | {share:.1%} |")
    if session.task.several:
        thresholds = thresholds_of(session.folder / "student")
        columns = ["threshold |", "---|", *(f"{own:.3f} |" for own in thresholds)]
        lines = [f"{line} {own}" for line, own in zip(lines, columns, strict=True)]
    return "\n".join(lines)


def _figures(report: Mapping[str, Any]) -> str:
    source = "test" if "test" in report else "labeled"
    if source not in report:
        return "No labeled rows were given, so its accuracy is not known."
    student = report[source]["student"]
    low, high = wilson_interval(student["accuracy"], student["rows"])
    own = student["abstaining"]
    accuracy = "" if own["accuracy"] is None else f", accuracy {own['accuracy']:.1%}"
    several = "micro_f1" in student
    what = "accuracy of whole rows" if several else "accuracy"
    lines = [f"On {student['rows']:,} {_ROWS[source]}:", ""]
    if several:
        lines.append(f"- micro-F1 {student['micro_f1']:.3f}, log-loss {student['log_loss']:.3f}")
    lines += [
        f"- {what} {student['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f})",
        f"- macro-F1 {student['macro_f1']:.3f}, expected calibration error {student['ece']:.3f}",
        f"- confidence threshold {own['threshold']:g}: coverage {own['coverage']:.1%}{accuracy}",
    ]
    if source == "test" and "supervised" in report[source]:
        baseline = report[source]["supervised"]["accuracy"]
        lines.append(f"- the same model trained on the labeled rows alone: accuracy {baseline:.3f}")
    return "\n".join(lines)


_ROWS = {
    "test": "test rows, held out from training",
    "labeled": "labeled rows that its teachers were trained on, so these figures are too high",
}


def _usage(session: Session) -> str:
    fields, length = session.task.fields, session.config.student_length
    if session.config.linear_student:
        return _usage_of_words(fields)
    if len(fields) > 2:
        return (
            "It reads several fields at once: `PetClassifier.load(folder).predict(frame)` of "
            "`pet.estimator` joins them as in training.\n"
        )
    text = '{"text": "a text", "text_pair": "another"}' if len(fields) == 2 else '"a text"'
    return f"""```python
from transformers import pipeline

classify = pipeline("text-classification", model="path/to/this/folder")
classify({text}, truncation=True, max_length={length}, top_k=None)
```
"""


def _usage_of_words(fields: Sequence[str]) -> str:
    """Show how scikit-learn alone asks a linear student."""
    text = "a text" if len(fields) == 1 else " ".join(f"the {name}" for name in fields)
    return f"""`PetClassifier.load(folder)` of `pet.estimator` loads it; so does scikit-learn alone:

```python
import json
from pathlib import Path

import numpy
from safetensors.numpy import load_file
from sklearn.feature_extraction.text import TfidfVectorizer

folder = Path("path/to/this/folder")
words = json.loads((folder / "{WORDS}").read_text(encoding="utf-8"))
vectorizer = TfidfVectorizer(
    vocabulary=list(words), sublinear_tf=True, token_pattern={WORD!a}
)
vectorizer.idf_ = numpy.array(list(words.values()))
head = load_file(folder / "{FILE}")
logits = vectorizer.transform([{text!r}]) @ head["weight"] + head["bias"]
labels = json.loads((folder / "pet.json").read_text(encoding="utf-8"))["labels"]  # in this order
```
"""
