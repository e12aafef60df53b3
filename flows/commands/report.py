"""`pet report`: the page of a run, drawn anew."""

from __future__ import annotations

from flows.commands.console import answer, out
from flows.commands.options import Debug, RunFolder


def report(folder: RunFolder, debug: Debug = False) -> None:
    """Draw a run's report.html anew, from what lies in its folder."""

    def work() -> None:
        from pet.reporting.report_page import write_page
        from pet.storage.mirrors import fetch_run

        run = fetch_run(folder)
        page = write_page(run.path)
        # No more: another process may work on the rest of the folder, and holds its lock.
        run.push([page])
        out.print(f"{run}/{page.name}", markup=False, highlight=False, soft_wrap=True)

    answer(work, debug)
