"""`pet review --serve`: what is refused, and how it ends."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands import console
from flows.review_page.server import bind
from pet.reviewing.review_session import Reviewer, log_path, open_review
from pet.tasks.task import load_task
from tests.flows.conftest import Pet
from tests.support.reviews import write_texts


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody presses Ctrl-C as soon as the page is there; no browser opens."""
    monkeypatch.setattr(console.stop, "asked", False)

    def open_browser(address: str) -> None:
        console.stop.asked = True

    monkeypatch.setattr("flows.review_page.server.open_browser", open_browser)


def answer(out: Path, run: Path, person: str, *labels: str) -> None:
    with open_review(out, load_task((run / "task.toml").absolute())) as session:
        for place, label in enumerate(labels):
            session.answer(Reviewer(person), place, label, suggestion_shown=False)


@pytest.mark.usefixtures("stopped")
def test_ctrl_c_says_where_the_answers_are_and_how_to_go_on(pet: Pet, run_copy: Path) -> None:
    """Rows are chosen the first time; the answers are what `--answers` takes."""
    first = pet("review", run_copy, "--serve", "--rows", 4)
    assert first.exit_code == 130, first.output
    assert "open  http://127.0.0.1:" in first.stderr
    assert "to go on:" in first.stderr
    assert "0 of 4 rows have an answer" in first.stdout
    assert "--answers" not in first.stdout
    rows = run_copy.with_name("news-review.jsonl")
    answer(rows, run_copy, "Ann", "sport", "space", "space", "")
    answer(rows, run_copy, "Ben", "sport", "space", "sport", "sport")
    again = pet("review", run_copy, "--serve", "--rows", 4)
    assert "Ann: 3 rows labeled, 1 skipped, 0 open" in again.stdout
    assert "Ann and Ben: 67% of 3 rows alike, Cohen's kappa 0.40" in again.stdout
    assert "1 rows on which people disagree" in again.stdout
    assert "3 of 4 rows have an answer" in again.stdout
    console.stop.asked = False
    taken = pet(*shlex.split(again.stdout.splitlines()[-1])[1:])
    assert taken.exit_code == 0, taken.output
    assert "1 without an answer" in taken.stdout
    found = json.loads(pet("review", run_copy, "--serve", "--json").stdout)
    assert found["people"]["Ben"] == {"labeled": 4, "passed_over": 0, "rows": 4}


@pytest.mark.usefixtures("stopped")
def test_rows_of_a_draw_end_with_the_command_that_certifies(pet: Pet, run_copy: Path) -> None:
    """Taken as answers of a review alone, they would prove nothing."""
    rows = run_copy.with_name("drawn.jsonl")
    pet("certify", run_copy, "--error", 0.4, "--answers", 20, "--out", rows)
    answer(rows, run_copy, "Ann", "sport", "space")
    lines = pet("review", run_copy, "--serve", "--out", rows).stdout.splitlines()
    place = lines.index("to certify labels with them (a row without one counts as wrong):")
    console.stop.asked = False
    taken = pet(*shlex.split(lines[place + 1])[1:])
    assert taken.exit_code == 0, taken.output
    assert "draw 1: 20 rows drawn, 2 answered" in taken.stdout
    pet("estimate", run_copy, "--answers", 21, "--out", run_copy.with_name("shares.jsonl"))
    answer(run_copy.with_name("shares.jsonl"), run_copy, "Ann", "sport")
    shares = pet("review", run_copy, "--serve", "--out", run_copy.with_name("shares.jsonl"))
    assert "pet estimate" in shares.stdout


@pytest.mark.usefixtures("stopped")
def test_what_cannot_be_served_ends_with_what_to_do(
    pet: Pet, run_copy: Path, tmp_path: Path
) -> None:
    empty, rows = Path("empty.jsonl"), write_texts(Path("rows.jsonl"), ["a", "b"])
    empty.write_text("")
    with bind(0) as listener:
        port = listener.getsockname()[1]
        cases = [
            (["--out", rows, "--port", port], "Address already in use"),
            (["--out", empty], "found:    none"),
            (["--out", "rows.xlsx"], "ends in .jsonl or .csv"),
            (["--out", "rows.json"], "ends in .jsonl or .csv"),
            (["--out", rows, "--port", -3], "--port -3"),
            (["--out", tmp_path], "ends in .jsonl or .csv"),
            (["--rows", 0, "--out", "new.jsonl"], "at least 1"),
        ]
        for words, message in cases:
            result = pet("review", run_copy, "--serve", *words)
            assert (result.exit_code, message in result.stderr) == (2, True), result.output
    assert sorted(map(str, Path().iterdir())) == ["copy", "empty.jsonl", "rows.jsonl"]
    with open_review(rows, load_task((run_copy / "task.toml").absolute())):
        held = pet("review", run_copy, "--serve", "--out", rows)
    assert held.exit_code == 2
    assert "that no other process has open" in held.stderr
    (run_copy / "report.json").unlink()
    being_written = pet("review", run_copy, "--serve", "--out", rows)
    assert being_written.exit_code == 2
    assert "a run that has not ended" in being_written.stderr


@pytest.mark.usefixtures("stopped")
def test_answers_with_a_label_that_the_task_has_not_are_refused(pet: Pet, run_copy: Path) -> None:
    rows = write_texts(Path("rows.jsonl"), ["a", "b"])
    answer(rows, run_copy, "Ann", "sport")
    log = log_path(rows)
    log.write_text(log.read_text().replace("sport", "cooking"))
    result = pet("review", run_copy, "--serve", "--out", rows)
    assert result.exit_code == 2
    assert "others: 'cooking'" in result.stderr


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--serve", "--answers", "a.csv"], "--serve"),
        (["--serve", "--format", "csv"], "--format"),
        (["--serve", "--labeled", "l.jsonl"], "--labeled"),
        (["--port", 80, "--rows", 5, "--out", "r.csv"], "--port"),
        (["--blind", "--rows", 5, "--out", "r.csv"], "--blind"),
    ],
)
def test_options_that_do_not_go_with_the_page_are_refused(
    pet: Pet, tiny_run: Path, words: list[object], found: str
) -> None:
    result = pet("review", tiny_run, *words)
    assert result.exit_code == 2
    assert f"found:    {found}" in result.stderr


def test_to_review_no_torch_and_no_prefect_is_loaded(tiny_run: Path, tmp_path: Path) -> None:
    """They would be seconds and hundreds of megabytes beside a page that waits for a person."""
    run = shutil.copytree(tiny_run, tmp_path / "news")
    code = (
        "import sys\n"
        "from flows import cli\nfrom flows.commands import console\n"
        "from flows.review_page import server\n"
        "server.open_browser = lambda address: setattr(console.stop, 'asked', True)\n"
        f"sys.argv = ['pet', 'review', {str(run)!r}, '--serve', '--rows', '3']\n"
        "try:\n    cli.app()\nexcept SystemExit as end:\n    assert end.code == 130, end.code\n"
        "names = ('torch', 'transformers', 'prefect', 'fastapi')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
