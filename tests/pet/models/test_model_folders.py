"""Model folders that are refused before anything is built from them."""

from __future__ import annotations

import base64
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.config import ModelRef
from pet.errors import InputError
from pet.models import loading
from pet.models.loading import load_config, load_tokenizer, refuse_unloadable
from pet.models.model_folders import JSON_BYTES, backtracks, folder_problem
from tests.conftest import ModelFolder
from tests.support import tiny_models

Damage = Callable[[Path], object]


def setting(**values: Any) -> Damage:
    return changed("config.json", lambda found: found | values)


def normalizer(**own: Any) -> Damage:
    return changed("tokenizer.json", lambda found: found | {"normalizer": own})


def changed(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Damage:
    def write(folder: Path) -> None:
        found = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(change(found)))

    return write


def large_json(folder: Path) -> None:
    with (folder / "generation_config.json").open("wb") as stream:
        stream.truncate(JSON_BYTES + 1)


def a_million_tensors(folder: Path) -> None:
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", 90_000_000))
        stream.truncate(90_000_100)


def charsmap(replacement: str) -> str:
    """SentencePiece's table of what is put in the place of characters."""
    return base64.b64encode(struct.pack("<I", 4) + bytes(4) + replacement.encode()).decode()


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 1000,
    "pair": [],
    "special_tokens": {},
}
DOUBLED = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
HOSTILE: dict[str, tuple[Damage, str]] = {
    "a million layers": (setting(num_hidden_layers=10**6), "num_hidden_layers: 1,000,000"),
    "layers below zero": (setting(num_hidden_layers=-2), "num_hidden_layers: -2"),
    "layers of a part": (setting(text_config={"n_layer": 10**9}), "n_layer: 1,000,000,000"),
    "a width of a million": (setting(hidden_size=10**6), "hidden_size: 1,000,000"),
    "attention from the hub": (
        setting(attn_implementation="kernels-community/flash-mla"), "kernels-community",
    ),
    "attention under its other name": (setting(_attn_implementation="x/y:z"), "'x/y:z'"),
    "JSON of hundreds of megabytes": (large_json, "generation_config.json of 64 MB"),
    "a million tensors": (a_million_tensors, "more tensors than a model has"),
    "a letter that becomes a terabyte": (
        normalizer(type="Sequence", normalizers=[DOUBLED] * 40), "many times as long",
    ),
    "a letter that becomes a page in SentencePiece's table": (
        normalizer(type="Precompiled", precompiled_charsmap=charsmap("a" * 5000)), "many times",
    ),
    "a lead of a page": (normalizer(type="Prepend", prepend="a" * 5000), "many times"),
    "a template of a thousand texts": (
        changed("tokenizer.json", lambda found: found | {"post_processor": TEMPLATE}),
        "a template that makes texts many times",
    ),
    "a normalizer's expression without end": (
        normalizer(type="Replace", pattern={"Regex": "(a+)+$"}, content="a"), "'(a+)+$'",
    ),
    "an expression without end in a part": (
        normalizer(type="Sequence", normalizers=[
            DOUBLED, {"type": "Replace", "pattern": {"Regex": r"(\w|\d)*!"}, "content": ""},
        ]), "that may take for ever",
    ),
    "an expression without end that splits texts": (
        changed("tokenizer.json", lambda found: found | {"pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "Isolated",
            "invert": False,
        }}), "that may take for ever",
    ),
    "a letter that becomes a page": (
        normalizer(type="Replace", pattern={"Regex": "a"}, content="a" * 5000), "many times",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "found"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_folder_is_refused_before_anything_is_built(
    model_folder: ModelFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Damage,
    found: str,
) -> None:
    folder = shutil.copytree(model_folder("bert"), tmp_path / "m")
    damage(folder)
    for name in ("AutoConfig", "AutoTokenizer"):
        monkeypatch.setattr(loading, name, None)
    with pytest.raises(InputError) as caught:
        refuse_unloadable(ModelRef(str(folder)))
    assert found in str(caught.value)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_a_model_of_every_usual_kind_is_let_through(model_folder: ModelFolder, kind: str) -> None:
    folder = model_folder(kind)
    assert folder_problem(folder) == ("", "")
    assert load_config(ModelRef(str(folder)))
    assert load_tokenizer(ModelRef(str(folder)))


@pytest.mark.parametrize(
    "expression",
    [
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}&&[^\p{Han}]]+(?i:'s|'t)?|\p{N}{1,3}",
        r"\d{1,3}(?=(?:\d{3})*\b)",
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+",
        r" ?[^(\s|[.,!?\u3002])]+",
        " {2,}",
    ],
)
def test_expressions_of_known_tokenizers_are_let_through(expression: str) -> None:
    """GPT-2, Llama 3, GPT-4o and Kimi, Tekken, DeepSeek, BLOOM, T5."""
    assert not backtracks(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+$", "(a|aa)*$", "(?:x(?:a*)b?)+", "a*a*a*a*b", "(a?b?)+", r"(?=(a+))\1b",
        "((a{1,2}){1,30})+", "(a*){20}", "a{1,2}+b", r"(?i:(?:[ab]+\s*)*)$", r"(?<n>a)\k<n>",
    ],
)  # fmt: skip
def test_expressions_that_match_in_too_many_ways_are_found(expression: str) -> None:
    assert backtracks(expression)
