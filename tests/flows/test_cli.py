"""The command: options that go together, one screen for what goes wrong, exit statuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import cli
from tests.conftest import ModelFolder
from tests.flows.conftest import Pet


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["newsgroups", "--zero-shot"], ["no --model"]),
        (["newsgroups"], ["found:    a task", "add --zero-shot --model"]),
        (["mine.toml"], ["found:    a task", "add --zero-shot --model"]),
        (["newsgroups", "--zero-shot", "--model", "m", "--with", "ensemble"], ["'ensemble'"]),
        (["runs/x", "--model", "m", "--set", "seed=1"], ["--model\n", "--set\n", "seed=1"]),
        (["runs/x"], ["a run folder with config.json"]),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    pet: Pet, words: list[str], messages: list[str]
) -> None:
    result = pet("label", *words, "--pool", "p.parquet", "--out", "out")
    assert result.exit_code == 2
    for part in messages:
        assert part in result.stderr
    assert not Path("out").exists()


def test_a_check_without_a_model_names_what_one_would_add(pet: Pet, inputs_folder: Path) -> None:
    words = ["check", inputs_folder / "task.toml", "--labeled", inputs_folder / "labeled.csv"]
    result = pet(*words)
    assert result.exit_code == 0, result.output
    assert "with --model REF: tokens, zero-shot accuracy" in result.stdout


def test_a_pool_is_labeled_without_a_run(
    pet: Pet, inputs_folder: Path, model_folder: ModelFolder
) -> None:
    words = [
        "label",
        inputs_folder / "task.toml",
        "--zero-shot",
        "--model",
        model_folder("bert"),
        "--pool",
        inputs_folder / "pool.parquet",
        "--out",
        "out",
        "--set",
        "max_length=32",
        "--set",
        "device=cpu",
    ]
    result = pet(*words)
    assert result.exit_code == 0, result.output
    assert "out (1 file written, 0 reused)" in result.stdout
    assert "out/_rejected.parquet (3 rows)" in result.stdout
    counts = json.loads(pet(*words, "--json").stdout)
    assert (counts["rows"], counts["rejected"]) == (37, 3)


def test_a_run_labels_with_its_student_by_default(
    pet: Pet, tiny_run: Path, inputs_folder: Path
) -> None:
    pool = inputs_folder / "pool.parquet"
    assert pet("label", tiny_run, "--pool", pool, "--out", "out").exit_code == 0
    again = pet("label", tiny_run, "--pool", pool, "--out", "out", "--with", "student")
    assert "(0 files written, 3 reused)" in again.stdout


def test_a_text_may_begin_with_a_dash_and_a_misspelt_option_is_none(tiny_run: Path) -> None:
    texts = ["-5 degrees on the moon", "-- a ball", "--- news"]
    given = CliRunner().invoke(cli.app, ["predict", str(tiny_run), *texts, "--json"])
    assert [json.loads(line)["text"] for line in given.stdout.splitlines()] == texts
    slip = CliRunner().invoke(cli.app, ["predict", str(tiny_run), "a ball", "--jsn"])
    assert slip.exit_code == 2
    assert "--jsn" in slip.stderr


def test_texts_from_standard_input_that_are_no_utf8_are_refused_as_on_the_command_line(
    tiny_run: Path,
) -> None:
    lines = "the team won\r\n \n\u00fc a rocket\n\n".encode()
    result = CliRunner().invoke(cli.app, ["predict", str(tiny_run), "-", "--json"], input=lines)
    texts = [json.loads(line)["text"] for line in result.stdout.splitlines()]
    assert texts == ["the team won", "\u00fc a rocket"]
    broken = CliRunner().invoke(cli.app, ["predict", str(tiny_run), "-"], input=b"caf\xe9\n")
    assert broken.exit_code == 2
    assert "expected: text in UTF-8" in broken.stderr
    nothing = CliRunner().invoke(cli.app, ["predict", str(tiny_run), "-"], input=b"\n \n")
    assert nothing.exit_code == 2
    assert "no text at all" in nothing.stderr


def test_a_damaged_report_is_a_line_in_the_list(pet: Pet, run_copy: Path) -> None:
    shutil.copytree(run_copy, run_copy.parent / "broken")
    (run_copy.parent / "broken" / "report.json").write_text("[3")
    result = pet("runs", "--under", run_copy.parent)
    assert result.exit_code == 0, result.output
    assert "report damaged" in result.stdout
    assert "finished" in result.stdout
    shown = pet("runs", "show", run_copy.parent / "broken")
    assert "report damaged: give its `pet run` command again" in shown.stdout


def test_a_list_that_fails_is_one_screen(pet: Pet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pet.finished.past_runs.list_runs", lambda under: 1 / 0)
    result = pet("runs")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "ZeroDivisionError" in result.stderr


def test_a_shown_run_names_the_settings_that_are_its_own(pet: Pet, tiny_run: Path) -> None:
    shown = pet("runs", "show", tiny_run).stdout
    assert "member.steps" in shown
    assert "max_length" in shown
    assert "growth_factor" not in shown


def test_a_stop_while_python_still_imports_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "from flows.cli import app; app()"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == ""


def test_help_does_not_wait_for_torch_or_prefect() -> None:
    look = "import sys, flows.cli; print([m for m in ('torch', 'prefect') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_report_is_drawn_again_and_a_damaged_one_is_one_screen(pet: Pet, run_copy: Path) -> None:
    (run_copy / "report.html").unlink()
    result = pet("report", run_copy)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(run_copy / "report.html")
    assert (run_copy / "report.html").exists()
    (run_copy / "report.json").write_text('{"task": "of an earlier version"}')
    refused = pet("report", run_copy)
    assert refused.exit_code == 2
    assert "expected: the figures of a run" in refused.stderr
    assert "Traceback" not in refused.output
    assert pet("report", run_copy.parent).exit_code == 2


ASKED = """
import os, signal, sys, time
from flows.commands import console as cli
cli.GRACE = 0.2
cli.stop.install()
def work():
    os.kill(os.getpid(), signal.SIGTERM)
    if sys.argv[1] == "deaf":
        time.sleep(60)
    if sys.argv[1] == "heeds":
        cli.stop.raise_if_asked()
try:
    cli.answer(work, False)
finally:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.5)
print("its end")
"""


@pytest.mark.parametrize(
    ("how", "status", "message", "ended"),
    [
        ("deaf", 130, "stopped: no safe point came", False),
        ("heeds", 130, "you asked for it", False),
        ("ends by itself", 0, "", True),
    ],
)
def test_a_stop_ends_the_process_soon_and_never_after_its_work_is_done(
    how: str, status: int, message: str, ended: bool
) -> None:
    """Not handled, as in a long read, it ended nothing; handled too late, it ended the rest."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import typer\ntry:\n {ASKED.replace(chr(10), chr(10) + ' ')}\n"
            "except typer.Exit as error:\n sys.exit(error.exit_code)",
            how,
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert ("what is done is kept; to go on:" in done.stderr) == (status == 130)
    assert ("its end" in done.stdout) == ended
    assert "Traceback" not in done.stderr
