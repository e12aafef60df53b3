"""The page in a real browser: mouse, keyboard, several people, reload, kill, light and dark.

Set `PET_PICTURES` to a folder to keep pictures and look at them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pet.reviewing.annotations import read_annotations
from tests.flows.review_page.conftest import Serving
from tests.support.browser import BROWSER
from tests.support.reviews import LABELS, write_texts

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page is driven by playwright, which is not installed"
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")

MANY = tuple(f"label {n:03}" for n in range(300))
WAIT = 30_000  # milliseconds, on a busy machine


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A window; whatever its console complains of fails the test."""
    context = chromium.new_context()
    context.set_default_timeout(WAIT)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if is_wrong(line) else None)
    yield page
    context.close()
    assert not complaints


def is_wrong(line: Any) -> bool:
    """Tell errors apart from a request that was refused, which the page reports itself."""
    return line.type == "error" and not line.text.startswith("Failed to load resource")


def begin(page: Any, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.keyboard.press("Enter")
    page.locator("#row").wait_for()


def press(page: Any, key: str, row: int) -> None:
    """Press a key and wait for the row that it leads to; 0: the overview."""
    page.keyboard.press(key)
    if row:
        page.get_by_role("heading", name=f"Row {row} of").wait_for()
    else:
        page.locator("#end").wait_for()


def labels_in(log: Path) -> list[tuple[str, str]]:
    lines = list(map(json.loads, log.read_text().splitlines()))[1:]
    return [(line["annotator"], "undo" if line.get("undoes") else line["label"]) for line in lines]


def keep(page: Any, name: str) -> None:
    if folder := os.environ.get("PET_PICTURES"):
        page.screenshot(path=Path(folder) / f"review-{name}.png")


def test_two_people_answer_by_mouse_and_by_keys_disagree_and_settle(
    page: Any, serving: Serving, rows: Path
) -> None:
    with serving(rows) as served:
        page.goto(served.address)
        begin(page, "Ann")
        assert "#" not in page.url, "the token would stay in the address"
        page.get_by_role("button", name="space").click()
        page.get_by_role("heading", name="Row 2 of 4").wait_for()
        press(page, "1", 3)
        press(page, "u", 2)
        press(page, "s", 3)
        page.reload()
        page.get_by_role("heading", name="Row 3 of 4").wait_for()
        assert page.locator("#count").inner_text() == "1 of 4 rows labeled, 1 skipped"
        press(page, "p", 2)
        press(page, "n", 3)
        press(page, "Enter", 4)
        press(page, "3", 0)
        press(page, "u", 4)
        press(page, "2", 0)
        page.get_by_role("button", name="Another person").click()
        begin(page, "Ben")
        for key, row in zip("2222", (2, 3, 4, 0), strict=True):
            press(page, key, row)
        agreement = page.locator("#agreements").inner_text()
        assert agreement == "Ann and Ben: 67% of 3 rows alike, Cohen's kappa 0.00"
        keep(page, "overview")
        page.get_by_role("button", name="Settle 1 disagreement").click()
        page.locator("#others").get_by_text("Ann: sport; Ben: space").wait_for()
        press(page, "1", 0)
        assert page.get_by_role("button", name="Settle").is_hidden()
        page.get_by_role("button", name="Finish").click()
        page.locator("#outcome").get_by_text("closed").wait_for()
    assert labels_in(rows.with_name("r-log.jsonl")) == [
        *[("Ann", label) for label in ("space", "sport", "undo", "", "sport", "business", "undo")],
        ("Ann", "space"),
        *[("Ben", "space")] * 4,
        ("Ben", "sport"),
    ]


def test_several_labels_are_chosen_and_saved_together(
    page: Any, serving: Serving, tmp_path: Path
) -> None:
    rows = write_texts(tmp_path / "r.jsonl", [f"text {n}" for n in range(4)], several=True)
    with serving(rows, several=True) as served:
        page.goto(served.address)
        begin(page, "Ann")
        saved = page.locator("#chosen")
        assert saved.inner_text() == "Save 1 label"  # the suggestion
        page.get_by_role("button", name="space").click()
        keep(page, "several")
        press(page, "Enter", 2)
        page.keyboard.press("1")
        assert saved.inner_text() == "Save none of them"
        press(page, "Enter", 3)
        press(page, "s", 4)
        page.keyboard.press("3")
        page.get_by_role("button", name="Save 2 labels").click()
        page.locator("#end").wait_for()
        page.get_by_role("button", name="Back to the rows").click()
        page.get_by_role("heading", name="Row 1 of").wait_for()
        pressed = page.locator('#labels button[aria-pressed="true"] bdi')
        assert pressed.all_inner_texts() == ["sport", "space"]
    assert labels_in(rows.with_name("r-log.jsonl")) == [
        ("Ann", label) for label in ('["sport", "space"]', "[]", "", '["sport", "business"]')
    ]


def test_among_hundreds_of_labels_one_is_found_without_a_mouse(
    page: Any, serving: Serving, tmp_path: Path
) -> None:
    path = write_texts(tmp_path / "r.jsonl", ["one", "two"], MANY)
    with serving(path, MANY) as served:
        page.goto(served.address)
        begin(page, "Ann")
        page.keyboard.press("/")
        page.keyboard.type("Label 217")
        assert page.locator("#labels button:visible").all_inner_texts() == ["label 217"]
        press(page, "Enter", 2)
        page.keyboard.press("/")
        page.keyboard.type("nothing like it")
        assert page.get_by_text("No such label.").is_visible()
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        press(page, "y", 0)
    assert [label for _, label in labels_in(tmp_path / "r-log.jsonl")] == ["label 217", "label 029"]


def test_a_hidden_prediction_is_nowhere_in_the_page_until_it_is_asked_for(
    page: Any, serving: Serving, rows: Path
) -> None:
    with serving(rows) as served:
        page.goto(served.address)
        begin(page, "Ann")
        assert page.get_by_text("a reason").is_visible()
        page.keyboard.press("h")
        page.locator("#suggestion").wait_for(state="hidden")
        press(page, "2", 2)
        page.keyboard.press("Enter")
        assert "a reason" not in page.locator("#texts").inner_text()
        assert page.locator(".suggested").count() == 0
        page.reload()
        page.locator("#row").wait_for()
        assert page.locator("#suggestion").is_hidden()
        page.get_by_role("button", name="Suggestion").click()
        page.get_by_text("a reason").wait_for()
        page.get_by_label("Keyboard shortcuts").uncheck()
        page.locator("#row-title").focus()
        page.keyboard.press("1")
        assert page.get_by_role("heading", name="Row 2 of 4").is_visible()
    assert [label for _, label in labels_in(rows.with_name("r-log.jsonl"))] == ["space"]


MARKUP = '<img src=x onerror="document.title=1"><b>bold</b> {{7*7}}'


def test_a_text_is_shown_as_text(page: Any, serving: Serving, tmp_path: Path) -> None:
    odd = (MARKUP, "\u202etxt.exe", "\u05e9\u05dc\u05d5\u05dd", "a\x1b[2J")
    path = write_texts(tmp_path / "r.jsonl", ["\n".join(odd)], ("sport", MARKUP, "\u202ea"))
    with serving(path, ("sport", MARKUP, "\u202ea")) as served:
        page.goto(served.address)
        begin(page, MARKUP)
        lines = page.locator(".text p").inner_text().split("\n")
        assert lines == [MARKUP, "\\u202etxt.exe", "\u05e9\u05dc\u05d5\u05dd", "a\\x1b[2J"]
        assert page.locator("#labels bdi").all_inner_texts() == ["sport", MARKUP, "\\u202ea"]
        assert page.locator("#person").inner_text() == MARKUP
        assert page.locator("img, b").count() == 0
        assert page.title() == "What?"
        [direction] = page.locator(".text p").evaluate_all("all => all.map(own => own.dir)")
        assert direction == "auto"


# The contrast of every visible text with what is behind it, by WCAG 2.2; what runs out at the side.
LOOK = """() => {
  const channel = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255)
    + 0.0722 * channel(b / 255);
  const colour = text => text.match(/[\\d.]+/g).map(Number);
  const ground = part => { const own = colour(getComputedStyle(part).backgroundColor);
    return own.length > 3 && own[3] === 0 ? ground(part.parentElement) : own; };
  const texts = [...document.querySelectorAll("body *")].filter(part => part.checkVisibility()
    && !part.disabled && [...part.childNodes].some(own => own.nodeType === 3 && own.data.trim())
    && !part.closest(".unseen, noscript, :disabled"));
  const contrast = texts.map(part => {
    const [a, b] = [colour(getComputedStyle(part).color), ground(part)].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); });
  const page = document.documentElement;
  return { contrast: Math.min(...contrast), ground: ground(document.body)[0],
    wide: page.scrollWidth - page.clientWidth,
    small: [...document.querySelectorAll("button")].filter(part => part.checkVisibility()
      && part.getBoundingClientRect().height < 44).length };
}"""


def test_it_can_be_read_light_and_dark_on_a_telephone_too(
    page: Any, serving: Serving, tmp_path: Path
) -> None:
    long = "wordwithoutanyspace" * 12
    labels = (*LABELS, long, *MANY[:20])
    text = {"title": f"{long} \u05e9", "body": "A few words of a longer text. " * 60}
    path = write_texts(tmp_path / "r.jsonl", [text, text], labels)

    def look(part: str) -> None:
        for scheme, width in itertools.product(("light", "dark"), (320, 390, 1280)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            keep(page, f"{part}-{scheme}-{width}")
            own = page.evaluate(LOOK)
            assert own["contrast"] >= 4.5
            assert own["wide"] <= 0, f"{part} is wider than {width}"
            assert own["small"] == 0, "a button is smaller than a finger"
            assert own["ground"] > 200 if scheme == "light" else own["ground"] < 60

    with serving(path, labels, ("title", "body")) as served:
        page.goto(served.address)
        page.locator("#start").wait_for()
        look("start")
        begin(page, long[:80])
        assert page.locator(".text h3").all_inner_texts() == ["title", "body"]
        look("row")
        press(page, "1", 2)
        press(page, "o", 0)
        look("overview")


@contextlib.contextmanager
def command(run: Path, out: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command as users do; yield it and the address that it shows."""
    words = [sys.executable, "-m", "flows.cli", "review", str(run), "--serve", "--out", str(out)]
    environment = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            shown = [process.stderr.readline() for _ in range(3)]
            assert shown[1].startswith("open "), shown
            yield process, shown[1].split()[1]
        finally:
            process.kill()


@pytest.mark.faults
def test_a_killed_review_goes_on_with_every_answer_and_ends_with_the_command_to_take_them(
    page: Any, tiny_run: Path, tmp_path: Path
) -> None:
    out = write_texts(tmp_path / "rows.jsonl", ["one", "two", "three"])
    with command(tiny_run, out) as (process, address):
        page.goto(address)
        begin(page, "Ann")
        press(page, "1", 2)
        press(page, "2", 3)
        process.kill()
        process.wait()
        page.keyboard.press("3")
        page.get_by_role("alert").get_by_text("does not answer").wait_for()
        assert page.get_by_role("heading", name="Row 3 of 3").is_visible()
    log = tmp_path / "rows-log.jsonl"
    log.write_bytes(log.read_bytes() + b'{"id": "row-2", "annot')
    with command(tiny_run, out) as (process, address):
        page.goto(address)
        page.get_by_role("button", name="Ann").click()
        page.get_by_role("heading", name="Row 3 of 3").wait_for()
        press(page, "3", 0)
        page.get_by_role("button", name="Finish").click()
        page.get_by_text("pet review").wait_for()
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0
    assert said.splitlines()[0] == "Ann: 3 rows labeled, 0 skipped, 0 open"
    answers = tmp_path / "rows-answers.jsonl"
    assert said.splitlines()[-1] == f"  pet review {tiny_run} --answers {answers}"
    found = read_annotations(answers, ("text",))
    assert [own.label for own in found] == ["sport", "space", "business"]
