"""Command lines of the flows: errors and exit statuses."""

from __future__ import annotations

from typing import Any

import pytest

from flows import label_pool, nightly
from flows.runtime.calls import exit_status
from pet.errors import InputError, Interrupted, PetError, Problem

WRONG = Problem("a.toml", "two labels", "one", "add one")


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (PetError("no memory"), 1, "no memory\n"),
        (InputError(WRONG), 2, f"{WRONG}\n"),
        (Interrupted("you asked for it"), 130, "you asked for it\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_becomes_an_exit_status_and_its_message(
    error: BaseException, status: int, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert exit_status(fail) == status
    assert capsys.readouterr().err == shown


def test_work_that_is_done_has_status_0_and_other_errors_come_out() -> None:
    assert exit_status(lambda: None) == 0
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: 1 / 0)


def test_the_label_pool_flow_takes_settings_and_update(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, bool]] = []
    monkeypatch.setattr(
        label_pool, "run_flow", lambda config, update, budget: calls.append((config.out, update))
    )
    settings = ["task=ag_news", "pool=p.csv", "model=m", "out=o"]
    assert label_pool.main([*settings, "--update"]) == 0
    assert label_pool.main(settings) == 0
    assert calls == [("o", True), ("o", False)]


def test_the_nightly_flow_takes_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert nightly.main([]) == 1
    assert capsys.readouterr().err == "expected: python -m flows.nightly CONFIG\n"
