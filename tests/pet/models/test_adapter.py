"""Adapters of every kind on models of every kind: computed, trained, kept, loaded, switched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pet.config import ModelRef, RunConfig, TrainingConfig
from pet.errors import InputError
from pet.models.adapter import Adapter, read_settings, save_adapter
from pet.models.adapter_kinds import load_adapter, start_adapter
from pet.models.cloze_model import ClozeModel
from pet.models.model import Classifier
from pet.models.peft_adapter import add_lora, merge_lora
from pet.models.scoring import score
from pet.models.training import cross_entropy, one_hot, train
from tests.support.cloze import (
    CPU,
    TEXTS,
    encoder_for,
    load_cloze,
    plain_batchable,
    tokenized,
)

ModelFolder = Callable[[str], Path]
TUNINGS = ("lora", "prefix", "soft-prompt")
KINDS = ("bert", "roberta", "llama")
OTHERS = ("top-1", "layer-norm", "bitfit", "dora", "ia3", "houlsby", "pfeiffer")
WAYS = (*OTHERS, *TUNINGS)
PAIRS = [
    *((kind, tuning) for kind in KINDS for tuning in TUNINGS),
    *(("bert", tuning) for tuning in OTHERS),
]
ARCHITECTURES = (
    *("bert", "roberta", "albert", "deberta", "modernbert", "electra", "xlm_roberta", "mpnet"),
    *("distilbert", "gpt2", "llama", "qwen", "granite", "bloom", "opt", "bart"),
    *("t5", "flan"),
)
NO_BIASES = "llama", "modernbert", "granite", "t5", "flan"
REFUSED = {
    "bitfit": NO_BIASES,
    "top-1": ("albert",),  # one layer, computed again
    "prefix": (
        "deberta",
        "mpnet",
        "bloom",
        "bart",
        "t5",
        "flan",
    ),  # attention of their own; a decoder
    "soft-prompt": ("bart",),
}
QUICK = (
    ("albert", "houlsby"),
    ("gpt2", "dora"),
    ("bart", "top-1"),
    ("llama", "bitfit"),
    ("t5", "soft-prompt"),
)
MATRIX = [
    pytest.param(kind, way, marks=() if (kind, way) in QUICK else pytest.mark.thorough)
    for kind in ARCHITECTURES
    for way in WAYS
]
TEMPLATE = "it was {text} news: {mask}"  # the mask is last, so that a causal model can use it
REFERENCE = {"ref": "models/tiny", "revision": None, "digest": "d"}


def settings(tuning: str = "lora", **more: Any) -> RunConfig:
    return RunConfig(
        task="t",
        pool="p",
        out="o",
        model="m",
        lora={"rank": 2},
        bottleneck={"width": 4},
        prefix={"length": 3, "width": 8, **more},
        soft_prompt={"length": 3, **more},
        member={"tuning": tuning},
    )


def start(model: ClozeModel, tuning: str, seed: int = 1, **more: Any) -> ClozeModel:
    """The model with a new adapter."""
    model.module.requires_grad_(False)
    encoder = encoder_for(model.tokenizer, TEMPLATE, reading=model.reading)
    return model.with_adapter(start_adapter(model, settings(tuning, **more), encoder, seed))


def test_tokens_behind_the_embeddings_are_neither_drawn_nor_started_from(
    model_folder: ModelFolder,
) -> None:
    """Tokens that were added for others are no reason to refuse a model, nor to fail in training.

    Of 5,000 of them, one would be drawn at once.
    """
    model = load_cloze(model_folder("bert"))
    usual, rows = len(model.tokenizer), model.vocabulary
    assert usual == rows, "an ordinary model draws from all its words"
    model.tokenizer.add_tokens([f"<image {number}>" for number in range(5000)])
    assert model.vocabulary == rows
    encoder = encoder_for(model.tokenizer, TEMPLATE)
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        losses = [
            model.language_model_loss(encoder, texts, np.arange(len(TEXTS))) for _ in range(20)
        ]
    assert np.isfinite(losses).all()
    for tuning in ("prefix", "soft-prompt"):
        assert start(model, tuning, init="vocabulary").adapter is not None


def disturb(adapter: Adapter) -> None:
    """Change every weight, as a training would."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.parameters().values():
            parameter.add_(torch.randn_like(parameter))


