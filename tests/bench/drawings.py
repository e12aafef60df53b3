"""The README's drawings as SVG text: how a text gets its label, and the measured accuracies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pet.reporting

SANS = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
WIDTH = 900
Colours = Mapping[str, str]


def colours(mode: str) -> Colours:
    """Read the report page's colours, so that pictures and page look alike."""
    css = (Path(pet.reporting.__file__).parent / "report.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)[:2]
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", light if mode == "light" else dark))


class Drawing:
    """Shapes and text, one under another, in the colours of a mode."""

    def __init__(self, mode: str, height: int, title: str):
        self._colours = colours(mode)
        self._height = height
        self._parts = [f"<title>{escape(title)}</title>"]

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        colour: str = "ink",
        size: float = 15,
        bold: bool = False,
        mono: bool = False,
        anchor: str = "start",
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        family = f' font-family="{MONO}" xml:space="preserve"' if mono else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{self._colours[colour]}" '
            f'text-anchor="{anchor}"{weight}{family}>{escape(words)}</text>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, colour: str = "panel", round: int = 6
    ) -> None:
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{round}" '
            f'fill="{self._colours[colour]}"/>'
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.5) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{self._colours[colour]}" '
            f'stroke-width="{width:g}"/>'
        )

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draw lines from point to point, the last of them level or upright, with a head."""
        self.line(points, "muted")
        (x, y), (before, _) = points[-1], points[-2]
        sides = [(-8, -5), (-8, 5)] if x > before else [(-5, -8), (5, -8)]
        head = [(x + sides[0][0], y + sides[0][1]), (x, y), (x + sides[1][0], y + sides[1][1])]
        self.line(head, "muted")

    def dot(self, x: float, y: float, colour: str, hollow: bool) -> None:
        fill = self._colours["paper" if hollow else colour]
        self._parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="5.5" fill="{fill}" '
            f'stroke="{self._colours[colour]}" stroke-width="2"/>'
        )

    def svg(self) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" '
            f'width="{WIDTH}" height="{self._height}" font-family="{SANS}" role="img">\n'
            f'<rect width="{WIDTH}" height="{self._height}" rx="10" '
            f'fill="{self._colours["paper"]}"/>\n' + "\n".join(self._parts) + "\n</svg>\n"
        )


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _blank(template: str, most: int = 30) -> str:
    """Show a template as a reader would write it: a gap for the mask, a word for each field."""
    shown = re.sub(r"\{(\w+)\}", r"\1", template.replace("{mask}", "____"))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def method(demo: Mapping[str, Any], mode: str) -> str:
    """Draw the way of a text from the pool to its label, with a finished run's figures."""
    rows = demo["patterns"]
    table = 76 + 30 * len(rows)  # the height of patterns, members and weights
    below = 40 + table + 44  # the second row's top
    drawing = Drawing(mode, below + 180, "From a pool of texts to labels: the steps and figures")
    _texts(drawing, demo, table)
    drawing.arrow((196, 40 + table / 2), (226, 40 + table / 2))
    _members(drawing, rows, demo["weighing"], table)
    drawing.arrow((560, 40 + table), (560, below - 22), (120, below - 22), (120, below - 2))
    for left, width, head in ((20, 230, "5  soft labels"), (290, 230, "6  student")):
        drawing.box(left, below, width, 160)
        drawing.text(left + 16, below + 28, head, bold=True)
    _lines(
        drawing,
        36,
        below + 54,
        "the weighted mean of the|members' scores, as a|probability for each label",
    )
    drawing.text(36, below + 140, percent(demo["ensemble"]), size=20, bold=True)
    drawing.text(126, below + 140, "test accuracy", colour="muted", size=14)
    drawing.arrow((254, below + 78), (286, below + 78))
    _lines(
        drawing,
        306,
        below + 54,
        "a classifier, trained on|the soft labels; it needs|neither patterns nor pet",
    )
    drawing.text(306, below + 140, percent(demo["student"]["accuracy"]), size=20, bold=True)
    drawing.text(396, below + 140, "test accuracy", colour="muted", size=14)
    drawing.arrow((524, below + 78), (556, below + 78))
    _labels(drawing, demo, below)
    return drawing.svg()


