"""Charts: SVG that can stand in a page beside others, in its colours."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from pet.reporting import plots
from pet.reporting.report_file import Evaluation, Generation
from tests.support import reports

pytestmark = pytest.mark.charts

GENERATION = Generation(members=["a"], rows=10, agreement=0.5, shares={})
EVALUATED = Evaluation.model_validate(reports.evaluation(0.8, 1000, 2))
NOBODY = Evaluation.model_validate(
    {
        **reports.evaluation(0.0, 1000, 2),
        "abstaining": {"threshold": 1.0, "coverage": 0.0, "accuracy": None},
    }
)
CHARTS: dict[str, Callable[[], str]] = {
    "histogram": lambda: plots.confidence_histogram([0, 5, 10, 3], 0.75),
    "an empty histogram": lambda: plots.confidence_histogram([0, 0], None),
    "reliability": lambda: plots.reliability_diagram(EVALUATED),
    "coverage": lambda: plots.coverage_chart(EVALUATED),
    "coverage of nothing": lambda: plots.coverage_chart(NOBODY),
    "generations": lambda: plots.generations_chart([GENERATION, GENERATION]),
    "a heat map": lambda: plots.heat_map("map", ["1", "2"], ["1", "2"], [[1.0, None], [0.5, 0.2]]),
    "a heat map of equals": lambda: plots.heat_map("map", ["1"], ["1"], [[0.3]]),
    "accuracies": lambda: plots.accuracy_chart([("student", 1.0, 5), ("ensemble", 0.0, 5)]),
}


@pytest.mark.parametrize("name", list(CHARTS))
def test_a_chart_takes_the_pages_colours_and_is_always_the_same(name: str) -> None:
    svg = CHARTS[name]()
    ElementTree.fromstring(svg)
    assert not re.search(r"#[0-9a-fA-F]{6}\b", svg), "a colour that the dark page cannot change"
    assert "var(--" in svg
    assert "<metadata" not in svg
    assert "<style" not in svg, "it would hold for the whole page"
    assert "DejaVu" not in svg
    assert "<text" in svg, "text is text: it can be read aloud, and found"
    assert svg == CHARTS[name]()


def test_two_charts_of_a_page_share_no_id() -> None:
    one, other = CHARTS["reliability"](), CHARTS["coverage"]()
    first, second = (set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, other))
    assert first
    assert not first & second
    for svg, ids in ((one, first), (other, second)):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= ids


def test_rows_that_abstain_are_set_off_in_the_histogram() -> None:
    bars = re.findall(r"fill: var\((--first|--faint)\)", plots.confidence_histogram([4] * 4, 0.5))
    assert bars == ["--faint", "--faint", "--first", "--first"]


def test_test_accuracy_is_drawn_only_where_it_is_known() -> None:
    known = GENERATION.model_copy(update={"test_accuracy": 0.5})
    assert "test accuracy" in plots.generations_chart([known, known])
    assert "test accuracy" not in plots.generations_chart([GENERATION, known])


def test_a_drawing_leaves_the_callers_matplotlib_as_it_was() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 33, "svg.hashsalt": "mine"}):
        CHARTS["reliability"]()
        assert matplotlib.rcParams["font.size"] == 33
        assert matplotlib.rcParams["svg.hashsalt"] == "mine"


def test_a_heat_map_is_darker_where_there_is_more_and_empty_where_nothing_is_known() -> None:
    svg = plots.heat_map("map", ["1", "2"], ["1", "2"], [[0.9, None], [0.5, 0.1]])
    shades = [float(found) for found in re.findall(r"opacity: ([0-9.]+)", svg)]
    assert len(shades) == 3
    assert shades == sorted(shades, reverse=True)
    assert shades[0] <= 0.5, "the number in it would not be read"
    assert ">0.90<" in svg
    many = [str(number) for number in range(20)]
    assert ">0.90<" not in plots.heat_map("map", many, many, [[0.9] * 20] * 20)
