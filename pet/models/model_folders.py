"""A model's folder looked through before anything is built from it: what is refused, and why.

A folder may come from anywhere. What it states of itself is held against its weights: a
configuration can ask for layers without end, a tokenizer can make gigabytes of a letter.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pet.method.linear_head import WORDS
from pet.storage.files import read_json, read_record
from pet.storage.object_storage import Stamp, stamp_of

TOKENIZER_FILE = re.compile(r"tokenizer\.json|(vocab|merges|spiece|spm).*|.*\.(model|tiktoken)")

JSON_BYTES = 64 << 20  # of one file: the largest tokenizers have 35 MB

HEADER_BYTES = 16 << 20  # of one file's list of tensors: 100,000 of them

LARGER = 64  # times the largest dimension of any tensor, at most, is a size of the configuration

GROWTH = 64.0  # times as long, at most, may a normalizer make a text: NFKC, 18 times

MOST_REPEATED = 3  # repeated parts in one alternative of a regular expression: known ones have 2

LONGEST_REGEX = 10_000  # characters: known ones have up to 500

_VARIABLE = r"(?:[*+?]|\{\d*,\d*\})"

_QUANTIFIER = r"[*+?]|\{\d*,?\d*\}"

ATTENTION = ("eager", "sdpa")  # of transformers itself; others are code from elsewhere

_LAYERS = re.compile(r"(num|n)_(hidden_|encoder_|decoder_)?layers?|(en|de)coder_layers")

_SIZES = re.compile(r"(hidden|intermediate|embedding|vocab)_size|d_model|n_embd|(num|n)_.*heads?")


def folder_problem(folder: Path) -> tuple[str, str]:
    """Return what is wrong with a model's folder, and what to do about it; "" for nothing."""
    names = sorted(path.name for path in folder.iterdir())
    if WORDS in names and "config.json" not in names:
        return "a linear student", "a linear student is made by --student-model linear"
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
    found = _wrong_configuration(folder, config) or _wrong_tokenizer(folder)
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
    """Yield all settings by name, those of parts too."""
    rest = [config]
    while rest:
        for name, value in rest.pop().items():
            rest += [
                own
                for own in (value if isinstance(value, list) else [value])
                if isinstance(own, dict)
            ]
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


def _wrong_tokenizer(folder: Path) -> str:
    """State that a tokenizer would make texts many times as long, or would never be done."""
    path = folder / "tokenizer.json"
    return _tokenizer_problem(path, stamp_of(path)) if path.is_file() else ""


@functools.lru_cache(maxsize=16)  # a large vocabulary takes half a second, and is asked for often
def _tokenizer_problem(path: Path, _stamp: Stamp) -> str:
    tokenizer = read_record(path)
    normalizer, template = tokenizer.get("normalizer"), tokenizer.get("post_processor")
    if isinstance(normalizer, dict) and _growth(normalizer) > GROWTH:
        return "a normalizer that makes texts many times as long"
    for name, value in _settings({"": template}):
        if name in ("single", "pair") and isinstance(value, list) and len(value) > GROWTH:
            return "a template that makes texts many times as long"
    for part in (normalizer, tokenizer.get("pre_tokenizer")):
        for name, value in _settings({"": part}):
            if name == "Regex" and (len(str(value)) > LONGEST_REGEX or backtracks(str(value))):
                return f"a regular expression that may take for ever: {value!r:.60}"
    return ""


def _growth(normalizer: dict[str, Any]) -> float:
    """Return by how many times a normalizer's replacements can make a text longer."""
    parts = normalizer.get("normalizers")
    if isinstance(parts, list):
        growth = 1.0
        for part in parts:
            growth = min(growth * (_growth(part) if isinstance(part, dict) else 1.0), 1e9)
        return growth
    if isinstance(charsmap := normalizer.get("precompiled_charsmap"), str):
        return _longest_replacement(charsmap)
    content, pattern = str(normalizer.get("content", "")), normalizer.get("pattern")
    content += str(normalizer.get("prepend", ""))
    literal = pattern.get("String") if isinstance(pattern, dict) else None
    return max(1.0, len(content) / len(literal) if literal else float(len(content)))


def _longest_replacement(charsmap: str) -> float:
    """Return the most bytes that SentencePiece's table puts in the place of a character.

    The table is the length of a trie, the trie, and the replacements, each with a NUL behind it.
    """
    try:
        table = base64.b64decode(charsmap)
        (length,) = struct.unpack_from("<I", table)
    except (ValueError, struct.error):
        return 1.0  # tokenizers says what is wrong
    return float(max(map(len, table[4 + length :].split(b"\0"))))


def backtracks(expression: str) -> bool:
    """Return whether a regular expression may try more ways to match than can be waited for.

    So it is where what is repeated can be matched in several ways itself, as in ``(a+)+`` or
    ``(a|aa)*``, where one alternative repeats too often, as in ``a*a*a*a*``, and where a group is
    referred to. Those of known tokenizers repeat single characters, twice in an alternative.
    """
    if re.search(r"\\[1-9kg]", expression.replace("\\\\", "")):
        return True
    plain = re.sub(r"\\[pPx]\{[^}]*\}|\\.", "a", expression, flags=re.DOTALL)
    while plain != (plain := re.sub(r"\[[^\[\]]*\]", "a", plain)):
        pass  # a class may hold another one
    plain = re.sub(r"\(\?(?:[imx-]*\)|[imx-]*:|<?[=!]|>|<\w+>)", _opening, plain)
    while group := re.search(rf"\(([^()]*)\)({_QUANTIFIER})?", plain):
        body, times = group[1], group[2]
        if times and _is_endless(times) and ("|" in body or re.search(_VARIABLE, body)):
            return True
        ways = max(map(_count_endless, body.split("|")))
        plain = plain[: group.start()] + "a" + "a*" * ways + (times or "") + plain[group.end() :]
    if re.search(r"\{\d*,\d*\}[*+]", plain):  # here the second repeats the first
        return True
    return max(map(_count_endless, plain.split("|"))) > MOST_REPEATED


def _opening(found: re.Match[str]) -> str:
    """Write the opening of any group as that of a plain one; switches are no group."""
    return "" if found[0].endswith(")") else "("


def _count_endless(way: str) -> int:
    return sum(map(_is_endless, re.findall(_QUANTIFIER, way)))


def _is_endless(times: str) -> bool:
    """Return whether a quantifier allows ten times and more."""
    most = times.strip("{}").rpartition(",")[2]
    return times in ("*", "+") or (times != "?" and (not most.isdigit() or len(most) > 1))