def _lines(drawing: Drawing, x: float, y: float, lines: str) -> None:
    for number, line in enumerate(lines.split("|")):
        drawing.text(x, y + 20 * number, line, colour="muted", size=14)


def _texts(drawing: Drawing, demo: Mapping[str, Any], height: float) -> None:
    drawing.box(20, 40, 172, height)
    drawing.text(36, 68, "1  texts", bold=True)
    middle = 40 + height / 2
    for y, count, what in (
        (middle, demo["pool_rows"], "in the pool, unlabeled"),
        (middle + 54, demo["labeled_rows"], "labeled"),
    ):
        drawing.text(36, y, f"{count:,}", size=20, bold=True)
        drawing.text(36, y + 20, what, colour="muted", size=13)


def _members(drawing: Drawing, rows: Mapping[str, Any], weighing: str, height: float) -> None:
    drawing.box(230, 40, 650, height)
    for x, head, below in (
        (246, "2  patterns", "the model fills the blank"),
        (502, "3  members, one per pattern", "accuracy: zero-shot, trained"),
        (776, "4  weights", f"by {weighing}"),
    ):
        drawing.text(x, 68, head, bold=True)
        drawing.text(x, 88, below, colour="muted", size=13)
    top = max(row["weight"] for row in rows.values()) or 1
    for number, row in enumerate(rows.values()):
        y = 40 + 80 + 30 * number
        drawing.text(246, y, _blank(row["template"]), size=13.5, mono=True)
        drawing.text(502, y, percent(row["zero_shot"]), colour="muted", size=14)
        if row["trained"] is not None:
            drawing.arrow((566, y - 5), (594, y - 5))
            drawing.text(604, y, percent(row["trained"]), size=14)
        drawing.box(776, y - 11, 46 * row["weight"] / top, 11, "first", 1)
        drawing.text(830, y, f"{row['weight']:.2f}", size=14)


def _labels(drawing: Drawing, demo: Mapping[str, Any], top: float) -> None:
    drawing.box(560, top, 320, 160)
    drawing.text(576, top + 28, "7  labels", bold=True)
    drawing.text(652, top + 28, "rows of the pool", colour="muted", size=13)
    counts = sorted(demo["labels"].items(), key=lambda item: -item[1])[:5]
    most = max(1, counts[0][1])
    for number, (label, count) in enumerate(counts):
        y = top + 52 + 18 * number
        drawing.text(576, y, label[:12], size=13.5)
        drawing.box(660, y - 10, 150 * count / most, 10, "first", 1)
        drawing.text(664 + 150 * count / most, y, f"{count:,}", colour="muted", size=12)
    kept = demo["student"]
    drawing.text(
        576,
        top + 149,
        f"at confidence {kept['threshold']:g}: {percent(kept['kept'])} correct",
        size=13,
    )


@dataclass(frozen=True)
class Panel:
    task: str
    title: str
    left: float


PANELS = (
    Panel("newsgroups", "posts, 5 topics", 64),
    Panel("movies", "films, good or bad", 278),
    Panel("reuters", "news, 8 subjects", 492),
    Panel("uses", "packages, 12 uses", 706),
)
ACROSS = 168  # how wide a panel is
TOP, BOTTOM = 110, 390  # of a panel, at accuracies of 1 and of LOWEST
LOWEST = 0.3
PLACES = {"0": 0.0, "10": 0.3, "50": 0.7, "100": 1.0}  # of numbers of labels, in a panel
METHOD_COLOURS = ("muted", "serious", "second", "good", "first")


