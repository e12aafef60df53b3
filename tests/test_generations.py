"""What the method's options change in a whole run: generations, zero-shot start, adaptation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pet.encoding import Batch
from pet.ensembling import calibration_offset, softmax
from pet.inputs import read_inputs
from pet.members import Member, members_of, prior_offset, teachers_of
from pet.models import _mask_tokens
from pet.pipeline import label_pool
from pet.runs import DONE, read_json
from tests import tiny_models

Configure = Callable[..., Any]


@pytest.fixture(scope="module")
def grown(inputs_folder: Path, model_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests import samples

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
    inputs = read_inputs(grown[0])
    for member in members_of(inputs, 1):
        record = read_json(Path(grown[0].out) / "members" / member.name / DONE)
        assert record["teachers"] == [teacher.name for teacher in teachers_of(inputs, member)]
        assert Member(member.pattern, member.repetition, 0).name not in record["teachers"]


def test_drawn_rows_are_never_rows_of_the_labeled_set(grown: Any) -> None:
    from pet.sampling import load_unlabeled

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


def test_soft_drawn_labels_and_the_auxiliary_loss_train_other_members(
    config_for: Configure, grown: Any
) -> None:
    config = config_for(
        generations=1, growth_factor=1.5, drawn_labels="soft", lm_weight=0.1, adapt_steps=2
    )
    label_pool(config)
    folder = Path(config.out)
    assert (folder / "adapted" / "model.safetensors").exists()
    for name in ("g0", "g1"):
        own, other = (next((Path(c.out) / "members").glob(f"{name}-*")) for c in (config, grown[0]))
        assert (own / "model.safetensors").read_bytes() != (
            other / "model.safetensors"
        ).read_bytes()


@pytest.mark.parametrize("calibration", ["pool", "content-free", "none"])
def test_each_calibration_runs_and_its_offset_has_mean_zero(
    config_for: Configure, calibration: str
) -> None:
    config = config_for(calibration=calibration)
    label_pool(config)
    pattern = read_inputs(config).task.patterns[0].name
    offset = prior_offset(config, Path(config.out), pattern)
    if calibration == "none":
        assert offset is None
    else:
        assert offset is not None
        assert offset.mean() == pytest.approx(0, abs=1e-6)


def test_calibration_takes_out_a_prior_that_is_known_by_hand() -> None:
    # Every text is said to be label 0 with probability 0.8: after the offset, none is preferred.
    logits = np.log(np.tile([0.8, 0.2], (5, 1)))
    assert softmax(logits + calibration_offset(logits)) == pytest.approx(np.full((5, 2), 0.5))


def test_hidden_tokens_are_never_special_padding_or_the_patterns_own_mask() -> None:
    tokenizer = tiny_models.wordpiece_tokenizer()
    words = list(range(len(tokenizer)))
    plain = [word for word in words if word not in tokenizer.all_special_ids][:8]
    row = [tokenizer.cls_token_id, *plain, tokenizer.mask_token_id, tokenizer.sep_token_id]
    ids = np.array([row + [tokenizer.pad_token_id] * 3] * 400)
    attention = (ids != tokenizer.pad_token_id).astype(np.int64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hidden, targets, (rows, columns) = _mask_tokens(
            Batch(ids, attention, None, np.zeros((400, 1), np.int64)), tokenizer
        )
    assert set(targets.tolist()) <= set(plain)
    assert (ids[rows, columns] == targets).all()
    assert len(targets) / (400 * len(plain)) == pytest.approx(0.15, abs=0.02)
    masked = (hidden.ids[rows, columns] == tokenizer.mask_token_id).mean()
    assert masked == pytest.approx(0.8, abs=0.05)
    untouched = np.ones_like(ids, dtype=bool)
    untouched[rows, columns] = False
    assert (hidden.ids == ids)[untouched].all()
