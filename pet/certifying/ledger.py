"""Every draw of a run: recorded before an answer is seen, never changed, chained by digest.

`certificates/0001/draw.json` is the first draw, `answers.json` beside it the answers to it. Each
draw spends its share of alpha (`alpha_share`), whether it certified anything or not, so that a
draw cannot be repeated until one passes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pet.errors import InputError, Problem
from pet.reporting import certificate_file
from pet.reporting.certificate_file import CERTIFICATE
from pet.storage.files import read_record, write_json
from pet.storage.units import with_digest

# Draws for certificates, and for shares of labels.
FOLDER, SHARES = certificate_file.DRAWS, "shares"

DRAW, ANSWERS = certificate_file.DRAW, certificate_file.ANSWERS


@dataclass(frozen=True)
class RecordedDraw:
    """A draw with its answers: id of each row that was asked -> label, "" for none."""

    number: int
    folder: Path
    record: Mapping[str, Any]
    answers: Mapping[str, str]


def read_draws(run: Path, ledger: str = FOLDER) -> list[RecordedDraw]:
    """Read all draws of a run, in order.

    Args:
        ledger: the folder of the draws.

    Raises:
        InputError: one is missing, or was changed: what was spent is not known then.
    """
    folder = run / ledger
    names = sorted(path.name for path in folder.glob("[0-9]*") if path.is_dir())
    found: list[RecordedDraw] = []
    before = ""
    for number, name in enumerate(names, start=1):
        record = read_record(folder / name / DRAW)
        if name != f"{number:04d}" or not _is_whole(record) or record.get("before") != before:
            raise _broken(folder / name / DRAW)
        before = str(record["digest"])
        answers = read_record(folder / name / ANSWERS)
        if answers and (not _is_whole(answers) or answers.get("draw") != before):
            raise _broken(folder / name / ANSWERS)
        found.append(RecordedDraw(number, folder / name, record, answers.get("answers") or {}))
    last = read_record(run / CERTIFICATE).get("draw")
    if (
        ledger == FOLDER
        and last is not None
        and last not in [own.record["digest"] for own in found]
    ):
        raise _broken(folder)
    return found


def answers_of(draws: Sequence[RecordedDraw]) -> dict[str, str]:
    """Return what people have answered of drawn rows: id -> label; of several, the latest."""
    return {
        row["id"]: label
        for draw in draws
        for row in draw.record["drawn"]
        if (label := draw.answers.get(draw.record["asked"][row["id"]]))
    }


def all_answers(run: Path) -> dict[str, set[str]]:
    """Return every label that people have ever given to rows that were drawn of a run.

    Raises:
        InputError: as of `read_draws`.
    """
    found: dict[str, set[str]] = {}
    for ledger in (SHARES, FOLDER):
        for draw in read_draws(run, ledger):
            for id, label in answers_of([draw]).items():
                found.setdefault(id, set()).add(label)
    return found


def ledger_of(run: Path, ids: Collection[str]) -> str | None:
    """Name the ledger whose latest draw asks for these rows; None where none does.

    Raises:
        InputError: as of `read_draws`.
    """
    found = []
    for ledger in (FOLDER, SHARES):
        for draw in read_draws(run, ledger)[-1:]:
            asked = set(draw.record["asked"].values())
            if asked >= set(ids):
                found.append((len(asked), ledger))
    return min(found)[1] if found else None


def _is_whole(record: Mapping[str, Any]) -> bool:
    return bool(record) and with_digest(record)["digest"] == record.get("digest")


def _broken(path: Path) -> InputError:
    return InputError(
        Problem(
            str(path),
            "every draw of this run, as it was recorded",
            "one is missing, or was changed",
            "put it back: a draw spends its share of alpha whether its record is there or not. "
            "Labels that are made anew with another seed (`--set seed=...`) can be drawn from anew",
        )
    )


def add_draw(
    run: Path, draws: list[RecordedDraw], record: Mapping[str, Any], ledger: str = FOLDER
) -> RecordedDraw:
    """Record a draw behind those that there are."""
    number = len(draws) + 1
    folder = run / ledger / f"{number:04d}"
    before = str(draws[-1].record["digest"]) if draws else ""
    whole = with_digest({"number": number, "before": before, **record})
    write_json(folder / DRAW, whole)
    return RecordedDraw(number, folder, whole, {})


def add_answers(draw: RecordedDraw, given: Mapping[str, str]) -> RecordedDraw:
    """Add answers to those that a draw has.

    Raises:
        InputError: an answer is another one by now.
    """
    changed = [id for id, label in given.items() if draw.answers.get(id, "") not in ("", label)]
    if changed:
        shown = ", ".join(changed[:5])
        raise InputError(
            Problem(
                f"draw {draw.number}",
                "the answers that were given to it before, and more",
                f"other answers for {shown}",
                "answers that are in stay as they are: take the file as it was given first",
            )
        )
    merged = {**draw.answers, **{id: label for id, label in given.items() if label}}
    if merged != draw.answers:
        record = {"draw": draw.record["digest"], "answers": dict(sorted(merged.items()))}
        write_json(draw.folder / ANSWERS, with_digest(record))
    return RecordedDraw(draw.number, draw.folder, draw.record, merged)