def fit(worn: ClozeModel, steps: int) -> list[float]:
    """Train on the texts; return the losses."""
    assert worn.adapter is not None
    encoder = encoder_for(
        worn.tokenizer, TEMPLATE, reading=worn.reading, prompt_length=worn.adapter.prompt_length
    )
    texts = tokenized(encoder, worn.tokenizer, {"text": TEXTS})
    return train(
        worn,
        encoder,
        texts,
        np.arange(4),
        cross_entropy(one_hot(np.array([0, 1, 2, 0]), 3), CPU),
        TrainingConfig(steps=steps, batch_size=4),
        warmup=0.0,
        seed=1,
        tokens_per_batch=512,
        auxiliary=lambda rows: 1e-4 * worn.language_model_loss(encoder, texts, np.arange(rows)),
    )


def note(model: ClozeModel, template: str = TEMPLATE, words: Any = None) -> Tensor:
    """What the model says of some texts. [rows, labels]"""
    length = 0 if model.adapter is None else model.adapter.prompt_length
    encoder = encoder_for(
        model.tokenizer, template, reading=model.reading, words=words, prompt_length=length
    )
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    with torch.no_grad():
        return model.outputs(encoder, texts, np.arange(len(TEXTS)))


@pytest.mark.parametrize(("kind", "tuning"), PAIRS)
def test_an_adapter_is_the_same_in_a_fresh_model_after_it_was_kept(
    model_folder: ModelFolder, tmp_path: Path, kind: str, tuning: str
) -> None:
    """Heads and prompts that are lost, or drawn anew, on reload leave a zero-shot model."""
    is_kept_whole(model_folder, tmp_path, kind, tuning)


@pytest.mark.parametrize(("kind", "tuning"), MATRIX)
def test_every_way_of_tuning_works_on_every_architecture_or_is_refused_before_training(
    model_folder: ModelFolder, tmp_path: Path, kind: str, tuning: str
) -> None:
    """Layers that are found by name would be none, silently, under another name."""
    if kind in REFUSED.get(tuning, ()):
        with pytest.raises(InputError, match=r"setting member\.tuning"):
            start(load_cloze(model_folder(kind)), tuning)
    else:
        is_kept_whole(model_folder, tmp_path, kind, tuning)


