"""The certificate of a run's labels, read back and put into a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pet.storage.files import read_record
from pet.storage.units import LABELS_DONE

CERTIFICATE = "certificate.json"  # in the run folder, beside labels/

DRAWS, DRAW, ANSWERS = "certificates", "draw.json", "answers.json"  # a folder for each draw

NEEDED = frozenset({"guarantee", "error", "confidence", "threshold", "certified_rows", "pool_rows"})


def labels_made_from(run: Path) -> str:
    """Name what a run's labels were made from: the student and the pool."""
    return str(read_record(run / "labels" / LABELS_DONE).get("source"))


def read_certificate(run: Path) -> dict[str, Any] | None:
    """Return the certificate of a run's present labels; None where there is none.

    That neither pool nor labels were changed by hand is what `pet certify` checks.
    """
    found = read_record(run / CERTIFICATE)
    if not found.keys() >= NEEDED or found.get("made_from") != labels_made_from(run):
        return None
    return found


def open_draw(run: Path) -> dict[str, Any] | None:
    """Return a run's latest draw if rows of it wait for answers, or it has certified nothing.

    Returns:
        `number`, `request`, `drawn` and `answered` rows.
    """
    folders = sorted((run / DRAWS).glob("[0-9]*"))
    record = read_record(folders[-1] / DRAW) if folders else {}
    certificate = read_certificate(run)
    if certificate is not None and certificate.get("draw") == record.get("digest"):
        return None
    request, asked = record.get("request"), record.get("asked")
    if not isinstance(request, dict) or not isinstance(asked, dict):
        return None
    answers = read_record(folders[-1] / ANSWERS).get("answers") or {}
    answered = sum(bool(answers.get(id)) for id in asked.values())
    if certificate is not None and answered == len(asked):
        return None
    number = int(folders[-1].name)
    return {"number": number, "request": request, "drawn": len(asked), "answered": answered}


def least_confidence(threshold: float) -> str:
    """Write a threshold, rounded up: in four digits, or in as many as leave it below 1."""
    for digits in range(4, 8):
        shown = math.ceil(threshold * 10**digits - 1e-9) / 10**digits
        if shown < 1:
            break
    return f"{shown:g}" if shown >= 1 else f"{shown:.{digits}g}"


def sentence(certificate: Mapping[str, Any]) -> str:
    """Say in one sentence what is certified."""
    error, confidence = f"{certificate['error']:.3g}", certificate["confidence"]
    if certificate["threshold"] is None:
        return (
            f"Nothing is certified: the answers do not show that a share of at most {error} of "
            "the labels is wrong"
        )
    rows, pool_rows = certificate["certified_rows"], certificate["pool_rows"]
    kept = f"the {rows:,} labels ({rows / pool_rows:.0%}) with a confidence of "
    kept += f"{least_confidence(certificate['threshold'])} or more"
    if certificate["guarantee"] == "whole":
        kept = f"all {pool_rows:,} labels, once people have read all but {kept},"
    return (
        f"Certified: at most {100 * certificate['error']:.3g} % of {kept} are wrong, "
        f"with {100 * confidence:.4g} % confidence"
    )
