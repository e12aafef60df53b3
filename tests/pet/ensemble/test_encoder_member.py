"""The encoder member in a whole run: taught, weighed, asked again, and never in the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pet.config import ModelRef
from pet.ensemble.logits import read_logits
from pet.ensemble.predictions import out_of_fold_logits
from pet.ensemble.weights import group_weights, member_weights
from pet.errors import InputError
from pet.finished import predictors
from pet.finished.finished_run import open_run
from pet.finished.inference import label_new_pool
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.reading import open_session
from pet.method.calibration import UNTRAINED, Scaling, fit_scaling
from pet.method.ensembling import combine
from pet.models.scoring import score_columns
from pet.models.sentence_encoder import POOLING, SentenceEncoder
from pet.pipeline import label_pool
from pet.progress import SILENT, no_tick
from pet.storage.files import read_json
from pet.storage.units import DONE
from pet.tasks.compilation import plain_encoder
from tests.pet.test_pipeline import Counter
from tests.support import samples
from tests.support.lineups import planned
from tests.support.run_files import scores_in
from tests.support.tiny_models import save_model

Configure = Callable[..., Any]


def pool_by(folder: Path, mode: str) -> None:
    """Say in a model's folder how its tokens become one vector."""
    (folder / POOLING).parent.mkdir()
    (folder / POOLING).write_text(json.dumps({mode: True}))


