"""The page: complete by itself, deaf to what stands in the data, the same for the same run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pet.errors import PetError
from pet.pipeline import label_pool
from pet.reporting.report_page import duration, write_page
from tests.support import reports, samples
from tests.support.marks import thorough

pytestmark = pytest.mark.charts

Configure = Callable[..., Any]
EVIL = "</style><script>alert(1)</script>\"'>{{ 7 * 7 }}"
VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """The tags of a page, its text, and whether everything that is opened is closed."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href", "action", "srcset"):
                self.links.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += " " + data


def draw(folder: Path, found: dict[str, Any] | None = None) -> str:
    return write_page(reports.write_run(folder, found)).read_text(encoding="utf-8")


def test_the_page_of_a_run_is_well_formed_and_needs_nothing_else(tiny_run: Path) -> None:
    html = (tiny_run / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert {link[0] for link in page.links} == {"#"}, "a link out of the page"
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert "url(" not in html.replace("url(#", "")
    assert page.tags.count("svg") == 4
    assert page.tags.count("details") >= 3, "a table behind each chart"
    assert "default-src 'none'" in html


def test_every_part_that_was_promised_is_there(tiny_run: Path) -> None:
    text = Page((tiny_run / "report.html").read_text(encoding="utf-8")).text
    for part in (
        "Findings and next steps",
        "Model comparison",
        "Patterns",
        "supervised baseline",
        "ensemble",
        "Confidence in the pool",
        "Confidence and calibration",
        "Reliability diagram",
        "Accuracy against coverage",
        "Confusion matrix",
        "recall",
        "precision",
        "Lowest confidence",
        "Highest confidence",
        "empty text",
        "Cost",
        "measured on the machine of the command",
        "pet run",
        "Fingerprints",
        "transformers",
    ):
        assert part in text, part


def test_of_hundreds_of_labels_the_pairs_that_are_confused_are_listed(tmp_path: Path) -> None:
    """A matrix of 150 columns is 22,500 cells that nobody looks over."""
    labels = [f"label {number}" for number in range(150)]
    found = reports.figures(labels)
    confusion = [[0] * 150 for _ in labels]
    for number in range(150):
        confusion[number][number] = 5
    confusion[7][9], confusion[9][7], confusion[3][4] = 4, 1, 2
    for model in ("ensemble", "student", "supervised"):
        found["test"][model]["confusion"] = confusion
    html = draw(tmp_path / "run", found)
    text = " ".join(Page(html).text.split())
    assert "Confused labels" in text
    assert "Confusion matrix" not in text
    assert "label 7 label 9 4 44.4 % 1" in text.replace("\u202f", " ")
    assert text.index("label 7 label 9") < text.index("label 3 label 4")
    assert html.count("<td") < 5_000


def test_texts_and_names_cannot_write_markup(tmp_path: Path) -> None:
    """A pool is somebody else's text; a report of it is opened in a browser."""
    labels = (f"a {EVIL}", f"b {EVIL}")
    found = reports.figures(labels, text=EVIL, task=EVIL, run=EVIL, warnings=[EVIL])
    found["templates"] = {"category": EVIL}
    found["rejected"]["pool"] = {
        "reasons": {EVIL: 1},
        "first": [{"file": EVIL, "row": 1, "reason": EVIL}],
    }
    found["seconds"] = {EVIL: 1.0}
    page = Page(draw(tmp_path / "run", found))
    assert "script" not in page.tags
    assert page.tags.count("style") == 1
    assert page.text.count(EVIL) >= 12
    assert "49" not in page.text.split()
    assert not page.open


def test_the_same_run_gives_the_same_page(run_copy: Path) -> None:
    pages = set()
    for _ in range(2):
        pages.add(write_page(run_copy).read_bytes())
    assert len(pages) == 1
    # Another process has another hash seed, and other memory addresses.
    subprocess.run(
        [sys.executable, "-m", "flows.cli", "report", str(run_copy)],
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert (run_copy / "report.html").read_bytes() in pages


def test_a_page_that_is_drawn_again_is_the_one_of_the_run(tiny_run: Path, tmp_path: Path) -> None:
    before = (tiny_run / "report.html").read_bytes()
    write_page(tiny_run)
    assert (tiny_run / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"test": None, **samples.SHIPPED},
        {"labeled": None, "test": None},
        *thorough({"labeled": None, "generations": 1}),
        {"member": {"steps": 0}},
        {"generations": 2, "growth_factor": 1.5, "encoder": "the model"},
        *thorough({"repetitions": 2, "test": None}),
    ],
)
def test_every_kind_of_run_gets_a_page(
    config_for: Configure, model_folder: Any, changes: dict[str, Any]
) -> None:
    if "encoder" in changes:
        changes = {**changes, "encoder": str(model_folder("bert"))}
    config = config_for(**changes)
    report = label_pool(config)
    html = (Path(config.out) / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert not page.open
    assert ("is not known" in page.text) == (config.test is None)
    assert ("Model comparison" in page.text) == (
        config.test is not None or (config.out_of_bag > 0 and config.labeled is not None)
    )
    assert ("<bdi>encoder</bdi>" in html) == (config.encoder is not None)
    assert ("under trained are zero-shot" in page.text) == any(
        name.startswith("untrained-") for name in report["weights"]
    )


def test_names_in_any_script_are_written(tmp_path: Path) -> None:
    labels = ("עברית", "😀 " + "long " * 60)
    html = draw(tmp_path / "run", reports.figures(labels, text="مرحبا \u202e 😀"))
    assert "<bdi>עברית</bdi>" in html
    assert '<p dir="auto">مرحبا \u202e 😀</p>' in html


def test_twenty_labels_are_numbered_in_the_matrix(tmp_path: Path) -> None:
    html = draw(tmp_path / "run", reports.figures([f"label {n}" for n in range(20)]))
    assert '<abbr title="label 19">20</abbr>' in html
    assert "<abbr" not in draw(tmp_path / "two")


def test_a_row_that_everybody_rejects_is_named(tmp_path: Path) -> None:
    found = reports.figures()
    first = {"file": "t.csv", "row": 4, "reason": "no label"}
    found["rejected"]["test"] = {"reasons": {"no label": 2}, "first": [first]}
    text = Page(draw(tmp_path / "run", found)).text
    assert "test set" in text
    assert "t.csv" in text


def test_an_earlier_page_does_not_outlive_new_inputs(
    config_for: Configure, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PetError("no luck")

    monkeypatch.setattr("pet.pipeline.train_student", fail)
    with pytest.raises(PetError, match="no luck"):
        label_pool(config_for(out=run_copy, **samples.SHIPPED))
    assert not (run_copy / "report.html").exists()


def test_drawing_leaves_a_read_only_home_alone_and_prints_no_warning(tmp_path: Path) -> None:
    """matplotlib keeps a list of fonts under the home, and complains where it cannot."""
    run = reports.write_run(tmp_path / "run")
    home = tmp_path / "home"
    home.write_text("a file: nothing can be made below it")
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "MPL", "HOME"))
    }
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "report", str(run)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**keep, "HOME": str(home), "TMPDIR": str(tmp_path / "tmp")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (run / "report.html").stat().st_size > 10_000
    assert home.is_file()
    assert not list((tmp_path / "tmp").iterdir()), "the process ends without a trace"


def test_importing_the_library_does_not_import_matplotlib() -> None:
    code = "import sys, flows.cli, pet.pipeline; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_missing_task_file_does_not_keep_the_page_away(tmp_path: Path) -> None:
    run = reports.write_run(tmp_path / "run")
    (run / "task.toml").unlink()
    assert write_page(run).exists()


def test_no_template_line_reads_beyond_its_figures(tmp_path: Path) -> None:
    assert not re.search(r"\b(None|nan|Undefined|inf)\b", Page(draw(tmp_path / "run")).text)


def test_times_are_written_in_hours_minutes_and_seconds() -> None:
    assert [duration(seconds) for seconds in (0.04, 59.94, 61, 3599.9, 7260)] == [
        "0.0 s",
        "59.9 s",
        "1 min 1 s",
        "1 h 0 min",
        "2 h 1 min",
    ]
