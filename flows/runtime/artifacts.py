"""What Prefect shows of a run while it goes on, and when it is done."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)

from pet.errors import Interrupted
from pet.escaping import as_markdown, visible
from pet.progress import SILENT, Observer

PUBLISH_SECONDS = 1.0


class RunObserver(Observer):
    """Passes everything on to another observer, to the flow run's log and to its progress."""

    def __init__(self, then: Observer = SILENT):
        self.stopping = threading.Event()
        self._then = then
        self._logger = get_run_logger()
        self._stage, self._unit, self._done = "starting", "", 0
        self._total: int | None = None
        self.stages = 0  # begun so far

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        self._stage, self._total, self._unit, self._done = stage, total, unit, 0
        self.stages += 1
        self._then.begin(stage, total, unit)

    def advance(self, amount: int) -> None:
        self._done += amount
        self._then.advance(amount)
        if self.stopping.is_set():
            raise Interrupted("the run was asked to stop")

    def end(self) -> None:
        self._logger.info("%s", visible(self.line()))
        self._then.end()

    def note(self, line: str) -> None:
        self._logger.info("%s", visible(line))
        self._then.note(line)

    def line(self) -> str:
        """Describe where the run is."""
        of = "" if self._total is None else f" of {self._total:,}"
        return f"{self._stage}: {self._done:,}{of} {self._unit}" if self._unit else self._stage

    def percent(self) -> float:
        """Return how much of the present stage is done."""
        return min(100.0, 100.0 * self._done / self._total) if self._total else 0.0


class Progress:
    """Keeps progress artifacts up to date, from a thread of its own: no job waits for it.

    One is of the run, and names its stage; every stage that takes longer than a look
    has one of its own.
    """

    def __init__(self, observer: RunObserver, name: str):
        self._observer = observer
        self._logger = get_run_logger()
        self._over = threading.Event()
        self._shown = ""
        self._stage, self._stage_artifact = 0, cast(UUID | None, None)
        self._artifact = cast(
            UUID, create_progress_artifact(0.0, key=f"{name}-progress", description=observer.line())
        )
        # A new thread does not know the flow run, or which server it belongs to.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._repeat,), daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if kind is None:
            self._end_stage()
            self._show(100.0, "done")
        else:
            self._show(self._observer.percent(), f"{kind.__name__} in {self._observer.line()}")

    def _repeat(self) -> None:
        while not self._over.wait(PUBLISH_SECONDS):
            self._show(self._observer.percent(), self._observer.line())
            self._show_stage()

    def _show_stage(self) -> None:
        percent, line = self._observer.percent(), self._observer.line()
        try:
            if self._observer.stages != self._stage:
                self._end_stage()
                self._stage = self._observer.stages
            elif self._stage_artifact is None:
                self._stage_artifact = cast(
                    UUID, create_progress_artifact(percent, description=line)
                )
            else:
                update_progress_artifact(self._stage_artifact, percent, line)
        except Exception as error:
            self._logger.debug("a stage's progress is not shown: %s", error)

    def _end_stage(self) -> None:
        """A stage that another one follows is done."""
        artifact, self._stage_artifact = self._stage_artifact, None
        if artifact is None:
            return
        try:
            update_progress_artifact(artifact, 100.0)
        except Exception as error:
            self._logger.debug("a stage's end is not shown: %s", error)

    def _show(self, percent: float, line: str) -> None:
        if line == self._shown:
            return
        self._shown = line
        try:
            update_progress_artifact(self._artifact, percent, line)
        except Exception as error:
            # What is shown of a run must not end it.
            self._logger.debug("progress is not shown: %s", error)


def show_result(report: Mapping[str, Any], folder: Path) -> None:
    """Leave the result as a table on the flow run, with the warnings and the report's place."""
    create_markdown_artifact(
        "\n".join([*_accuracies(report), *_labels(report), *_stages(report)]),
        key="label-pool-result",
        description=f"what came out of {as_markdown(report['run'])}",
    )
    warnings = [report.get(name) or [] for name in ("warnings", "test_warnings")]
    show_warnings("label-pool", [line for lines in warnings for line in lines])
    link_report("label-pool", folder)


def show_warnings(name: str, warnings: Sequence[str]) -> None:
    """Leave the list of warnings, also where there are none."""
    lines = [f"- {as_markdown(warning)}" for warning in warnings]
    create_markdown_artifact(
        "\n".join(lines) or "no warnings",
        key=f"{name}-warnings",
        description=f"{len(lines)} warnings",
    )


def link_report(name: str, folder: Path) -> None:
    """Leave a link to the run's report: the page, or the figures where there is no page."""
    found = [folder / file for file in ("report.html", "report.json")]
    path = next((path for path in found if path.is_file()), None)
    if path is not None:
        create_link_artifact(
            path.absolute().as_uri(),
            link_text=path.name,
            key=f"{name}-report",
            description="the report, on the machine that made it",
        )


def _stages(report: Mapping[str, Any]) -> list[str]:
    seconds = report.get("seconds") or {}
    rows = [f"| {as_markdown(name)} | {spent:,.1f} |" for name, spent in seconds.items()]
    return ["", "| stage | seconds |", "|---|---:|", *rows] if rows else []


def _accuracies(report: Mapping[str, Any]) -> list[str]:
    lines = ["| measured on | model | accuracy | macro-F1 |", "|---|---|---:|---:|"]
    if "test" in report:
        measured = report["test"]
        for name, pattern in measured["patterns"].items():
            if "zero_shot" in pattern:  # not of a teacher that was trained jointly
                lines.append(_row("test", f"pattern {name}, zero-shot", pattern["zero_shot"]))
            lines.append(_row("test", f"pattern {name}, trained", pattern["trained"]))
        for name in ("encoder", "supervised", "ensemble", "student"):
            if name in measured:  # no baseline without labels, no encoder unless asked for
                lines.append(_row("test", name, measured[name]))
    if "labeled" in report:
        # The rest was trained on these rows: its accuracy on them is too high.
        measured = report["labeled"]
        for name, pattern in measured["patterns"].items():
            if "zero_shot" in pattern:
                lines.append(_row("labeled", f"pattern {name}, zero-shot", pattern["zero_shot"]))
        if measured["unseen"]:
            lines.append(_row("labeled, out of fold", "ensemble", measured["ensemble"]))
    return [*lines, ""]


def _row(source: str, name: str, figures: Mapping[str, float]) -> str:
    accuracy, macro_f1 = figures.get("micro_f1", figures["accuracy"]), figures["macro_f1"]
    return f"| {source} | {as_markdown(name)} | {accuracy:.3f} | {macro_f1:.3f} |"


def _labels(report: Mapping[str, Any]) -> list[str]:
    labels = report["labels"]
    rows = [f"| {as_markdown(label)} | {count:,} |" for label, count in labels["counts"].items()]
    return [
        "| label | rows |",
        "|---|---:|",
        *rows,
        f"| abstained | {labels['abstained']:,} |",
        *(f"| labeled by the {who} | {count:,} |" for who, count in _several(labels)),
        "",
        f"{report['pool']['rows']:,} pool rows, {report['pool']['rejected']:,} rejected",
    ]


def _several(labels: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return how many labels come from which model, where they come from several."""
    sources = labels.get("sources", {})
    return list(sources.items()) if len(sources) > 1 else []
