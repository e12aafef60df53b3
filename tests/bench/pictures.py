"""The README's pictures and the figures it takes from a run: `make pictures` after `make demo`.

    python -m tests.bench.pictures runs/newsgroups-bert-tiny
    python -m tests.bench.pictures                             only what was measured

Writes data/pictures/ (the report's top, a row on the page of a review, the steps of the method, the
measured accuracies, what a certificate costs, each in light and in dark, and figures.json, the
figures of the first that they show) and,
in README.md, what stands between `<!-- demo ... -->` and `<!-- end -->`. The run's report is drawn
anew first.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np

from pet.finished.finished_run import open_run
from pet.progress import SILENT
from pet.reporting.report_file import Report, read_report
from pet.reporting.report_page import write_page
from pet.reviewing.review_rows import write_review
from pet.reviewing.review_session import open_review
from pet.storage.files import read_record, write_json, write_text
from tests.bench import certify, drawings
from tests.bench.drawings import percent
from tests.bench.tables import gather, read_rows
from tests.support.browser import BROWSER, MODES, browse
from tests.support.reviews import serving

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
PICTURES = REPOSITORY / "data" / "pictures"
RESULTS = Path(__file__).parent / "results" / "quality.csv"
# Name in the picture: name in quality.csv.
METHODS = {
    "BERT-tiny, fine-tuned": "BERT-tiny, fine-tuned",
    "MiniLM + LR, self-training": "MiniLM + LR, self-training",
    "SetFit with MiniLM": "SetFit",
    "pet: BERT-tiny": "BERT-tiny: student",
    "pet: SmolLM2 and MiniLM": "SmolLM2 + MiniLM: student",
}
LABELS = ("0", "10", "50", "100")
MARK, END = "<!-- demo: written by make pictures -->\n", "\n<!-- end -->"
PAGE = (1000, 1400)  # the window, in the page's pixels
REVIEW = (1000, 370)  # that of a row to be reviewed
MOST = 1000  # how much of the page's height is shown at most
SCALE = 1.5  # pixels of the picture to one of the page's


def demo_figures(report: Report) -> dict[str, Any]:
    """Gather what the README and the pictures show of a run with a test set."""
    test, labeled = report.test, report.sets["labeled"]
    assert test is not None
    weights: dict[str, float] = defaultdict(float)
    for name, weight in report.weights.items():
        weights[report.members[name].pattern] += weight
    own = test.student.abstaining
    return {
        "pool_rows": report.pool.rows,
        "labeled_rows": labeled.rows,
        "test_rows": report.sets["test"].rows,
        "patterns": {
            name: {
                "template": template,
                "zero_shot": before.accuracy if (before := test.patterns[name].zero_shot) else None,
                "trained": trained.accuracy if (trained := test.patterns[name].trained) else None,
                "weight": round(weights[name], 4),
            }
            for name, template in report.templates.items()
        },
        "weighing": report.weighing,
        "supervised": None if test.supervised is None else test.supervised.accuracy,
        "ensemble": test.ensemble.accuracy,
        "student": {
            "accuracy": test.student.accuracy,
            "threshold": own.threshold,
            "coverage": own.coverage,
            "kept": own.accuracy,
        },
        "labels": report.labels.counts,
        "seconds": round(sum(report.seconds.values())),
    }


def quality_figures(path: Path = RESULTS) -> dict[str, Any]:
    """Mean and deviation of accuracy by task, method and number of labels."""
    found = gather(read_rows(path))
    return {
        panel.task: {
            shown: {
                labels: {
                    "mean": round(statistics.mean(values), 3),
                    "deviation": round(statistics.stdev(values), 3) if values[1:] else 0.0,
                    "sets": len(values),
                }
                for labels in LABELS
                if (values := found.get((panel.task, name, labels, "accuracy")))
            }
            for shown, name in METHODS.items()
        }
        for panel in drawings.PANELS
    }


def demo_summary(figures: Mapping[str, Any]) -> str:
    """Write the README's sentences about the demo's run."""
    student = figures["student"]
    return (
        f"On {figures['test_rows']:,} test posts **{percent(student['accuracy'])}** of the "
        f"classifier's labels are correct, {percent(student['kept'])} where its\nconfidence is "
        f"{student['threshold']:g} or more ({percent(student['coverage'])} of the posts). "
        f"Fine-tuned on the {figures['labeled_rows']} labeled posts alone, the\nsame model reaches "
        f"{percent(figures['supervised'])}."
    )


def fill(document: str, summary: str) -> str:
    """Put the summary between its marks."""
    before, mark, rest = document.partition(MARK)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"README.md lacks {MARK!r} or {END!r} below it")
    return before + mark + summary + end + after


def picture_of(run: Path, mode: str) -> bytes:
    """Photograph the top of a run's report."""
    with tempfile.TemporaryDirectory() as room:
        place = Path(room)
        shutil.copy(run / "report.html", place / "report.html")
        size = f"--window-size={PAGE[0]},{PAGE[1]}"
        browse(
            place, "report.html", size, f"--screenshot={place / 'p.png'}", *MODES[mode], scale=SCALE
        )
        pixels = matplotlib.image.imread(place / "p.png")[..., :3]
    return _few_colours((pixels[: _cut(pixels)] * 255).round().astype(np.uint8))


