"""The README's pictures show the figures that its text states, in light and in dark."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import numpy as np
import pytest

from tests.bench import certify, drawings, pictures
from tests.bench.drawings import percent
from tests.support import reports
from tests.support.documents import REPOSITORY

README = pictures.README.read_text(encoding="utf-8")
FIGURES = json.loads((pictures.PICTURES / "figures.json").read_text(encoding="utf-8"))
DEMO, QUALITY = FIGURES["demo"], FIGURES["quality"]
MODES = ("light", "dark")
LARGEST = 200_000  # bytes


def words(svg: str) -> str:
    return " ".join(ElementTree.fromstring(svg).itertext())


def test_a_guide_shows_every_picture_in_light_and_in_dark() -> None:
    guides = README + (REPOSITORY / "flows" / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r'(?:srcset|src)="(?:\.\./)?data/pictures/([^"]+)"', guides))
    there = {path.name for path in pictures.PICTURES.iterdir()} - {"figures.json"}
    assert shown == there
    assert len(there) == 10


@pytest.mark.parametrize("name", sorted(path.name for path in pictures.PICTURES.iterdir()))
def test_a_picture_is_small_enough_for_a_page(name: str) -> None:
    assert 1_000 < (pictures.PICTURES / name).stat().st_size < LARGEST


@pytest.mark.parametrize("mode", MODES)
def test_the_drawings_are_those_of_the_figures(mode: str) -> None:
    """Whoever changes the drawing's code, or a figure, has to draw them anew."""
    for name, drawn in (
        ("method", drawings.method(DEMO, mode)),
        ("quality", drawings.quality(QUALITY, mode)),
        ("certify", certify.picture(certify.read_figures(), mode)),
    ):
        there = (pictures.PICTURES / f"{name}-{mode}.svg").read_text(encoding="utf-8")
        assert there == drawn, "make pictures"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("page", ["report", "review"])
def test_a_pages_picture_has_the_ground_of_its_mode(page: str, mode: str) -> None:
    pixels = matplotlib.image.imread(pictures.PICTURES / f"{page}-{mode}.png")[..., :3]
    assert (pixels[0, 0].mean() > 0.9) == (mode == "light")
    assert (np.abs(pixels - pixels[0, 0]) > 0.4).any(axis=2).mean() > 0.02


def test_the_readme_states_the_figures_of_the_demo() -> None:
    assert pictures.fill(README, pictures.demo_summary(DEMO)) == README, "make pictures"


def test_the_measured_figures_are_those_of_the_benchmark() -> None:
    assert pictures.quality_figures() == QUALITY, "make pictures"
    stated = re.findall(r"\d+\.\d %", README.partition("## Measured")[2])
    known = {
        percent(found["mean"])
        for methods in QUALITY.values()
        for counts in methods.values()
        for found in counts.values()
    }
    assert len(stated) >= 4
    assert [figure for figure in stated if figure not in known] == []


def test_the_table_of_certificates_is_that_of_the_stored_figures() -> None:
    table = certify.FIGURES.with_suffix(".md").read_text(encoding="utf-8")
    assert table.startswith(certify.document(certify.read_figures())), "make bench-certify"


def test_the_way_of_a_text_is_drawn_of_any_run_with_a_test_set() -> None:
    figures = pictures.demo_figures(reports.report())
    drawn = words(drawings.method(figures, "light"))
    for shown in ("category: ____. text", "82.0 %", "81.0 %", "1,000", "sport", "0.60"):
        assert shown in drawn


def test_a_long_template_and_a_long_label_stay_in_their_columns() -> None:
    figures = pictures.demo_figures(
        reports.report(
            labels=("a label of many words & signs", "space"),
            templates={"category": "{mask} " + "{text} " * 20, "topic": "{text} {mask}"},
        )
    )
    drawn = words(drawings.method(figures, "dark"))
    assert "…" in drawn
    assert "a label of many words" not in drawn


def test_without_marks_nothing_is_written_into_a_readme() -> None:
    with pytest.raises(ValueError, match="demo: written by"):
        pictures.fill("# pet", "summary")
