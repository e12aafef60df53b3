"""The page in a real browser: at three widths, light and dark, nothing runs out of the picture.

Set `PET_PICTURES` to a folder to keep the pictures and look at them.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from pet.reporting.report_page import write_page
from tests.support import reports
from tests.support.browser import BROWSER, MODES, browse
from tests.support.marks import thorough

pytestmark = [
    pytest.mark.charts,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine"),
]
WIDTHS = (390, 820, 1400)
NARROWEST = 320
LONG = "wordwithoutanyspace" * 12
NAMES = {
    "two": ("sport", "space"),
    "twenty": tuple(f"label {n} of a long taxonomy / مرحبا" for n in range(20)),
    "odd": ("בית ספר 😀", LONG),
}
# Pages stand in frames side by side: no window is as narrow as a telephone, and a browser takes
# seconds to start.
FRAMES = """<!DOCTYPE html><html><head><title>silent</title>
<meta name="color-scheme" content="light dark">
<style>body { margin: 0; white-space: nowrap } iframe { border: 0; vertical-align: top }</style>
<script>const received = []; addEventListener("message", event => {
  received.push(event.data); document.title = received.join(";") })</script></head><body>"""
PROBE = """<script>addEventListener("load", () => {
  document.querySelectorAll("details").forEach(details => details.open = true);
  const page = document.documentElement;
  const out = [...document.querySelectorAll("main *")].filter(part =>
    !part.closest(".scroll, svg") && part.getBoundingClientRect().right > page.clientWidth + 1);
  parent.postMessage([location.pathname.split("/").pop(), page.clientWidth, page.scrollWidth,
    page.scrollHeight, getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0],
    out.length ? out[0].tagName + "." + out[0].className : "nothing"].join(" "), "*");
});</script></head>"""


def frames(folder: Path, pages: list[tuple[str, int]], height: int) -> None:
    """Put pages of some widths side by side into `frames.html`."""
    shown = [
        f'<iframe src="{name}" width="{width}" height="{height}"></iframe>' for name, width in pages
    ]
    (folder / "frames.html").write_text(FRAMES + "".join(shown), encoding="utf-8")


@pytest.mark.parametrize("mode", ["light", *thorough("dark")])
def test_nothing_runs_out_of_the_picture_at_any_width(tmp_path: Path, mode: str) -> None:
    for name, labels in NAMES.items():
        found = reports.figures(labels, text=f"{LONG} \u202e مرحبا 😀 {LONG}")
        html = write_page(reports.write_run(tmp_path / name, found)).read_text(encoding="utf-8")
        # The page itself allows no script.
        open_to_us = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
        probed = open_to_us.replace("</head>", PROBE)
        (tmp_path / f"{name}.html").write_text(probed, encoding="utf-8")
    pages = [(f"{name}.html", width) for name in NAMES for width in (NARROWEST, *WIDTHS)]
    frames(tmp_path, pages, 800)
    shown = browse(
        tmp_path,
        "frames.html",
        "--window-size=9000,900",
        "--virtual-time-budget=10000",
        "--dump-dom",
        *MODES[mode],
    )
    [title] = re.findall(r"<title>(.*?)</title>", shown)
    measured = [line.split() for line in title.split(";")]
    assert sorted((name, int(window)) for name, window, *_ in measured) == sorted(pages)
    for name, window, page, height, ground, out in measured:
        assert int(page) <= int(window), f"{name} is {page} wide in a window of {window}"
        assert out == "nothing", f"{out} of {name} sticks out of a window of {window}"
        assert int(height) > 1500
        assert int(ground) > 200 if mode == "light" else int(ground) < 60


@pytest.mark.parametrize("mode", list(MODES))
def test_the_pictures_show_text_and_charts(tmp_path: Path, mode: str) -> None:
    write_page(reports.write_run(tmp_path / "run"))
    frames(tmp_path, [("run/report.html", width) for width in WIDTHS], 4000)
    path = tmp_path / "pages.png"
    size = f"--window-size={sum(WIDTHS)},4000"
    browse(tmp_path, "frames.html", size, f"--screenshot={path}", *MODES[mode])
    if folder := os.environ.get("PET_PICTURES"):
        shutil.copy(path, Path(folder) / f"report-{mode}.png")
    every = matplotlib.image.imread(path)[..., :3]
    starts = np.cumsum([0, *WIDTHS])
    for start, width in zip(starts, WIDTHS, strict=False):
        pixels = every[:, start : start + width]
        light = pixels.mean(axis=2)
        ground = light[2, 2]
        assert ground > 0.9 if mode == "light" else ground < 0.15
        inked = (np.abs(light - ground) > 0.4).any(axis=1)
        assert inked.mean() > 0.2, "most of the picture is empty"
        blue = pixels[..., 2] - pixels[..., 0] > 0.25
        assert blue.sum() > 500, "there is no chart in its colour"


def test_the_printed_page_holds_what_is_folded_away(tmp_path: Path) -> None:
    html = write_page(reports.write_run(tmp_path / "run")).read_text(encoding="utf-8")
    (tmp_path / "folded.html").write_text(html, encoding="utf-8")
    without = re.sub(r"<details.*?</details>", "", html, flags=re.DOTALL)
    (tmp_path / "without.html").write_text(without, encoding="utf-8")
    sheets = []
    for name in ("folded", "without"):
        browse(tmp_path, f"{name}.html", f"--print-to-pdf={tmp_path / name}.pdf")
        sheets.append((tmp_path / f"{name}.pdf").read_bytes().count(b"/Type /Page\n"))
    assert sheets[0] >= sheets[1] + 3 > 4
