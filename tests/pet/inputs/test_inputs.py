"""What a run starts from: all problems at once, digests of content, the patterns that fit."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError, PetError
from pet.inputs.inputs import table_digest
from pet.inputs.run_tables import read_tables
from pet.inputs.session import open_session
from pet.progress import NOTES
from pet.tasks.encoding import TextSlot
from tests.conftest import ModelFolder
from tests.support import samples

Configure = Callable[..., Any]


def test_good_inputs_are_read_and_named_by_content(config_for: Configure) -> None:
    session = open_session(config_for())
    assert len(session.labeled) == 12
    assert session.test is not None
    assert len(session.test) == 9
    assert session.pool.count_rows() == 40
    assert set(session.digests) >= {"model", "student_model", "labeled", "pool", "test"}
    assert session.digests["student_model"] == session.digests["model"]
    assert not session.folder.exists(), "reading wrote something"


def test_the_problems_of_all_files_come_at_once(config_for: Configure, own_inputs: Path) -> None:
    samples.write_csv(own_inputs / "labeled.csv", [("x", "sprot")], ("text", "label"))
    samples.write_csv(own_inputs / "test.csv", [("x", "sport")], ("words", "label"))
    (own_inputs / "pool.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="sprot") as caught:
        open_session(
            config_for(inputs=own_inputs, model="./no/such/model", student_model="./nor/this")
        )
    places = " ".join(problem.where for problem in caught.value.problems)
    for name in ("labeled.csv", "test.csv", "pool.parquet", "./no/such/model", "./nor/this"):
        assert name in places


def test_a_broken_task_file_is_reported_with_a_missing_model(
    config_for: Configure, own_inputs: Path
) -> None:
    (own_inputs / "task.toml").write_text("labels = 3")
    with pytest.raises(InputError, match=r"task\.toml") as caught:
        open_session(config_for(inputs=own_inputs, model="./no/such/model"))
    assert any("./no/such/model" in problem.where for problem in caught.value.problems)


def test_a_word_that_the_model_cannot_write_is_reported_once_with_its_patterns(
    config_for: Configure, own_inputs: Path
) -> None:
    text = samples.task_toml().replace('business = "business"', 'business = "zebra"')
    (own_inputs / "task.toml").write_text(text)
    with pytest.raises(InputError, match="zebra") as caught:
        open_session(config_for(inputs=own_inputs))
    [problem] = caught.value.problems
    assert all(f"pattern {name}" in problem.where for name in samples.PATTERNS)


def test_a_causal_model_leaves_out_what_it_cannot_ask_and_says_so(
    config_for: Configure, model_folder: ModelFolder
) -> None:
    listener = samples.Listener()
    session = open_session(config_for(model=str(model_folder("gpt2"))), listener)
    assert [pattern.name for pattern in session.task.patterns] == ["last"]
    assert len(listener.said) == 1
    assert "category, bracket" in listener.said[0]


def test_a_labeled_set_is_named_by_its_content_wherever_it_lies(
    config_for: Configure, own_inputs: Path
) -> None:
    first = table_digest(read_tables(config_for()).labeled)
    assert table_digest(read_tables(config_for(inputs=own_inputs)).labeled) == first
    rows = [*samples.labeled_rows()[:-1], ("big money in the bank", "business")]
    samples.write_csv(own_inputs / "labeled.csv", rows, ("text", "label"))
    assert table_digest(read_tables(config_for(inputs=own_inputs)).labeled) != first


def test_a_max_length_beyond_the_models_positions_is_refused(config_for: Configure) -> None:
    with pytest.raises(InputError, match="max_length"):
        open_session(config_for(max_length=512))


def test_inputs_that_travel_arrive_once_and_leave_what_is_heavy_behind(
    config_for: Configure,
) -> None:
    session = open_session(config_for())
    session.tokens["pool"] = {TextSlot("text", False): object()}  # type: ignore[dict-item]
    sent = pickle.dumps(session)
    there, again = pickle.loads(sent), pickle.loads(sent)
    assert there is again
    assert not there.tokens
    assert there.observer is NOTES
    assert there.inputs.run_id == session.inputs.run_id
    assert there.pool.files == session.pool.files
    assert there.labeled.columns == session.labeled.columns
    other = pickle.loads(pickle.dumps(open_session(config_for(seed=7))))
    assert other is not there
    assert other.config.seed == 7


def test_a_run_has_one_name_wherever_its_encoder_and_its_start_lie(
    config_for: Configure, adapted_runs: dict[str, Path], model_folder: ModelFolder, tmp_path: Path
) -> None:
    """The same run, made again on another machine, would pass for another one."""
    encoder = shutil.copytree(model_folder("bert"), tmp_path / "encoder")
    start = shutil.copytree(adapted_runs["lora"], tmp_path / "moved")
    settings = samples.adapted("lora", encoder=str(model_folder("bert")))
    here = open_session(config_for(**settings, init_from=str(adapted_runs["lora"])))
    settings["encoder"] = str(encoder)
    assert (
        open_session(config_for(**settings, init_from=str(start))).inputs.run_id
        == here.inputs.run_id
    )
    names = {open_session(config_for(**settings)).inputs.run_id, here.inputs.run_id}
    settings["encoder"] = str(model_folder("roberta"))
    names.add(open_session(config_for(**settings, init_from=str(start))).inputs.run_id)
    assert len(names) == 3


def test_work_for_another_device_is_refused_where_it_arrives(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = pickle.dumps(open_session(config_for(device="auto")))
    monkeypatch.setattr("pet.inputs.session.choose_device", lambda name: "cuda")
    with pytest.raises(PetError, match="expected: the device cpu"):
        pickle.loads(sent)
