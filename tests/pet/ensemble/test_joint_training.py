"""One model trained by all patterns on the labeled rows, and what it says of these rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.ensemble import joint_training
from pet.ensemble.joint_training import labeled_scores
from pet.ensemble.logits import read_logits
from pet.ensemble.predictions import has_clean_teachers
from pet.errors import InputError
from pet.finished.inference import label_new_pool
from pet.inputs.reading import open_session
from pet.pipeline import label_pool
from pet.progress import SILENT, Notes
from pet.storage.files import read_json
from pet.storage.units import DONE
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.lineups import planned

Configure = Callable[..., Any]

PATTERN = "last"  # the one that ends in the mask, as causal models need it

SETTINGS: dict[str, Any] = {
    "joint": {"steps": 6},
    "member": {"steps": 0},
    "lora": {"rank": 2},
}


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint_training, "JOINT_ROWS", 2)


@pytest.fixture
def always_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint_training, "is_clearly_higher", lambda losses, others: False)


def scores_of(config: Any) -> np.ndarray:
    return labeled_scores(Path(config.out), [PATTERN])[0]


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_what_was_trained_jointly_is_what_is_asked(
    config_for: Configure, model_folder: ModelFolder, always_kept: None, kind: str, tmp_path: Path
) -> None:
    config = config_for(model=str(model_folder(kind)), **SETTINGS)
    report = label_pool(config)
    folder = Path(config.out) / "joint"
    own = (folder / "model.safetensors").read_bytes()
    assert own != (model_folder(kind) / "model.safetensors").read_bytes()
    assert len(read_json(folder / DONE)["losses"]) == 6
    assert f"untrained-{PATTERN}" in report["weights"]
    _, _, counts = label_new_pool(
        Path(config.out), config.pool, tmp_path / "labels", "ensemble", None, SILENT
    )
    assert counts["rows"] == 37


def test_the_label_of_a_row_does_not_move_its_own_score(
    config_for: Configure, always_kept: None, own_inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the folds held fixed, another label of a row changes what is said of others only."""
    monkeypatch.setattr(
        joint_training, "folds_of", lambda labels, folds, rng: np.arange(len(labels)) % folds
    )
    before = config_for(inputs=own_inputs, calibration="none", **SETTINGS)
    label_pool(before)
    texts = (own_inputs / "labeled.csv").read_text().splitlines()
    flipped = next(label for label in samples.LABELS if not texts[1].endswith(label))
    texts[1] = f"{texts[1].rpartition(',')[0]},{flipped}"
    (own_inputs / "labeled.csv").write_text("\n".join(texts) + "\n")
    out = Path(before.out).parent / "flipped"
    after = config_for(out=out, inputs=own_inputs, calibration="none", **SETTINGS)
    label_pool(after)
    same = np.arange(len(texts) - 1) % joint_training.FOLDS == 0
    np.testing.assert_array_equal(scores_of(before)[same], scores_of(after)[same])
    assert not np.array_equal(scores_of(before)[~same], scores_of(after)[~same])
    written = out / "members" / f"untrained-{PATTERN}" / "logits" / "labeled.parquet"
    np.testing.assert_array_equal(read_logits(written)[1], scores_of(after))


def test_a_teacher_that_training_makes_worse_stays_as_it_is(
    config_for: Configure, model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([np.full(12, 1.0), np.full(12, 2.0)])
    monkeypatch.setattr(joint_training, "_log_losses", lambda scores, labels: next(losses))
    listener = samples.Listener()
    config = config_for(**SETTINGS)
    label_pool(config, observer=listener)
    record = read_json(Path(config.out) / "joint" / DONE)
    assert not record["kept"]
    assert record["log_loss"] == {"untrained": 1.0, "trained": 2.0}
    assert any("the teacher stays as it is" in line for line in listener.said)
    plain = config_for(out=Path(config.out).parent / "plain", member={"steps": 0})
    label_pool(plain)
    for name in ("labeled", "test", "part-00000"):
        one, other = (
            Path(c.out) / "members" / f"untrained-{PATTERN}" / "logits" / f"{name}.parquet"
            for c in (config, plain)
        )
        np.testing.assert_allclose(read_logits(one)[1], read_logits(other)[1], atol=1e-5)


def test_a_handful_of_labeled_rows_leaves_the_teacher_as_it_is(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ten, the labels of a pool of films became worse by two points."""
    monkeypatch.setattr(joint_training, "JOINT_ROWS", 13)
    listener = Notes()
    report = label_pool(config_for(**SETTINGS), observer=listener)
    assert any("takes 13 labeled rows, there are 12" in line for line in listener.take())
    assert not any(own["trained"] for own in report["members"].values())


def test_a_run_without_labeled_rows_trains_nothing_jointly(config_for: Configure) -> None:
    config = config_for(labeled=None, **SETTINGS)
    label_pool(config)
    assert not (Path(config.out) / "joint").exists()


def test_members_are_not_trained_on_top_of_what_has_learned_their_held_out_rows(
    config_for: Configure,
) -> None:
    with pytest.raises(InputError, match=r"(?s)joint\.steps, 2.*0 where members are trained"):
        label_pool(config_for(joint={"steps": 2}))


def test_a_figure_of_the_trained_teacher_is_not_reported_as_zero_shot(
    config_for: Configure, always_kept: None
) -> None:
    report = label_pool(config_for(**SETTINGS))
    for source in ("labeled", "test"):
        pattern = report[source]["patterns"][PATTERN]
        assert "zero_shot" not in pattern
        assert pattern["trained"]["rows"] == report["sets"][source]["rows"]
    assert all(member["trained"] for member in report["members"].values())


def test_an_encoder_is_not_measured_on_rows_that_its_teacher_has_learned(
    config_for: Configure, model_folder: ModelFolder, always_kept: None
) -> None:
    """Its teachers in generation 1 have learned from every labeled row."""
    encoder = str(model_folder("bert"))
    config = config_for(encoder=encoder, generations=1, growth_factor=1.5, **SETTINGS)
    label_pool(config)
    session = open_session(config)
    lineup = planned(session)
    of = {
        member.generation: member
        for own in lineup.generations
        for member in own
        if member.kind == "encoder"
    }
    assert has_clean_teachers(session, lineup, of[0])
    assert not has_clean_teachers(session, lineup, of[1])
