"""The report's charts: matplotlib's SVG, made to sit inside a page and to take its colours."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pet.method.metrics import wilson_interval
from pet.reporting.report_file import Evaluation, Generation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Stand-ins, each replaced by a colour of the page, which has others in the dark and on paper.
INK, MUTED, RULE = "#010101", "#020202", "#030303"

FIRST, SECOND, FAINT = "#040404", "#050505", "#060606"

COLOURS = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    FIRST: "--first",
    SECOND: "--second",
    FAINT: "--faint",
}

WIDTH, HEIGHT = 3.2, 2.4  # inches: about as wide as a telephone, so that text is never shrunk much

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 9,
    "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": RULE, "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "grid.color": RULE,
    "grid.linewidth": 0.6, "xtick.color": RULE, "ytick.color": RULE, "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED, "ytick.major.size": 0, "xtick.major.size": 3,
}  # fmt: skip

Draw = Callable[["Axes"], None]


def to_svg(name: str, draw: Draw, height: float = HEIGHT) -> str:
    """Draw a chart and return it as an `<svg>` element; the same figures give the same text.

    Args:
        name: of the chart, unique in its page.
    """
    with _quiet():
        # Imported only where something is drawn: it takes a second, and may write a list of fonts
        # under the user's home; where that is read-only, into a folder that goes with the process.
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the user's own taste would make another report on each machine
        matplotlib.rcParams.update({**STYLE, "svg.hashsalt": name})
        figure = Figure((WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        stream = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    return _inline(stream.getvalue(), name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence matplotlib's messages about its list of fonts."""
    log = logging.getLogger("matplotlib")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _inline(svg: str, name: str) -> str:
    """Take out what belongs to a file of its own; let the page decide on colours and fonts."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.strip()


def _percentages(axis: Axes, which: Sequence[str] = ("x", "y")) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for name in which:
        scale = getattr(axis, f"{name}axis")
        scale.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        scale.set_major_formatter(PercentFormatter(1.0, decimals=0))


def confidence_histogram(counts: Sequence[int], threshold: float | None) -> str:
    """Rows of the pool by confidence; those under the threshold, which abstain, are faint."""

    def draw(axis: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        edges = np.linspace(0, 1, len(counts) + 1)
        abstain = edges[:-1] < (threshold or 0) - 1e-9
        colours = [FAINT if below else FIRST for below in abstain]
        axis.bar(edges[:-1], counts, width=0.9 / len(counts), align="edge", color=colours)
        if threshold is not None:
            _mark(axis, threshold, max(counts, default=0))
        axis.set_xlim(0, 1.001)
        axis.set_xlabel("confidence")
        axis.set_ylabel("rows")
        axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        _percentages(axis, "x")

    return to_svg("histogram", draw)


def _mark(axis: Axes, threshold: float, top: float) -> None:
    """Draw the threshold under which rows abstain."""
    axis.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (3, 2)))
    left = threshold > 0.7  # where there is no room on the right
    axis.annotate(
        f"abstain below {threshold:g}",
        (threshold, top * 1.06),
        xytext=(-4 if left else 4, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        color=MUTED,
    )
    axis.set_ylim(0, max(top, 1) * 1.18)


def reliability_diagram(evaluation: Evaluation) -> str:
    """Accuracy against confidence, by bin: calibrated on the diagonal."""

    def draw(axis: Axes) -> None:
        axis.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (3, 2)))
        x = [part.confidence for part in evaluation.reliability]
        y = np.array([part.accuracy for part in evaluation.reliability])
        ends = np.array([wilson_interval(p.accuracy, p.rows) for p in evaluation.reliability])
        axis.vlines(x, ends[:, 0], ends[:, 1], color=FIRST, linewidth=1, alpha=0.5)
        axis.plot(x, y, color=FIRST, linewidth=1.5, marker="o", markersize=4)
        axis.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="confidence", ylabel="accuracy")
        _percentages(axis)

    return to_svg("reliability", draw)


def coverage_chart(evaluation: Evaluation) -> str:
    """Accuracy of the most confident rows, by coverage; the threshold is marked."""

    def draw(axis: Axes) -> None:
        x = [point.coverage for point in evaluation.coverage]
        y = [point.accuracy for point in evaluation.coverage]
        axis.plot(x, y, color=FIRST, linewidth=1.5, marker="o", markersize=3)
        own = evaluation.abstaining
        if own.accuracy is not None:
            axis.plot([own.coverage], [own.accuracy], marker="D", markersize=6, color=SECOND)
        low = min([*y, own.accuracy if own.accuracy is not None else 1.0])
        bottom = max(0.0, np.floor((low - 0.05) * 10) / 10)
        axis.set(xlim=(0, 1.02), ylim=(bottom, 1 + 0.08 * (1 - bottom)))
        axis.set(xlabel="coverage", ylabel="accuracy")
        _percentages(axis)

    return to_svg("coverage", draw)


def generations_chart(generations: Sequence[Generation]) -> str:
    """Agreement and test accuracy, generation after generation."""

    def draw(axis: Axes) -> None:
        numbers = list(range(len(generations)))
        lines = {"agreement": ([own.agreement for own in generations], SECOND, "s")}
        tested = [own.test_accuracy for own in generations if own.test_accuracy is not None]
        if len(tested) == len(generations):
            lines["test accuracy"] = (tested, FIRST, "o")
        for name, (values, colour, marker) in lines.items():
            axis.plot(
                numbers,
                values,
                color=colour,
                linewidth=1.5,
                marker=marker,
                markersize=4,
                label=name,
            )
        low = min(min(values) for values, _, _ in lines.values())
        axis.set_ylim(max(0, np.floor((low - 0.05) * 10) / 10), 1.02)
        axis.set_xticks(numbers)
        axis.set_xlim(-0.2, max(numbers) + 0.2)
        axis.set_xlabel("generation")
        axis.legend(frameon=False, loc="lower right")
        _percentages(axis, "y")

    return to_svg("generations", draw)


def accuracy_chart(rows: Sequence[tuple[str, float, float]], what: str = "accuracy") -> str:
    """Accuracies with their intervals of 95 %, one under the other.

    Args:
        rows: name, accuracy, and the number of rows it was measured on.
        what: the name of the measure.
    """

    def draw(axis: Axes) -> None:
        places = np.arange(len(rows))[::-1]
        ends = np.array([wilson_interval(accuracy, count) for _, accuracy, count in rows])
        axis.hlines(places, ends[:, 0], ends[:, 1], color=FIRST, linewidth=2, alpha=0.45)
        axis.plot([accuracy for _, accuracy, _ in rows], places, "o", color=FIRST, markersize=6)
        axis.set_yticks(places, [name for name, _, _ in rows])
        axis.tick_params(axis="y", labelcolor=INK)
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.grid(visible=False, axis="y")
        axis.grid(visible=True, axis="x")
        axis.set_xlabel(f"{what} and its 95 % interval")
        _percentages(axis, "x")

    return to_svg("accuracies", draw, height=0.75 + 0.32 * len(rows))


NUMBERED = 8  # rows of a heat map that leave room for a number in every cell


def heat_map(
    name: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    form: str = ".2f",
) -> str:
    """A matrix, darker where there is more of it: palest its least value, darkest its greatest.

    Args:
        name: of the chart, unique in its page.
        values: [rows, columns]; a cell without a value stays empty.
        form: how a number is written.
    """
    known = [value for row in values for value in row if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)

    def draw(axis: Axes) -> None:
        from matplotlib.patches import Rectangle

        for (i, j), value in np.ndenumerate(np.array(values, dtype=float)):
            if np.isnan(value):
                continue
            share = (value - low) / (high - low) if high > low else 1.0
            # Never so dark that the number in it cannot be read, by day or by night.
            axis.add_patch(
                Rectangle((j, i), 1, 1, facecolor=FIRST, alpha=0.06 + 0.44 * share, linewidth=0)
            )
            if max(len(rows), len(columns)) <= NUMBERED:
                axis.text(j + 0.5, i + 0.5, format(value, form), ha="center", va="center", size=8)
        axis.set(xlim=(0, len(columns)), ylim=(len(rows), 0), aspect="equal")
        axis.set_xticks(np.arange(len(columns)) + 0.5, columns)
        axis.set_yticks(np.arange(len(rows)) + 0.5, rows)
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.grid(visible=False)

    return to_svg(name, draw, height=0.4 + (WIDTH - 0.4) * len(rows) / len(columns))
