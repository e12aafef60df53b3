"""`pet review --serve`: rows on a page in the browser, until it is closed there or stopped here."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands.console import err, out, stop
from flows.screens import results as screens

if TYPE_CHECKING:
    from pet.reviewing.review_session import ReviewSession

ROWS = 50  # chosen where --rows does not say


@dataclass(frozen=True)
class Choice:
    """How rows are chosen where there is no file of them yet, as of `write_review`."""

    rows: int | None
    by: str
    seed: int | None


def serve_rows(
    folder: Path,
    rows_file: Path | None,
    choice: Choice,
    port: int,
    blind: bool,
    json_out: bool,
) -> None:
    """Show the rows of a file, which is written first if it is not there.

    Args:
        rows_file: beside the run folder, if not given.
        port: 0 for a free one.
        blind: begin with predictions hidden.

    Raises:
        InputError: the run, the rows, the answers so far or the port cannot be used.
        LockedError: another process has the rows open.
        Interrupted: stopped here, after the answers were written.
    """
    # For this command alone: a second.
    from flows.review_page.app import ReviewApp
    from flows.review_page.guard import Guard, Secrets
    from flows.review_page.server import bind, open_browser, serve
    from pet.finished.finished_run import open_run
    from pet.reviewing.review_file import check_ending
    from pet.reviewing.review_rows import write_review
    from pet.reviewing.review_session import answers_path, open_review

    run = open_run(folder)
    rows_file = rows_file or folder.with_name(f"{folder.name}-review.jsonl")
    answers = answers_path(rows_file)
    check_ending(rows_file)
    with bind(port) as listener:
        if not rows_file.exists():
            observer = screens.progress(err, stop)
            rows = ROWS if choice.rows is None else choice.rows
            write_review(folder, rows_file, rows, observer, by=choice.by, seed=choice.seed)
        with open_review(rows_file, run.task) as session:
            closed = threading.Event()

            def finish() -> list[str]:
                answered = session.write_answers(answers)
                closed.set()
                return _summary(session, folder, answers, answered)

            own, number = Secrets(), listener.getsockname()[1]
            app = ReviewApp(session, own, run.task.description, not blind, finish).app()
            address = f"http://127.0.0.1:{number}/#"
            for line in (
                f"{rows_file}: {len(session.rows):,} rows; every answer is saved as it is given",
                f"open  {address}{own.token}",
                "end it there with Finish, or here with Ctrl-C",
            ):
                err.print(line, markup=False, highlight=False, soft_wrap=True)
            open_browser(f"{address}{own.ticket}")
            serve(Guard(app, own, number), listener, lambda: closed.is_set() or stop.asked)
            lines = finish()
            found = {
                "answers": str(answers),
                "rows": len(session.rows),
                "people": {name: asdict(own) for name, own in session.progress_of_people().items()},
                "agreements": [asdict(own) for own in session.agreements()],
            }
    if json_out:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        for line in lines:
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    stop.raise_if_asked()


def _summary(session: ReviewSession, folder: Path, answers: Path, answered: int) -> list[str]:
    """Say how far everybody is, how far they agree, and how the answers are taken back."""
    from pet.certifying.ledger import FOLDER, SHARES, ledger_of

    rows = len(session.rows)
    lines = [
        f"{name}: {own.labeled:,} rows labeled, {own.passed_over:,} skipped, "
        f"{own.rows - own.labeled - own.passed_over:,} open"
        for name, own in session.progress_of_people().items()
    ]
    lines += map(str, session.agreements())
    if unsettled := session.unsettled():
        lines.append(f"{unsettled:,} rows on which people disagree: settle them on the page")
    lines.append(f"written    {answers}: {answered:,} of {rows:,} rows have an answer")
    if not answered:
        return lines
    ledger = ledger_of(folder, [row.id for row in session.rows])
    if ledger is not None:
        name, what = {
            FOLDER: ("certify", "to certify labels with them (a row without one counts as wrong):"),
            SHARES: ("estimate", "to estimate the labels' shares with them (every row needs one):"),
        }[ledger]
        command = shlex.join(["pet", name, str(folder), "--answered", str(answers)])
        lines += [what, f"  {command}"]
    command = shlex.join(["pet", "review", str(folder), "--answers", str(answers)])
    also = "later, for another run, " if ledger is not None else ""
    return [*lines, f"{also}to take them into the labeled set:", f"  {command}"]
