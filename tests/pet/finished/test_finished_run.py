"""Finished runs: what cannot be opened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.finished.finished_run import open_run
from pet.finished.inference import predict_texts
from pet.storage.units import DONE

Open = Callable[[Path], Any]
OPENERS: list[Open] = [open_run, lambda run: predict_texts(run, ["x"])]


@pytest.mark.parametrize("opener", OPENERS)
def test_a_run_that_has_not_ended_cannot_be_used(run_copy: Path, opener: Open) -> None:
    (run_copy / "student" / DONE).unlink()
    with pytest.raises(InputError, match=f"no readable {DONE}"):
        opener(run_copy)
    shutil.rmtree(run_copy / "student")
    with pytest.raises(InputError, match="a run that has not ended") as caught:
        opener(run_copy)
    assert "goes on where it was" in str(caught.value)


@pytest.mark.parametrize("opener", OPENERS)
def test_a_folder_that_is_no_run_cannot_be_used(tmp_path: Path, opener: Open) -> None:
    with pytest.raises(InputError, match=r"a run folder with config\.json"):
        opener(tmp_path)


@pytest.mark.parametrize("opener", OPENERS)
def test_labels_in_another_order_are_refused(run_copy: Path, opener: Open) -> None:
    """Scores are kept by place: each row would get the label of the line that was exchanged."""
    path = run_copy / "task.toml"
    lines = path.read_text().splitlines()
    one, other = (n for n, line in enumerate(lines) if line.startswith(("sport", "business")))
    lines[one], lines[other] = lines[other], lines[one]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="the labels that the student was made for: sport, space"):
        opener(run_copy)


def test_a_run_that_was_killed_while_it_took_new_labels_has_no_old_report(
    run_copy: Path, config_for: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would answer with the old student under the new labels' names."""
    from pet.inputs import folder_claim
    from pet.inputs.session import open_session

    def die(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    session = open_session(config_for(out=run_copy))
    monkeypatch.setattr(folder_claim, "write_text", die)
    with pytest.raises(KeyboardInterrupt):
        folder_claim.claim_folder(session)
    with pytest.raises(InputError, match="a run that has not ended"):
        open_run(run_copy)
