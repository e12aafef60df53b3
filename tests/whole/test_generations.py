"""What the method's options change in a whole run: generations, zero-shot start, adaptation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.ensemble.member_models import prior_offset
from pet.ensemble.member_scoring import measure_prior
from pet.ensemble.member_training import train_member
from pet.ensemble.members import Member, untrained_members
from pet.errors import InputError
from pet.inputs.pool_sample import sample_pool, unlabeled_rows
from pet.inputs.reading import open_session
from pet.models import scoring
from pet.pipeline import label_pool
from pet.settings import make_config
from pet.storage.files import read_json
from pet.storage.units import DONE
from pet.tasks.task import load_task
from tests.support import samples
from tests.support.lineups import named, planned
from tests.support.marks import thorough

Configure = Callable[..., Any]


@pytest.fixture(scope="module")
def grown(inputs_folder: Path, model_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("grown") / "run"
    config = samples.tiny_config(
        inputs_folder, model_folder("bert"), out, generations=2, growth_factor=1.5
    )
    return config, label_pool(config)


def test_every_generation_that_was_asked_for_is_trained_and_reported(grown: Any) -> None:
    config, report = grown
    trained = {path.name.split("-")[0] for path in (Path(config.out) / "members").glob("g*")}
    assert {"g0", "g1"} <= trained <= {"g0", "g1", "g2"}
    assert len(report["generations"]) == len(trained)
    for stage in report["generations"]:
        assert 0 <= stage["agreement"] <= 1
        assert sum(stage["shares"].values()) == pytest.approx(1, abs=1e-3)


def test_a_member_of_a_generation_is_not_taught_by_itself(grown: Any) -> None:
    session = open_session(grown[0])
    for member in planned(session).generations[1]:
        record = read_json(Path(grown[0].out) / "members" / member.name / DONE)
        assert record["teachers"] == [teacher.name for teacher in planned(session).teachers[member]]
        assert Member(member.pattern, member.repetition, 0).name not in record["teachers"]


def test_drawn_rows_are_never_rows_of_the_labeled_set(grown: Any) -> None:
    from pet.inputs.pool_sample import load_unlabeled

    unlabeled = load_unlabeled(Path(grown[0].out))
    known = {row for row, ok in zip(unlabeled.ids, unlabeled.trainable, strict=True) if not ok}
    assert known
    for path in (Path(grown[0].out) / "members").glob("g1-*/done.json"):
        assert not known & set(json.loads(path.read_text())["drawn"]["rows"])


def test_a_second_start_draws_nothing_anew(grown: Any) -> None:
    config, _ = grown
    before = {p: p.stat().st_mtime_ns for p in Path(config.out).glob("members/*/done.json")}
    label_pool(config)
    assert before == {p: p.stat().st_mtime_ns for p in Path(config.out).glob("members/*/done.json")}


@pytest.mark.parametrize("generations", [0, 1])
def test_a_run_without_any_label_starts_from_words_alone(
    config_for: Configure, generations: int
) -> None:
    config = config_for(labeled=None, generations=generations)
    report = label_pool(config)
    assert "labeled" not in report
    assert "supervised" not in report["test"]
    assert sum(report["labels"]["counts"].values()) == report["labels"]["rows"] > 0
    assert set(report["weights"].values()) == {1.0}


def test_patterns_that_know_less_than_the_commonest_label_are_trained_at_once_and_it_is_said(
    config_for: Configure, tmp_path: Path
) -> None:
    """Their labels of the pool would be worth less than no look at it."""
    rows = [(text, samples.LABELS[0]) for text, _ in samples.labeled_rows()[:11]]
    samples.write_csv(tmp_path / "odd.csv", [*rows, ("the moon", "space")], ("text", "label"))
    listener = samples.Listener()
    config = config_for(labeled=str(tmp_path / "odd.csv"), train_from=100)
    report = label_pool(config, observer=listener)
    assert all(name.startswith("g0-") for name in report["weights"])
    assert [line for line in listener.said if line.startswith("zero-shot, the patterns")]


@pytest.mark.parametrize(
    ("switch", "changed"),
    [
        ({"drawn_labels": "hard"}, {"g1"}),
        ({"lm_weight": 0.1}, {"g0", "g1"}),
        ({"adapt_steps": 2}, {"g0", "g1"}),
    ],
    ids=["hard drawn labels", "auxiliary loss", "adaptation"],
)
def test_a_switch_of_the_training_trains_other_members(
    config_for: Configure, grown: Any, switch: dict[str, Any], changed: set[str]
) -> None:
    """Each by itself: of several at once, one alone would make others of all members."""
    config = config_for(generations=1, growth_factor=1.5, **switch)
    label_pool(config)
    adapted = Path(config.out) / "adapted" / "model.safetensors"
    assert adapted.exists() == ("adapt_steps" in switch)
    member = "category-r0/model.safetensors"
    for name in ("g0", "g1"):
        own, other = (Path(c.out) / "members" / f"{name}-{member}" for c in (config, grown[0]))
        assert (own.read_bytes() != other.read_bytes()) == (name in changed)


@pytest.mark.parametrize(
    "calibration",
    [
        "half-matched",
        "none",
        *thorough("matched", "pool", "content-free"),
    ],
)
def test_each_calibration_runs_and_its_offset_has_mean_zero(
    config_for: Configure, calibration: str
) -> None:
    config = config_for(calibration=calibration)
    label_pool(config)
    pattern = open_session(config).task.patterns[0].name
    offset = prior_offset(config, load_task(config.task), Path(config.out), pattern)
    if calibration == "none":
        assert offset is None
    else:
        assert offset is not None
        assert offset.mean() == pytest.approx(0, abs=1e-6)


def test_the_papers_settings_run_from_end_to_end(
    inputs_folder: Path, model_folder: Any, tmp_path: Path
) -> None:
    """Nobody here has RoBERTa-large; but every switch that the preset throws is thrown here."""
    few = {"steps": 1, "batch_size": 4}
    config = make_config(
        {
            "task": str(inputs_folder / "task.toml"),
            "preset": "paper",
            "max_length": 32,
            "labeled": str(inputs_folder / "labeled.csv"),
            "out": str(tmp_path / "run"),
            "pool": str(inputs_folder / "pool.parquet"),
            "model": str(model_folder("roberta")),
            "member": few,
            "student": few,
            "supervised": few,
        }
    )
    assert (config.lm_weight, config.drawn_labels, config.train_from) == (1e-4, "hard", 0)
    report = label_pool(config)
    assert len(report["generations"]) >= 2
    assert len(report["generations"][0]["members"]) == 3 * len(samples.PATTERNS)
    assert not list((tmp_path / "run").rglob("prior.parquet"))


def test_growing_ends_with_the_generation_that_has_the_whole_pool(config_for: Configure) -> None:
    report = label_pool(config_for(generations=4, growth_factor=50))
    assert len(report["generations"]) == 2


def test_a_folder_that_is_not_a_run_is_left_alone(
    config_for: Configure, model_folder: Any, tmp_path: Path
) -> None:

    foreign = Path(shutil.copytree(model_folder("bert"), tmp_path / "a-model"))
    before = sorted(path.name for path in foreign.iterdir())
    with pytest.raises(InputError, match="a folder with other files"):
        label_pool(config_for(out=foreign))
    assert sorted(path.name for path in foreign.iterdir()) == before


def test_the_auxiliary_loss_does_not_tokenise_the_pool_for_every_member(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    once = scoring.tokenize

    def note(tokenizer: Any, texts: list[str], *more: Any) -> Any:
        counts.append(len(texts))
        return once(tokenizer, texts, *more)

    config = config_for(lm_weight=0.1, out_of_bag=0, student={"steps": 0})
    session = open_session(config)
    sample_pool(session)
    for member in untrained_members(session.task):
        measure_prior(session, [member])
    monkeypatch.setattr(scoring, "tokenize", note)
    for member in planned(session).first:
        train_member(session, named(session), member)
    slots = 2  # the text behind a space, and at the beginning
    assert counts.count(len(unlabeled_rows(session))) == slots < len(planned(session).first)