def quality(figures: Mapping[str, Any], mode: str) -> str:
    """Draw accuracy against the number of labeled rows, a curve a method, a panel a task."""
    methods = list(figures[PANELS[0].task])
    drawing = Drawing(mode, 470, "Accuracy of five methods against the number of labeled texts")
    for number, (name, colour) in enumerate(zip(methods, METHOD_COLOURS, strict=True)):
        x, y = 70 + 300 * (number % 3), 28 + 24 * (number // 3)
        drawing.dot(x, y, colour, hollow=not name.startswith("pet"))
        drawing.text(x + 12, y + 5, name, size=14, bold=name.startswith("pet"))
    for panel in PANELS:
        _panel(drawing, panel, figures[panel.task])
    words = "labeled texts → accuracy on test rows: mean, standard deviation over labeled sets"
    drawing.text(64, 452, words, colour="muted", size=13)
    return drawing.svg()


def _panel(drawing: Drawing, panel: Panel, figures: Mapping[str, Any]) -> None:
    drawing.text(panel.left, 92, panel.title, bold=True)
    for tick in (0.4, 0.6, 0.8, 1.0):
        y = _height(tick)
        drawing.line([(panel.left, y), (panel.left + ACROSS, y)], "rule", 1)
        if panel is PANELS[0]:
            x = panel.left - 8
            drawing.text(x, y + 5, f"{tick:.0%}", colour="muted", size=13, anchor="end")
    for labels, place in PLACES.items():
        x = panel.left + ACROSS * place
        drawing.text(x, BOTTOM + 22, labels, colour="muted", size=13, anchor="middle")
    for own, colour in zip(figures.items(), METHOD_COLOURS, strict=True):
        name, found = own
        curve = {panel.left + ACROSS * PLACES[labels]: of for labels, of in found.items()}
        for x, of in curve.items():
            sides = (of["mean"] - of["deviation"], of["mean"] + of["deviation"])
            drawing.line([(x, _height(side)) for side in sides], colour, 1.5)
        drawing.line([(x, _height(of["mean"])) for x, of in curve.items()], colour, 2)
        for x, of in curve.items():
            drawing.dot(x, _height(of["mean"]), colour, hollow=not name.startswith("pet"))


def _height(accuracy: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * (accuracy - LOWEST) / (1 - LOWEST), 1)


@dataclass(frozen=True)
class Certified:
    """A panel of `certified`: the share of rows that the truth, a plan and a uniform draw certify.

    Attributes:
        plan, uniform: (answers, share)
    """

    title: str
    truth: float
    plan: Sequence[tuple[int, float]]
    uniform: Sequence[tuple[int, float]]


def certified(panels: Sequence[Certified], mode: str) -> str:
    """Draw answers against the share of the rows that is certified."""
    drawing = Drawing(mode, 300, "Rows that people read against the share of rows certified")
    for number, panel in enumerate(panels):
        left, right = 70 + 430 * number, 410 + 430 * number

        def place(answers: float, share: float, left: int = left) -> tuple[float, float]:
            return left + answers * 340 / 1000, 240 - 190 * share

        drawing.text(left, 28, panel.title, bold=True)
        for share in (0, 0.5, 1):
            y = place(0, share)[1]
            drawing.line([(left, y), (right, y)], "rule", 1)
            drawing.text(left - 8, y + 5, f"{share:.0%}", colour="muted", size=13, anchor="end")
        for answers in (0, 200, 400, 600, 800, 1000):
            x = place(answers, 0)[0]
            drawing.text(x, 260, f"{answers:,}", colour="muted", size=13, anchor="middle")
        y = place(0, panel.truth)[1]
        drawing.line([(left, y), (right, y)], "muted", 1)
        drawing.text(
            right, y - 6, "all that the truth would allow", size=13, colour="muted", anchor="end"
        )
        for points, colour in ((panel.uniform, "second"), (panel.plan, "first")):
            shown = [place(*point) for point in points if point[0] <= 1000]
            drawing.line(shown, colour, 2)
            for point in shown:
                drawing.dot(*point, colour, hollow=colour == "second")
    for x, name, colour in ((76, "pet certify", "first"), (196, "uniform draw", "second")):
        drawing.dot(x, 284, colour, hollow=colour == "second")
        drawing.text(x + 12, 289, name, size=14)
    words = "rows that people read → share of rows whose labels are certified, at most 5 % wrong"
    drawing.text(330, 289, words, size=14, colour="muted")
    return drawing.svg()
