"""What is known put where labels go: people's answers, what is certified, in files and card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pet.certifying.identity import BINS, label_files, level_bins
from pet.escaping import as_markdown
from pet.finished.finished_run import FinishedRun
from pet.reporting.certificate_file import sentence
from pet.reviewing.answer_form import AnswerForm
from pet.storage.files import read_parquet, write_parquet, write_text
from pet.student.answered_rows import answer_columns, as_predicted, with_answers
from pet.student.student_folder import CARD

METADATA = "certificate"

HEADING = "## Certificate\n"


def mark_labels(
    run: FinishedRun, certificate: Mapping[str, Any] | None, answers: Mapping[str, str]
) -> None:
    """Put answers into the label files, and say which labels are certified.

    A label is certified if a person gave it, or if its confidence is at or above the threshold of
    the certificate, which stands in the files' metadata. Whoever makes the labels anew makes them
    without both. Files that are so already stay as they are.

    Args:
        certificate: of the present labels; None where there is none.
        answers: id of a row -> label, as `AnswerForm` writes it.
    """
    form = AnswerForm.of(run.task)
    given = {id: form.value(answer) for id, answer in answers.items()}
    name = answer_columns(run.config).certified
    for path in label_files(run):
        stored = pq.read_metadata(path).metadata or {}
        kept = {
            key.decode(): value.decode()
            for key, value in stored.items()
            if not key.startswith(b"ARROW")
        }
        before = read_parquet(path)
        table = as_predicted(before, run.config)
        if name in table.column_names:
            table = table.drop_columns([name])
        certified = np.array([id in answers for id in table["id"].to_pylist()], bool)
        if certificate is not None:
            steps = level_bins(np.nan_to_num(table["confidence"].to_numpy()))
            certified |= steps / BINS >= certificate["threshold"]
        table = with_answers(table, given, run.config)
        table = table.append_column(name, pa.array(certified))
        kept.pop(METADATA, None)
        about = kept if certificate is None else {**kept, METADATA: json.dumps(certificate)}
        if table.equals(before) and about.get(METADATA, "").encode() == stored.get(
            METADATA.encode(), b""
        ):
            continue
        write_parquet(path, table.replace_schema_metadata(None), about)


def mark_card(run: FinishedRun, certificate: Mapping[str, Any]) -> None:
    """Say in the student's card what of its labels is certified."""
    path = run.folder / "student" / CARD
    if not path.exists():
        return
    card = path.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
    pool = certificate["identity"]["pool"][:12]
    about = f"{as_markdown(sentence(certificate))}. This is about one pool ({pool}), not others."
    write_text(path, f"{card}\n\n{HEADING}\n{about}\n")