@pytest.fixture(scope="module")
def encoded(
    inputs_folder: Path, model_folder: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    out = tmp_path_factory.mktemp("encoded") / "run"
    config = samples.tiny_config(
        inputs_folder,
        model_folder("bert"),
        out,
        generations=1,
        growth_factor=1.5,
        encoder=str(model_folder("bert")),
        out_of_bag=samples.SHIPPED["out_of_bag"],
    )
    return config, label_pool(config)


def test_the_encoder_is_one_more_member_in_every_generation(encoded: Any) -> None:
    config, report = encoded
    assert "encoder-g1" in report["weights"] or "encoder-g0" in report["weights"]
    for stage in report["generations"]:
        assert sum(name.startswith("encoder-") for name in stage["members"]) == 1
    folder = Path(config.out) / "members" / "encoder-g0"
    assert (folder / "head.safetensors").is_file()
    assert not (folder / "model.safetensors").exists(), "the encoder is not copied"


def test_patterns_and_encoder_are_as_loud_as_rows_say_that_neither_had_seen(encoded: Any) -> None:
    config, report = encoded
    groups = group_weights(open_session(config), planned(open_session(config)))
    encoder = {name for name in report["weights"] if name.startswith("encoder-")}
    patterns = report["weights"].keys() - encoder
    assert [report["weights"][name] for name in encoder] == [groups.encoder]
    assert sum(report["weights"][name] for name in patterns) == pytest.approx(groups.patterns)


def test_the_encoder_is_taught_by_the_whole_generation_before(encoded: Any) -> None:
    """A single weak pattern would else undo what it has learned from the labeled rows."""
    config, report = encoded
    record = read_json(Path(config.out) / "members" / "encoder-g1" / DONE)
    assert record["teachers"] == report["generations"][0]["members"]


def test_a_model_asked_anew_says_what_was_written_down(encoded: Any, tmp_path: Path) -> None:
    """`--with ensemble` loads encoder and head again; kept scores came from kept embeddings."""
    config, _ = encoded
    run, out = Path(config.out), tmp_path / "labels"
    label_new_pool(run, config.pool, out, "ensemble", None, SILENT)
    record = read_json(run / "soft_labels" / DONE)
    members = [run / "members" / name / "logits" for name in record["weights"]]
    stack = np.stack([scores_in(folder) for folder in members])
    ensemble_scores = combine(stack, list(record["weights"].values()))
    parts = [pq.read_table(path) for path in sorted(out.glob("part-*.parquet"))]
    rows = [row for part in parts for row in part["probabilities"].to_pylist()]
    found = np.array([list(row.values()) for row in rows])
    scaling = Scaling(record["ensemble_temperature"], tuple(record["ensemble_offsets"]))
    expected = scaling.probabilities(ensemble_scores)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_text_is_embedded_once_for_all_encoder_members(
    config_for: Configure, model_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside patterns that never learn there are two of them, with one encoder."""
    config = config_for(
        encoder=str(model_folder("bert")), member={"steps": 0}, generations=2, growth_factor=1.5
    )
    label_pool(config)
    run, loaded = open_run(Path(config.out)), []
    load = predictors.load_sentence_encoder
    monkeypatch.setattr(
        predictors, "load_sentence_encoder", lambda *given: loaded.append(load(*given)) or loaded[0]
    )
    members, weights, scaling = predictors.read_ensemble(run)
    columns = unlabeled_rows(open_session(config)).columns
    found = predictors.ensemble_predictor(run)(columns, no_tick).probabilities
    stack = np.stack([scores_in(run.folder / "members" / m.name / "logits") for m in members])
    expected = scaling.probabilities(combine(stack, weights))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert sum(member.kind == "encoder" for member in members) == 2
    assert len(loaded) == 1


def test_another_encoder_under_the_same_name_is_refused(
    config_for: Configure, tmp_path: Path
) -> None:
    """Its vectors mean something else to the head."""
    folder = save_model("bert", tmp_path / "encoder")
    config = config_for(encoder=str(folder))
    label_pool(config)
    save_model("bert", folder, seed=1)
    other = tmp_path / "other.csv"  # of the run's own pool, what was scored is read back
    samples.write_csv(other, [("a market",)], ("text",))
    with pytest.raises(InputError, match="another model of that name"):
        label_new_pool(Path(config.out), str(other), tmp_path / "o", "ensemble", None, SILENT)


@pytest.mark.thorough
def test_another_pooling_of_the_same_model_makes_other_embeddings(
    config_for: Configure, tmp_path: Path
) -> None:
    folder = save_model("bert", tmp_path / "encoder")
    config = config_for(encoder=str(folder))
    label_pool(config)
    before = (Path(config.out) / "embeddings" / "test.parquet").read_bytes()
    pool_by(folder, "pooling_mode_cls_token")
    label_pool(config, update=True)
    assert (Path(config.out) / "embeddings" / "test.parquet").read_bytes() != before


def test_a_run_with_an_encoder_is_reused_whole(encoded: Any) -> None:
    config, _ = encoded
    counter = Counter()
    label_pool(config, observer=counter)
    assert set(counter.stages) == {"taking the pool's fingerprint", "labeling the pool"}


def test_the_embeddings_of_a_row_do_not_depend_on_its_batch(model_folder: Any) -> None:
    """Padding that is averaged in would move every short text."""
    model = SentenceEncoder.load(ModelRef(str(model_folder("bert"))), torch.device("cpu"))
    encoder = plain_encoder(model.tokenizer, ["text"], 40)
    texts = ["the game", "the rocket and the moon and the star and the planet were big", "news"]
    ensemble_scores = score_columns(model, encoder, {"text": texts}, 8192)
    for row, text in enumerate(texts):
        alone = score_columns(model, encoder, {"text": [text]}, 8192)
        np.testing.assert_allclose(alone[0], ensemble_scores[row], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ensemble_scores, axis=1), 1, atol=1e-5)


def test_members_that_are_not_trained_are_asked_as_they_are(
    config_for: Configure, model_folder: Any
) -> None:
    config = config_for(
        encoder=str(model_folder("bert")), member={"steps": 0}, generations=1, growth_factor=1.5
    )
    report = label_pool(config)
    assert set(report["generations"][1]["members"]) == {
        *(f"untrained-{name}" for name in samples.PATTERNS),
        "encoder-g0",
        "encoder-g1",
    }
    assert not list((Path(config.out) / "members").glob("g*"))


def test_without_labels_the_encoder_begins_when_there_are_rows_to_learn_from(
    config_for: Configure, model_folder: Any
) -> None:
    config = config_for(labeled=None, encoder=str(model_folder("bert")), generations=1)
    report = label_pool(config)
    assert not any(name.startswith("encoder") for name in report["generations"][0]["members"])
    assert "encoder-g1" in report["generations"][1]["members"]


def test_a_larger_labeled_set_does_not_ask_the_untrained_model_again(
    config_for: Configure, model_folder: Any, inputs_folder: Path, tmp_path: Path
) -> None:
    """A large teacher's zero-shot scores take an hour; they do not depend on the labels."""
    shared = {"encoder": str(model_folder("bert")), "member": {"steps": 0}, "test": None}
    config = config_for(generations=0, **shared)
    label_pool(config)
    rows = samples.labeled_rows()[:-2]
    samples.write_csv(tmp_path / "fewer.csv", rows, ("text", "label"))
    counter = Counter()
    label_pool(
        config_for(generations=0, labeled=str(tmp_path / "fewer.csv"), **shared),
        observer=counter,
        update=True,
    )
    asked = [stage for stage in counter.stages if stage.startswith("scoring")]
    on_pool = [stage for stage in asked if "on pool" in stage]
    assert on_pool, "the encoder member learns from the labels, so it is asked again"
    assert all("encoder-g0" in stage for stage in on_pool)


def test_a_pooling_that_is_not_known_is_refused_before_the_run(
    config_for: Configure, model_folder: Any, tmp_path: Path
) -> None:
    folder = save_model("bert", tmp_path / "encoder")
    pool_by(folder, "pooling_mode_max_tokens")
    config = config_for(encoder=str(folder))
    with pytest.raises(InputError, match="pooling by the mean or the first token"):
        label_pool(config)
    assert not Path(config.out).exists()


def test_the_first_token_is_the_embedding_where_the_model_says_so(
    model_folder: Any, tmp_path: Path
) -> None:
    folder = save_model("bert", tmp_path / "encoder")
    pool_by(folder, "pooling_mode_cls_token")
    model = SentenceEncoder.load(ModelRef(str(folder)), torch.device("cpu"))
    assert model.pooling == "cls"
    encoder = plain_encoder(model.tokenizer, ["text"], 40)
    found = score_columns(model, encoder, {"text": ["the game"]}, 8192)
    session = model.tokenizer("the game", return_tensors="pt")
    with torch.no_grad():
        hidden = model.module(**session).last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(found[0], hidden / np.linalg.norm(hidden), atol=1e-5)


def test_scores_of_the_encoder_member_are_its_heads(encoded: Any) -> None:
    from pet.method.linear_head import load_head

    run = Path(encoded[0].out)
    vectors = read_logits(run / "embeddings" / "test.parquet")[1]
    head = load_head(run / "members" / "encoder-g0")
    _, logits = read_logits(run / "members" / "encoder-g0" / "logits" / "test.parquet")
    np.testing.assert_allclose(logits, head.logits(vectors))


def test_what_was_not_learned_sets_how_sure_the_ensemble_may_be(
    config_for: Configure, model_folder: Any
) -> None:
    config = config_for(encoder=str(model_folder("bert")), member={"steps": 0}, generations=0)
    report = label_pool(config)
    session = open_session(config)
    members = planned(session).generations[0]
    found = out_of_fold_logits(
        session, planned(session), members, member_weights(session, planned(session), members)
    )
    assert found is not None
    best = fit_scaling(found[1], session.labeled.labels[found[0]], expected=UNTRAINED)
    # Not the same: the patterns' own offsets are there before it.
    assert report["ensemble_temperature"] == pytest.approx(best.temperature, rel=0.02)
    assert list(report["ensemble_offsets"].values()) == pytest.approx(best.offsets, abs=0.1)
    assert report["labeled"]["unseen"] is True
    name = next(name for name in report["weights"] if name.startswith("encoder-"))
    record = read_json(Path(config.out) / "members" / name / DONE)
    measured = report["labeled"]["encoder"]["accuracy"]
    assert measured == pytest.approx(record["cross_validated_accuracy"], abs=1e-4)


def test_a_handful_of_labeled_rows_starts_like_none_at_all(config_for: Configure) -> None:
    """Ten rows make a small model forget more than they teach it."""
    report = label_pool(config_for(train_from=5, generations=1, growth_factor=1.5))
    assert all(name.startswith("untrained-") for name in report["generations"][0]["members"])
    assert all(name.startswith("g1-") for name in report["generations"][1]["members"])
    again = label_pool(config_for(train_from=4, generations=0), update=True)
    assert all(name.startswith("g0-") for name in again["weights"])
