"""The demo models: what is taken out of which archive, and that the real ones load."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import pytest

from data import models
from data.cache import Recipe, cache_root
from pet.errors import PetError


def test_the_pooling_settings_of_the_sentence_encoder_keep_their_folder(tmp_path):
    archive = tmp_path / "minilm.whl"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in models.MINILM_FILES:
            zipped.writestr(models.MINILM_FOLDER + name, name)
    (tmp_path / "out").mkdir()
    models.build_minilm(archive, tmp_path / "out")
    assert (tmp_path / "out/1_Pooling/config.json").read_text() == "1_Pooling/config.json"
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 9


def test_a_missing_gguf_package_shows_before_the_download(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PetError, match=r"pip install 'pet\[demo\]'"):
        models.SMOLLM2.check()


def fetched(recipe: Recipe) -> Path:
    folder = cache_root() / recipe.target
    if not folder.is_dir():
        pytest.skip(f"python -m data.fetch {recipe.name} has not run")
    return folder


@pytest.mark.demo
def test_bert_tiny_brings_its_language_model_head():
    """A missing head would be drawn at random, and every zero-shot number would be chance."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    folder = fetched(models.BERT_TINY)
    _, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert AutoTokenizer.from_pretrained(folder).mask_token == "[MASK]"


@pytest.mark.demo
def test_smollm2_knows_the_capital_of_france():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = fetched(models.SMOLLM2)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    logits = model(**tokenizer("The capital of France is", return_tensors="pt")).logits
    assert tokenizer.decode(logits[0, -1].argmax()) == " Paris"


@pytest.mark.demo
def test_minilm_finds_a_bill_nearer_to_an_invoice_than_to_a_parcel():
    from torch.nn.functional import cosine_similarity
    from transformers import AutoModel, AutoTokenizer

    folder = fetched(models.MINILM)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder)
    bill, invoice, parcel = (
        model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        for text in ("my bill is wrong", "the invoice has a mistake", "the parcel is late")
    )
    assert cosine_similarity(bill, invoice, 0) > cosine_similarity(bill, parcel, 0)
