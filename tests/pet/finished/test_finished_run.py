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
from pet.finished.predictors import predictor_of
from pet.storage.files import read_record, write_json
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


def changed(path: Path, **values: Any) -> None:
    write_json(path, {**read_record(path), **values})


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    "values",
    [{"max_length": 16}, {"id_column": "text"}, {"calibration": "none"}, {"abstain_below": 0.9}],
    ids=str,
)
def test_settings_that_were_changed_after_the_run_are_refused(
    run_copy: Path, opener: Open, values: dict[str, Any]
) -> None:
    """Texts would be cut shorter than the student learned them, or rows get other ids."""
    changed(run_copy / "config.json", **values)
    with pytest.raises(InputError, match=r"config\.json\n.*the file that the run was made with"):
        opener(run_copy)


@pytest.mark.parametrize("opener", OPENERS)
def test_another_pattern_in_the_task_after_the_run_is_refused(run_copy: Path, opener: Open) -> None:
    path = run_copy / "task.toml"
    path.write_text(path.read_text().replace("{mask}", "not {mask}", 1))
    with pytest.raises(InputError, match="the file that the run was made with"):
        opener(run_copy)


@pytest.mark.parametrize("opener", OPENERS)
def test_a_run_of_before_manifests_named_files_is_read(run_copy: Path, opener: Open) -> None:
    manifest = read_record(run_copy / "manifest.json")
    del manifest["files"]
    write_json(run_copy / "manifest.json", manifest)
    changed(run_copy / "config.json", abstain_below=0.9)
    assert opener(run_copy)


def test_numbers_of_the_ensemble_that_were_changed_are_refused(run_copy: Path) -> None:
    path = run_copy / "soft_labels" / DONE
    record = read_record(path)
    for values in (
        {"weights": dict.fromkeys(record["weights"], 0.5)},
        {"ensemble_temperature": 9.0},
        {"ensemble_offsets": [5.0, 0.0, 0.0]},
    ):
        write_json(path, {**record, **values})
        with pytest.raises(InputError, match=f"{DONE} was changed after it was made"):
            predictor_of(open_run(run_copy), "ensemble")


def test_priors_of_two_patterns_that_were_exchanged_are_refused(run_copy: Path) -> None:
    """Both are whole; the ensemble would take the one's bias out of the other's scores."""
    one, other = sorted((run_copy / "members").glob("untrained*/logits/prior.parquet"))[:2]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(InputError, match="priors as they were measured"):
        predictor_of(open_run(run_copy), "ensemble")


def test_a_run_that_was_killed_while_it_took_new_labels_has_no_old_report(
    run_copy: Path, config_for: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would answer with the old student under the new labels' names."""
    from pet.inputs import folder_claim
    from pet.inputs.reading import open_session

    def die(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    session = open_session(config_for(out=run_copy))
    monkeypatch.setattr(folder_claim, "write_text", die)
    with pytest.raises(KeyboardInterrupt):
        folder_claim.claim_folder(session, {})
    with pytest.raises(InputError, match="a run that has not ended"):
        open_run(run_copy)
