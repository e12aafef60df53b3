"""Shares of labels week by week: estimated where drawn rows are answered, else counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from pet.errors import InputError, Problem
from pet.method.share_intervals import estimate_shares
from pet.nightly.error_watch import STRATA, WATCH, form_of, read_answers
from pet.nightly.ledger import Entry, is_store, read_entries
from pet.storage.files import read_record

FEWEST = 10  # drawn rows of a week: fewer say next to nothing


@dataclass
class _Week:
    """The nights of a week, and the rows that were drawn of them."""

    nights: list[Entry] = field(default_factory=list)
    without: list[str] = field(default_factory=list)  # why there is no estimate, one a night
    labels: list[list[str]] = field(default_factory=list)  # of each drawn row
    claims: list[dict[str, float]] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)  # that each drawn row stands for
    pool: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def weekly_shares(store: Path, confidence: float = 0.95) -> list[dict[str, Any]]:
    """Estimate the share of each label in the rows that came in a week.

    A week has an estimate if of every night with new rows all drawn rows are answered, and every
    row had a chance to be drawn: those below the threshold, too. It is that of `estimate_shares`,
    each drawn row standing for an equal part of its night's rows on its side of the threshold.

    Returns:
        per ISO week, in order: `week`, `nights`, `rows`, `drawn`, `reason` (why there is no
        estimate; empty where there is one) and `shares`: label -> `counted` (the share of rows
        that the models gave the label) and, with an estimate, `estimate`, `low` and `high`.

    Raises:
        InputError: no store, or answers that cannot be read, or are no labels.
    """
    if not 0.5 < confidence < 1:
        expected = "more than 0.5 and less than 1"
        raise InputError(Problem("--confidence", expected, f"{confidence:g}", "0.95 is 95 %"))
    if not is_store(store):
        fix = "give the folder `out` of `pet nightly`'s settings"
        raise InputError(Problem(str(store), "a store of nightly labels", "another folder", fix))
    records = {
        record["night"]: (path, record)
        for path in sorted((store / WATCH).glob("*.json"))
        if "night" in (record := read_record(path))
    }
    weeks: dict[str, _Week] = {}
    for entry in read_entries(store):
        if entry.came_into_use is None and any(file.rows for file in entry.labeled.values()):
            year, week, _ = datetime.fromisoformat(entry.started).isocalendar()
            own = weeks.setdefault(f"{year}-W{week:02d}", _Week())
            own.nights.append(entry)
            _add_draw(own, *records.get(entry.number, (None, {})))
    return [_of_week(name, week, confidence) for name, week in weeks.items()]


def _add_draw(week: _Week, path: Path | None, record: dict[str, Any]) -> None:
    """Take the rows that were drawn in a night into account, or why they cannot be."""
    if path is None:
        week.without.append("no rows drawn")
        return
    strata = [record["strata"][name] for name in STRATA]
    if any(own["rows"] and not own["drawn"] for own in strata):
        week.without.append("none drawn on one side of the threshold")
        return
    form = form_of(record)
    answers = read_answers(path, (), form)
    given = [answers.get(f"{row['file']}:{row['id']}", "") for row in record["rows"]]
    if not all(given):
        week.without.append("drawn rows without an answer")
        return
    known = next(own["claims"] for own in strata if own["rows"])
    named = [form.names(answer) for answer in given]
    if strange := sorted({name for names in named for name in names} - known.keys()):
        raise InputError(
            Problem(
                str(path.with_suffix(".csv")),
                f"labels of the task: {', '.join(known)}",
                ", ".join(strange[:5]),
                "correct these answers",
            )
        )
    week.labels += named
    for own in strata:
        week.claims += own["of_drawn"]
        week.rows += [own["rows"] / max(own["drawn"], 1)] * own["drawn"]
        week.pool += [(own["rows"], own["claims"])] * bool(own["rows"])


def _of_week(name: str, week: _Week, confidence: float) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for night in week.nights:
        for file in night.labeled.values():
            for label, count in file.counts.items():
                counts[label] = counts.get(label, 0) + count
    rows = sum(file.rows for night in week.nights for file in night.labeled.values())
    drawn = len(week.labels)
    shares: dict[str, dict[str, float]] = {
        label: {"counted": round(count / rows, 6)} for label, count in counts.items()
    }
    reason = _reason(week.without, len(week.nights))
    if not reason and drawn < FEWEST:
        reason = f"{drawn} drawn rows are too few"
    if not reason:
        _estimate(week, list(counts), confidence, shares)
    return {
        "week": name,
        "nights": len(week.nights),
        "rows": rows,
        "drawn": drawn,
        "reason": reason,
        "shares": shares,
    }


def _reason(without: Sequence[str], nights: int) -> str:
    return "; ".join(
        f"{why} in {without.count(why)} of {nights} nights" for why in dict.fromkeys(without)
    )


def _estimate(
    week: _Week, labels: list[str], confidence: float, shares: dict[str, dict[str, float]]
) -> None:
    """Add the estimates to a week's shares."""
    size = sum(rows for rows, _ in week.pool)
    found = estimate_shares(
        np.array([[label in own for label in labels] for own in week.labels], float),
        np.array([[own[label] for label in labels] for own in week.claims]),
        np.array([sum(n * own[label] for n, own in week.pool) / size for label in labels]),
        math.inf,
        confidence,
        np.array(week.rows) / sum(week.rows),
    )
    for place, label in enumerate(labels):
        values = (found.estimate, found.low, found.high)
        for key, value in zip(("estimate", "low", "high"), values, strict=True):
            shares[label][key] = round(float(value[place]), 6)
