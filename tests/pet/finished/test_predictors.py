"""A run's ensemble, asked again: as it was measured, whole, and as it was made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pet.errors import InputError, PetError
from pet.finished import predictors
from pet.finished.inference import evaluate_run, label_new_pool
from pet.progress import SILENT
from pet.storage.files import read_json, read_record, write_json
from pet.storage.units import DONE, with_digest
from tests.support import samples


def test_the_ensemble_predicts_what_its_members_were_measured_at(
    tiny_run: Path, inputs_folder: Path
) -> None:
    found = evaluate_run(tiny_run, str(inputs_folder / "test.csv"), "ensemble", SILENT)
    reported = read_json(tiny_run / "report.json")["test"]["ensemble"]
    figures = ("accuracy", "macro_f1", "ece", "rows")
    assert {key: found[key] for key in figures} == pytest.approx(
        {key: reported[key] for key in figures}, abs=2e-4
    )
    assert found["abstaining"]["threshold"] == reported["abstaining"]["threshold"]


def test_members_of_an_ensemble_are_loaded_once_while_they_fit(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = samples.write_pool(tmp_path / "pool.parquet", [f"news {n}" for n in range(40)])
    loaded: list[str] = []
    load = predictors.load_member

    def count(config: Any, task: Any, folder: Path, member: Any, backbone: Any) -> Any:
        loaded.append(member.name)
        return load(config, task, folder, member, backbone)

    def label(out: Path) -> int:
        return label_new_pool(tiny_run, str(pool), out, "ensemble", None, SILENT)[0]

    monkeypatch.setattr(predictors, "load_member", count)
    assert label(tmp_path / "kept") == 3
    assert len(loaded) == len(set(loaded)) == 3
    monkeypatch.setattr(predictors, "KEPT_BYTES", 0)
    assert label(tmp_path / "again") == 3
    assert len(loaded) == 3 + 3 * 3
    kept, again = (pq.read_table(tmp_path / name) for name in ("kept", "again"))
    assert kept.equals(again)


def test_an_unknown_predictor_is_refused(tiny_run: Path, inputs_folder: Path) -> None:
    with pytest.raises(InputError, match="student or ensemble"):
        evaluate_run(tiny_run, str(inputs_folder / "test.csv"), "teacher", SILENT)


def test_an_ensemble_without_its_weights_is_an_error(run_copy: Path, inputs_folder: Path) -> None:
    (run_copy / "soft_labels" / DONE).unlink()
    with pytest.raises(PetError, match=r"soft_labels|finished"):
        evaluate_run(run_copy, str(inputs_folder / "test.csv"), "ensemble", SILENT)


@pytest.mark.parametrize("unit", ["student", "soft_labels", "members/g0-last-r0"])
@pytest.mark.parametrize("damage", ["weights", "record"])
def test_a_part_of_a_run_that_was_changed_after_the_fact_is_not_asked(
    run_copy: Path, inputs_folder: Path, unit: str, damage: str
) -> None:
    """What is not caught here gives wrong labels without a word."""
    if damage == "record":
        path = run_copy / unit / DONE
        path.write_bytes(path.read_bytes()[:-20])
        found = f"no readable {DONE}"
    else:
        path = next(
            (run_copy / unit).glob("*.parquet" if unit == "soft_labels" else "*.safetensors")
        )
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        found = f"{path.name} was changed or removed after it was made"
    with pytest.raises(InputError, match="a part of the run as it was made") as caught:
        evaluate_run(run_copy, str(inputs_folder / "test.csv"), "ensemble", SILENT)
    assert caught.value.problems[0].where == str(run_copy / unit)
    assert caught.value.problems[0].found == found


def test_scores_that_were_damaged_calibrate_nothing(run_copy: Path, inputs_folder: Path) -> None:
    path = run_copy / "members" / "untrained-last" / "logits" / "prior.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[4:40] = bytes(36)
    path.write_bytes(damaged)
    with pytest.raises(PetError, match="the patterns' priors as they were measured"):
        evaluate_run(run_copy, str(inputs_folder / "test.csv"), "ensemble", SILENT)
    record = read_record(run_copy / "soft_labels" / DONE)
    del record["priors"]  # as in former runs
    write_json(run_copy / "soft_labels" / DONE, with_digest(record))
    with pytest.raises(PetError, match="a file as it was written"):
        evaluate_run(run_copy, str(inputs_folder / "test.csv"), "ensemble", SILENT)


def test_an_ensemble_without_a_member_is_an_error_and_no_smaller_ensemble(
    run_copy: Path, inputs_folder: Path
) -> None:
    shutil.rmtree(run_copy / "members" / "g0-last-r0")
    with pytest.raises(PetError, match="g0-last-r0"):
        evaluate_run(run_copy, str(inputs_folder / "test.csv"), "ensemble", SILENT)
