"""A model's folder looked through before anything is built from it: what is refused, and why.

A folder may come from anywhere. What it states of itself is held against its weights: a
configuration can ask for layers without end, a tokenizer can make gigabytes of a letter.
"""

from __future__ import annotations

import functools
import json
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pet.storage.files import read_json, read_record
from pet.storage.object_storage import Stamp, stamp_of

TOKENIZER_FILE = re.compile(r"tokenizer\.json|(vocab|merges|spiece|spm).*|.*\.(model|tiktoken)")

JSON_BYTES = 64 << 20  # of one file: the largest tokenizers have 35 MB

HEADER_BYTES = 16 << 20  # of one file's list of tensors: 100,000 of them

LARGER = 64  # times the largest dimension of any tensor, at most, is a size of the configuration

GROWTH = 64.0  # times as long, at most, may a normalizer make a text: NFKC, 18 times

ATTENTION = ("eager", "sdpa")  # of transformers itself; others are code from elsewhere

_LAYERS = re.compile(r"(num|n)_(hidden_|encoder_|decoder_)?layers?|(en|de)coder_layers")

_SIZES = re.compile(r"(hidden|intermediate|embedding|vocab)_size|d_model|n_embd|(num|n)_.*heads?")


def folder_problem(folder: Path) -> tuple[str, str]:
    """Return what is wrong with a model's folder, and what to do about it; "" for nothing."""
    names = sorted(path.name for path in folder.iterdir())
    if not any(name.endswith(".safetensors") for name in names):
        return _other_weights(names)
    if "config.json" not in names:
        return "no config.json", "copy the whole model folder"
    for name in names:
        if name.endswith(".json") and (size := os.stat(folder / name).st_size) > JSON_BYTES:
            return f"{name} of {size >> 20:,} MB", "take another model: no model needs that"
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        return "config.json is no JSON object", "copy or download it again"
    if not any(TOKENIZER_FILE.fullmatch(name) for name in names):
        return "no tokenizer", "copy tokenizer.json and tokenizer_config.json too"
    if "adapter_config.json" in names:  # transformers would load what it names instead
        return "an adapter of another model", "merge it, and save the whole model"
    if elsewhere := _weights_elsewhere(folder, config):
        return f"weights at {elsewhere}", "save the model anew, into one folder"
    found = _wrong_configuration(folder, config) or _wrong_normalizer(folder)
    return found, "take another model, or copy it again" if found else ""


def _other_weights(names: list[str]) -> tuple[str, str]:
    """State what there is instead of safetensors, and what to do about it."""
    pickled = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
    if pickled:
        found = f"pickled weights only ({', '.join(pickled)})"
        return found, "convert them to safetensors: pickled files can run code"
    others = [name for name in names if name.endswith((".gguf", ".onnx", ".h5", ".msgpack"))]
    if others:
        return f"other weights only ({', '.join(others)})", "take the model's safetensors files"
    return "no weights", "give the folder that `save_pretrained` wrote"


def _weights_elsewhere(folder: Path, config: dict[str, Any]) -> str:
    """Return the name of a weights file that does not lie in the folder itself; "" for none.

    A model is named by the digests of the files in its folder, and no path leads out of it.
    """
    named = [config.get("transformers_weights")]
    for index in sorted(folder.glob("*.index.json")):
        shards = read_record(index).get("weight_map")
        named += shards.values() if isinstance(shards, dict) else []
    elsewhere = (str(name) for name in named if name and not _is_plain(name))
    return next(map(repr, elsewhere), "")


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name != ".." and not set("/\\") & set(name)


def _wrong_configuration(folder: Path, config: dict[str, Any]) -> str:
    """State which number or name in the configuration cannot be that of these weights."""
    tensors, largest = 0, 0
    for path in sorted(folder.glob("*.safetensors")):
        shapes = _shapes(path)
        if shapes is None:
            return f"more tensors than a model has in {path.name}"
        tensors += len(shapes)
        largest = max([largest, *(size for shape in shapes for size in shape)])
    for name, value in _settings(config):
        if "attn_implementation" in name and value is not None and value not in ATTENTION:
            return f"{name}: {value!r}"
        if isinstance(value, bool) or not isinstance(value, int) or not tensors:
            continue
        least = 0 if "coder" in name else 1  # some have no decoder
        if _LAYERS.fullmatch(name) and not least <= value <= tensors:
            return f"{name}: {value:,} in config.json, and {tensors:,} tensors"
        if _SIZES.fullmatch(name) and value > LARGER * largest:
            return f"{name}: {value:,} in config.json, and tensors of up to {largest:,}"
    return ""


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield all settings by name, those of parts of the model too."""
    rest = [config]
    while rest:
        for name, value in rest.pop().items():
            if isinstance(value, dict):
                rest.append(value)
            yield name, value


def _shapes(path: Path) -> list[list[int]] | None:
    """Return the shapes of a file's tensors; None for too many, [] where it is damaged."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > os.stat(path).st_size:
                return []
            if length > HEADER_BYTES:
                return None
            header = json.loads(stream.read(length))
        own = [value["shape"] for name, value in header.items() if name != "__metadata__"]
        return [[int(size) for size in shape] for shape in own]
    except (OSError, ValueError, RecursionError, struct.error, TypeError, KeyError, AttributeError):
        return []  # safetensors says what is wrong


def _wrong_normalizer(folder: Path) -> str:
    """State that a tokenizer would make texts many times as long."""
    path = folder / "tokenizer.json"
    explodes = path.is_file() and _explodes(path, stamp_of(path))
    return "a normalizer that makes texts many times as long" if explodes else ""


@functools.lru_cache(maxsize=16)  # a large vocabulary takes half a second, and is asked for often
def _explodes(path: Path, _stamp: Stamp) -> bool:
    normalizer = read_record(path).get("normalizer")
    return isinstance(normalizer, dict) and _growth(normalizer) > GROWTH


def _growth(normalizer: dict[str, Any]) -> float:
    """Return by how many times a normalizer's replacements can make a text longer."""
    parts = normalizer.get("normalizers")
    if isinstance(parts, list):
        growth = 1.0
        for part in parts:
            growth = min(growth * (_growth(part) if isinstance(part, dict) else 1.0), 1e9)
        return growth
    content, pattern = str(normalizer.get("content", "")), normalizer.get("pattern")
    literal = pattern.get("String") if isinstance(pattern, dict) else None
    return max(1.0, len(content) / len(literal) if literal else float(len(content)))