def review_picture(run: Path, mode: str) -> bytes:
    """Photograph the page of `pet review --serve` with a row of a run."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as room:
        rows = Path(room) / "rows.jsonl"
        write_review(run, rows, 12, SILENT, by="doubt")
        task = open_run(run).task
        with (
            open_review(rows, task) as session,
            serving(session, task.description) as served,
            sync_playwright() as driver,
        ):
            browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            size = {"width": REVIEW[0], "height": REVIEW[1]}
            page = browser.new_page(color_scheme=mode, viewport=size, device_scale_factor=SCALE)
            page.goto(served.address)
            page.get_by_label("Your name").fill("Ann")
            page.keyboard.press("Enter")
            page.locator("#row").wait_for()
            for key in "12":
                page.keyboard.press(key)
                page.get_by_role("heading", name=f"Row {int(key) + 1} of").wait_for()
            picture = page.screenshot()
            browser.close()
    pixels = matplotlib.image.imread(io.BytesIO(picture))[..., :3]
    return _few_colours((pixels * 255).round().astype(np.uint8))


def _cut(pixels: Any) -> int:
    """Where to cut: in the middle of the last wide gap between the page's parts."""
    inked = np.flatnonzero((np.abs(pixels - pixels[0, 0]) > 0.02).any(axis=(1, 2)))
    inked = inked[inked < MOST * SCALE]
    gaps = np.diff(inked)
    wide = np.flatnonzero(gaps > 34 * SCALE)
    if not wide.size:
        return int(MOST * SCALE)
    return int(inked[wide[-1]] + gaps[wide[-1]] // 2)


def _few_colours(pixels: Any) -> bytes:
    """Encode as PNG with a palette: text needs no more, and the file is a third as large."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).quantize(96).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run", type=Path, nargs="?", help="the demo's run folder; none: only what was measured"
    )
    run = parser.parse_args().run
    PICTURES.mkdir(exist_ok=True)
    demo = _draw_demo(run) if run else read_record(PICTURES / "figures.json")["demo"]
    figures = {"demo": demo, "quality": quality_figures()}
    for mode in MODES:
        write_text(PICTURES / f"quality-{mode}.svg", drawings.quality(figures["quality"], mode))
        write_text(PICTURES / f"certify-{mode}.svg", certify.picture(certify.read_figures(), mode))
    write_json(PICTURES / "figures.json", figures)
    print(f"written: {PICTURES}" + " and the demo's figures in README.md" * bool(run))


def _draw_demo(run: Path) -> dict[str, Any]:
    """Draw a run's report, its review and the steps of the method; return its figures."""
    if BROWSER is None:
        sys.exit(
            "no chromium was found, which draws the report's picture: apt-get install chromium"
        )
    if not (run / "report.json").exists():
        sys.exit(f"no finished run in {run}: make demo")
    write_page(run)
    demo = demo_figures(read_report(run)[0])
    for mode in MODES:
        (PICTURES / f"report-{mode}.png").write_bytes(picture_of(run, mode))
        (PICTURES / f"review-{mode}.png").write_bytes(review_picture(run, mode))
        write_text(PICTURES / f"method-{mode}.svg", drawings.method(demo, mode))
    write_text(README, fill(README.read_text(encoding="utf-8"), demo_summary(demo)))
    print(f"the run took {demo['seconds'] / 60:.0f} minutes: in README.md a person states them")
    return demo


if __name__ == "__main__":
    main()