def is_kept_whole(model_folder: ModelFolder, tmp_path: Path, kind: str, tuning: str) -> None:
    """Start an adapter, take one step, keep it, read it back into another model."""
    model = load_cloze(model_folder(kind))
    untrained = note(model)
    worn = start(model, tuning)
    assert worn.adapter is not None
    fit(worn, steps=1)
    disturb(worn.adapter)
    tuned = note(worn)
    assert not torch.equal(tuned, untrained)
    assert torch.equal(note(model), untrained)
    save_adapter(worn.adapter, tmp_path, REFERENCE)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "backbone.json",
    ]
    fresh = load_cloze(model_folder(kind))
    again = fresh.with_adapter(load_adapter(fresh.module, tmp_path))
    assert torch.allclose(note(again), tuned, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_members_on_one_backbone_do_not_see_each_other(
    model_folder: ModelFolder, tmp_path: Path, kind: str
) -> None:
    """An adapter that stays in force would answer for the untrained members too."""
    model = load_cloze(model_folder(kind))
    untrained = note(model)
    ways = "prefix", "lora", "soft-prompt", "pfeiffer", "layer-norm"
    worn = {tuning: start(model, tuning) for tuning in ways}
    worn |= {f"another {tuning}": start(model, tuning, seed=2) for tuning in ("lora", "layer-norm")}
    for own in worn.values():
        assert own.adapter is not None
        own.module.eval()
        disturb(own.adapter)
    alone = {}
    for name, own in worn.items():
        assert own.adapter is not None
        save_adapter(own.adapter, tmp_path / name, REFERENCE)
        fresh = load_cloze(model_folder(kind))
        alone[name] = note(fresh.with_adapter(load_adapter(fresh.module, tmp_path / name)))
    for name in (*worn, *worn):
        assert torch.allclose(note(worn[name]), alone[name], atol=1e-5)
        assert torch.equal(note(model), untrained)


@pytest.mark.parametrize(("kind", "tuning"), PAIRS)
def test_training_changes_the_adapter_and_nothing_of_the_backbone(
    model_folder: ModelFolder, kind: str, tuning: str
) -> None:
    model = load_cloze(model_folder(kind))
    before = {name: own.clone() for name, own in model.module.state_dict().items()}
    worn = start(model, tuning)
    assert worn.adapter is not None
    first = {name: own.clone() for name, own in worn.adapter.weights().items()}
    losses = fit(worn, steps=12)
    assert losses[-1] < losses[0]
    for name, own in worn.adapter.weights().items():
        assert not torch.equal(own, first[name]), name
    model.active_adapter.set(None)
    after = model.module.state_dict()
    for name, value in before.items():
        assert torch.equal(after.get(name, after.get(_wrapped(name))), value), name


def _wrapped(name: str) -> str:
    """Where peft puts a layer's own weight."""
    place, _, own = name.rpartition(".")
    return f"{place}.base_layer.{own}"


@pytest.mark.parametrize(("kind", "tuning"), PAIRS)
def test_what_an_adapted_model_says_does_not_depend_on_the_rows_beside(
    model_folder: ModelFolder, kind: str, tuning: str
) -> None:
    """Padding that is attended to, or that shifts positions, would."""
    worn = start(load_cloze(model_folder(kind)), tuning)
    assert worn.adapter is not None
    disturb(worn.adapter)
    encoder = encoder_for(
        worn.tokenizer, TEMPLATE, reading=worn.reading, prompt_length=worn.adapter.prompt_length
    )
    texts = tokenized(encoder, worn.tokenizer, {"text": TEXTS})
    together = score(worn, encoder, texts, tokens_per_batch=512)
    alone = [
        score(worn, encoder, texts, np.array([row]), tokens_per_batch=512)[0]
        for row in range(len(TEXTS))
    ]
    assert np.allclose(together, np.stack(alone), atol=1e-4)


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_words_of_several_tokens_are_scored_with_an_adapter_too(
    model_folder: ModelFolder, kind: str, tuning: str
) -> None:
    words = {"a": ("sportsman",), "b": ("space",), "c": ("rockets", "moon")}
    worn = start(load_cloze(model_folder(kind)), tuning)
    untrained = note(worn.with_adapter(None), words=words)
    assert worn.adapter is not None
    disturb(worn.adapter)
    tuned = note(worn, words=words)
    assert torch.isfinite(tuned).all()
    assert not torch.allclose(tuned, untrained, atol=1e-3)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft's own
@pytest.mark.parametrize("tuning", ["lora", "dora", "ia3"])
def test_what_is_kept_of_peft_is_what_peft_loads(
    model_folder: ModelFolder, tmp_path: Path, tuning: str
) -> None:
    import peft
    from transformers import AutoModelForMaskedLM

    worn = start(load_cloze(model_folder("bert")), tuning)
    assert worn.adapter is not None
    disturb(worn.adapter)
    save_adapter(worn.adapter, tmp_path, REFERENCE)
    module = AutoModelForMaskedLM.from_pretrained(model_folder("bert"))
    theirs = peft.PeftModel.from_pretrained(module, tmp_path).eval()
    ids = torch.arange(5, 25)[None]
    worn.active_adapter.set(worn.adapter)
    with torch.no_grad():
        ours = worn.module(input_ids=ids).logits
        assert torch.allclose(theirs(input_ids=ids).logits, ours, atol=1e-5)


@pytest.mark.parametrize("kind", [*KINDS, "gpt2"])
def test_a_student_trained_by_lora_is_a_plain_model(
    model_folder: ModelFolder, tmp_path: Path, kind: str
) -> None:
    """Nobody who loads a student should need peft, nor find the head drawn anew."""
    from transformers import AutoModelForSequenceClassification

    model = Classifier.fresh(ModelRef(str(model_folder(kind))), ("a", "b", "c"), CPU, 1)
    config = RunConfig(task="t", pool="p", out="o", model="m", student={"tuning": "lora"})
    add_lora(model, config, config.student, 1, trained=model.drawn)
    encoder, texts = plain_batchable(model, TEXTS)
    loss = cross_entropy(one_hot(np.array([0, 1, 2, 0]), 3), CPU)
    before = score(model, encoder, texts, tokens_per_batch=512)
    train(
        model,
        encoder,
        texts,
        np.arange(4),
        loss,
        TrainingConfig(steps=5, batch_size=4),
        warmup=0.1,
        seed=1,
        tokens_per_batch=512,
    )
    tuned = score(model, encoder, texts, tokens_per_batch=512)
    assert not np.allclose(tuned, before, atol=1e-3)
    merge_lora(model)
    model.save(tmp_path)
    plain, loaded = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]
    assert not [name for name in plain.state_dict() if "lora" in name]
    again = score(Classifier.load(str(tmp_path), CPU), encoder, texts, tokens_per_batch=512)
    assert np.allclose(again, tuned, atol=1e-4)


