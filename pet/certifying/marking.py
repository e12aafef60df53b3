"""A certificate put where labels go: a column of the label files, their metadata, the card."""

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
from pet.storage.files import read_parquet, write_parquet, write_text
from pet.student.student_folder import CARD

COLUMN, METADATA = "certified", "certificate"

HEADING = "## Certificate\n"


def mark_labels(run: FinishedRun, certificate: Mapping[str, Any]) -> None:
    """Say in each label file which labels are certified, and by which certificate.

    A label is certified if its confidence is at or above the threshold. Whoever makes the labels
    anew makes them without the column; a pool's own column of this name is kept, and the
    certificate's is then called `certified_label`.
    """
    name = COLUMN if COLUMN not in run.config.keep_columns else f"{COLUMN}_label"
    for path in label_files(run):
        stored = pq.read_metadata(path).metadata or {}
        kept = {
            key.decode(): value.decode()
            for key, value in stored.items()
            if not key.startswith(b"ARROW")
        }
        table = read_parquet(path)
        if name in table.column_names:
            table = table.drop_columns([name])
        values = table["confidence"].to_numpy()
        certified = level_bins(np.nan_to_num(values)) / BINS >= certificate["threshold"]
        table = table.append_column(name, pa.array(certified))
        write_parquet(path, table, {**kept, METADATA: json.dumps(certificate)})


def mark_card(run: FinishedRun, certificate: Mapping[str, Any]) -> None:
    """Say in the student's card what of its labels is certified."""
    path = run.folder / "student" / CARD
    if not path.exists():
        return
    card = path.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
    pool = certificate["identity"]["pool"][:12]
    about = f"{as_markdown(sentence(certificate))}. This is about one pool ({pool}), not others."
    write_text(path, f"{card}\n\n{HEADING}\n{about}\n")
