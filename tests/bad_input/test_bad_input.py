"""Every bad input of the table ends in one screen that helps, and changes nothing on disk."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import cli
from flows.commands import console
from tests.bad_input import models, settings, tables, tasks
from tests.bad_input.case import RUN, Case
from tests.bad_input.conftest import snapshot, write_all
from tests.support.marks import thorough

CASES = [
    pytest.param(case, id=f"{part}: {case.name}")
    for part, module in (
        ("task", tasks),
        ("table", tables),
        ("model", models),
        ("setting", settings),
    )
    for case in module.CASES
]
ROOT = Path(__file__).parents[2]


def assert_one_screen(case: Case, status: int, said: str) -> None:
    assert status == 2, said
    assert "Traceback" not in said
    for part in case.says:
        assert part in said
    for part in ("expected", "found", "fix"):
        assert said.count(f"\n  {part}: ") == case.problems, said


def test_the_table_is_as_long_as_it_should_be() -> None:
    assert len(CASES) > 100
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_bad_input_is_reported_whole_and_changes_nothing(
    case: Case, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.Stop, "install", lambda self: None)
    write_all(workplace, case.write)
    before = snapshot(workplace)
    result = CliRunner().invoke(cli.app, shlex.split(case.command))
    assert_one_screen(case, result.exit_code, result.stderr)
    assert snapshot(workplace) == before


def of_name(name: str) -> Case:
    (case,) = (param.values[0] for param in CASES if param.id == name)
    assert isinstance(case, Case)
    return case


def run_pet(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [
        os.fsencode(word) for word in (sys.executable, "-m", "flows.cli", *shlex.split(command))
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(words, capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize(
    "name",
    [
        "setting: a task's name that is no UTF-8",
        *thorough(
            "task: several at once",
            "model: a text that is no text",
            "setting: an option misspelt",
        ),
    ],
)
def test_the_same_holds_for_the_real_command(name: str, workplace: Path) -> None:
    case = of_name(name)
    write_all(workplace, case.write)
    before = snapshot(workplace)
    done = run_pet(case.command)
    assert_one_screen(case, done.returncode, done.stderr)
    assert snapshot(workplace) == before


@pytest.mark.faults
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://me:pa55word@127.0.0.1:9/api?token=pa55word", "a Prefect server at http://127.0.0"),
        ("not an address pa55word", "PREFECT_API_URL"),
    ],
)
def test_a_prefect_server_that_does_not_answer_is_named_without_its_secrets(
    workplace: Path, tmp_path: Path, url: str, said: str
) -> None:
    before = snapshot(workplace)
    home = tmp_path / "prefect"
    done = run_pet(RUN.replace("--plain ", ""), PREFECT_API_URL=url, PREFECT_HOME=str(home))
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "or run without Prefect: --plain" in done.stderr
    assert "pa55word" not in done.stdout + done.stderr
    assert snapshot(workplace) == before
    assert not [name for name, content in snapshot(home).items() if b"pa55word" in bytes(content)]