def test_lora_trains_a_new_pooler_with_the_head(model_folder: ModelFolder) -> None:
    """A masked language model has no pooler: frozen as drawn, it would blur what the head sees."""
    model = Classifier.fresh(ModelRef(str(model_folder("bert"))), ("a", "b"), CPU, 1)
    config = RunConfig(task="t", pool="p", out="o", model="m", student={"tuning": "lora"})
    add_lora(model, config, config.student, 1, trained=model.drawn)
    trained = {name for name in model.trained() if "lora_" not in name}
    assert trained == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
        "classifier.bias",
    }


def test_a_target_that_no_layer_has_is_refused(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    config = RunConfig(
        task="t",
        pool="p",
        out="o",
        model="m",
        lora={"targets": ["q_proj"]},
        member={"tuning": "lora"},
    )
    encoder = encoder_for(model.tokenizer, TEMPLATE)
    with pytest.raises(InputError, match=r"lora\.targets.*\n.*dense, key, query, value"):
        start_adapter(model, config, encoder, 1)


@pytest.mark.parametrize("tuning", ["prefix", "soft-prompt"])
def test_an_encoder_with_a_decoder_takes_neither_prompts_nor_prefixes(
    model_folder: ModelFolder, tuning: str
) -> None:
    with pytest.raises(InputError, match=r"member\.tuning=lora"):
        start(load_cloze(model_folder("bart")), tuning)


def test_a_prefix_for_attention_of_a_models_own_is_refused(model_folder: ModelFolder) -> None:
    """DeBERTa would go on as if there were no prefix."""
    with pytest.raises(InputError, match="another but prefix"):
        start(load_cloze(model_folder("deberta")), "prefix")


@pytest.mark.parametrize("tuning", WAYS)
def test_an_adapter_of_another_width_is_one_screen(
    model_folder: ModelFolder, tmp_path: Path, tuning: str
) -> None:
    worn = start(load_cloze(model_folder("bert")), tuning)
    assert worn.adapter is not None
    save_adapter(worn.adapter, tmp_path, REFERENCE)
    other = load_cloze(model_folder("llama"))
    if tuning != "soft-prompt":  # both have the same width, and vectors know no more of a model
        with pytest.raises(InputError, match="one that does not fit"):
            load_adapter(other.module, tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"cut off")
    with pytest.raises(InputError, match="it is made anew"):
        load_adapter(worn.module, tmp_path)


def test_the_same_seed_draws_the_same_adapter(model_folder: ModelFolder) -> None:
    for tuning in TUNINGS:
        model = load_cloze(model_folder("bert"))
        one, two, other = (start(model, tuning, seed, init="random").adapter for seed in (1, 1, 2))
        assert one is not None
        assert two is not None
        assert other is not None
        drawn = [
            torch.cat([own.flatten() for own in adapter.weights().values()])
            for adapter in (one, two, other)
        ]
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])


def test_lora_has_a_dropout_of_its_own(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    config = RunConfig(
        task="t", pool="p", out="o", model="m", lora={"dropout": 0.25}, member={"tuning": "lora"}
    )
    encoder = encoder_for(model.tokenizer, TEMPLATE)
    worn = model.with_adapter(start_adapter(model, config, encoder, 1))
    worn.set_dropout(0.0)
    found = {
        module.p
        for name, module in worn.module.named_modules()
        if isinstance(module, torch.nn.Dropout) and ".lora_dropout." in name
    }
    assert found == {0.25}


def test_settings_of_an_adapter_are_the_same_bytes_every_time(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        worn = start(load_cloze(model_folder("bert")), "lora")
        assert worn.adapter is not None
        save_adapter(worn.adapter, tmp_path / name, REFERENCE)
    assert read_settings(tmp_path / "a")["target_modules"]
    for file in ("adapter_config.json", "backbone.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
