"""Bad models, and bad run folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_input.case import EVALUATE, LABEL, RUN, ZERO_SHOT, Case, Content
from tests.support.samples import task_toml

RUN_MODEL = RUN.replace("--model bert", "--model m")
ZERO_MODEL = ZERO_SHOT.replace("--model bert", "--model m")


def broken(damage: Callable[[Path], object], kind: str = "bert") -> dict[str, Content]:
    """A copy of a model, damaged."""

    def write(path: Path) -> None:
        shutil.copytree(path.parent / kind, path)
        damage(path)

    return {"m": write}


def without(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).unlink() for name in names]


def holding(name: str, content: str | bytes) -> Callable[[Path], object]:
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(content)


def json_with(name: str, **changes: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        found = json.loads((folder / name).read_text())
        kept = {key: value for key, value in {**found, **changes}.items() if value is not None}
        (folder / name).write_text(json.dumps(kept))

    return write


def instead(name: str) -> Callable[[Path], object]:
    """Other weights, and none in safetensors."""

    def write(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / name)

    return write


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def bare(folder: Path) -> None:
    from transformers import AutoModel

    AutoModel.from_pretrained(folder).save_pretrained(folder)


def classifier(folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(folder)


def no_mask(folder: Path) -> None:
    json_with("tokenizer_config.json", mask_token=None)(folder)
    for name in ("special_tokens_map.json",):
        (folder / name).unlink(missing_ok=True)


def place_behind_all(folder: Path) -> None:
    """A word's id is larger than any integer of a model's."""
    path = folder / "tokenizer.json"
    found = json.loads(path.read_text())
    found["model"]["vocab"]["category"] = 1 << 31
    path.write_text(json.dumps(found))


def smaller_vocabulary(folder: Path) -> None:
    """Weights and configuration of a model with half as many words."""
    from transformers import AutoModelForMaskedLM

    model = AutoModelForMaskedLM.from_pretrained(folder)
    model.resize_token_embeddings(30)
    model.save_pretrained(folder)


def sharded_to(place: str) -> Callable[[Path], object]:
    """The weights lie elsewhere, and an index says where."""

    def move(folder: Path) -> None:
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").rename(target)
        (folder / "other.safetensors").write_bytes(target.read_bytes())
        index = {"metadata": {}, "weight_map": {"a": "other.safetensors", "b": place}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return move


TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
MODELS = [
    Case("a file", RUN + " --model task.toml", ("a model folder with config.json", "a file")),
    Case("no such folder", RUN + " --model ./bret", ("a model folder", "no such folder", "check")),
    Case("an unknown id", RUN + " --model nobody/nothing", ("nobody/nothing", "offline", "check")),
    Case("any folder", RUN_MODEL, ("a model folder", "no weights", "save_pretrained"),
         {"m/a.txt": "a"}),
    Case("GGUF only", RUN_MODEL, ("*.safetensors", "other weights only (m.gguf)",
         "take the model's"),
         broken(instead("m.gguf"))),
    Case("a pickle only", ZERO_MODEL,
         ("*.safetensors", "pickled weights only (pytorch_model.bin)", "can run code"),
         broken(instead("pytorch_model.bin"))),
    Case("no config.json", RUN_MODEL, ("no config.json", "copy the whole model folder"),
         broken(without("config.json"))),
    Case("weights in a subfolder", RUN_MODEL, ("weights at 'sub/w.safetensors'", "one folder"),
         broken(sharded_to("sub/w.safetensors"))),
    Case("weights beside the folder", RUN_MODEL, ("weights at '../w.safetensors'", "one folder"),
         broken(sharded_to("../w.safetensors"))),
    Case("weights that the configuration names elsewhere", RUN_MODEL, ("weights at 'a/b.safe",),
         broken(json_with("config.json", transformers_weights="a/b.safetensors"))),
    Case("an adapter of another model", RUN_MODEL, ("an adapter of another model", "merge it"),
         broken(holding("adapter_config.json", "{}"))),
    Case("config.json that is not JSON", RUN_MODEL, ("a model folder",
         "config.json is no JSON object", "download it again"),
         broken(holding("config.json", "{model: bert"))),
    Case("config.json that is a list", RUN_MODEL, ("config.json is no JSON object",),
         broken(holding("config.json", "[]"))),
    Case("config.json in Latin-1", RUN_MODEL, ("config.json is no JSON object",),
         broken(holding("config.json", b'{"model_type": "caf\xe9"}'))),
    Case("a configuration without a type", RUN_MODEL, ("m", "model_type"),
         broken(json_with("config.json", model_type=None, architectures=None))),
    Case("a configuration of a type unknown here", ZERO_MODEL, ("m", "own_type"),
         broken(json_with("config.json", model_type="own_type"))),
    Case("sizes that are none", RUN_MODEL, ("m: its weights", "negative dimension -4"),
         broken(json_with("config.json", hidden_size=-4))),
    Case("sizes that are words", RUN_MODEL, ("m\n", "hidden_size", "copy or download"),
         broken(json_with("config.json", hidden_size="wide")), 2),
    Case("no tokenizer", RUN_MODEL, ("a model folder", "no tokenizer", "copy tokenizer.json"),
         broken(without(*TOKENIZER))),
    Case("no tokenizer.json", RUN_MODEL, ("no tokenizer", "copy tokenizer.json"),
         broken(without("tokenizer.json"))),
    Case("tokenizer.json that is none", RUN_MODEL, ("m: its tokenizer", "copy or download"),
         broken(holding("tokenizer.json", "{}"))),
    Case("no mask token", RUN_MODEL, ("m", "a mask token", "none", "another model"),
         broken(no_mask)),
    Case("no mask token, zero-shot", ZERO_MODEL, ("m", "a mask token", "none"), broken(no_mask)),
    Case("weights that were cut off", RUN_MODEL, ("m: its weights", "incomplete",
         "copy or download"),
         broken(truncated)),
    Case("weights that were cut off, for the student", RUN + " --student-model m",
         ("m: its weights", "incomplete", "copy or download"),
         broken(truncated)),
    Case("an empty file of weights", RUN_MODEL, ("m: its weights", "header too small"),
         broken(holding("model.safetensors", ""))),
    Case("a file of weights that is a web page", RUN_MODEL,
         ("m: its weights", "header too large", "download it again"),
         broken(holding("model.safetensors", "<!doctype html><title>404</title>"))),
    Case("an index of weights, and a part missing", RUN_MODEL,
         ("m: its weights", "No such file", "model-2.safetensors"),
         broken(lambda folder: holding("model.safetensors.index.json", json.dumps(
             {"metadata": {}, "weight_map": {"a": "model-2.safetensors"}}))(folder)
             and (folder / "model.safetensors").rename(folder / "model-1.safetensors"))),
    Case("weights of other sizes than the configuration", RUN_MODEL,
         ("m: its weights", "mismatched"),
         broken(json_with("config.json", hidden_size=64))),
    Case("a token behind all integers", RUN_MODEL,
         ("m", "vocabulary", "one that needs 2,147,483,649"), broken(place_behind_all)),
    Case("a length that is a text", ZERO_MODEL, ("m", "its tokenizer"),
         broken(json_with("tokenizer_config.json", model_max_length="long"))),
    Case("more words in the tokenizer than in the model", RUN_MODEL,
         ("m", "vocabulary", "30"), broken(smaller_vocabulary)),
    Case("more words in the tokenizer than in the student", RUN + " --student-model m",
         ("m", "vocabulary", "30"), broken(smaller_vocabulary)),
    Case("an encoder without its head", RUN_MODEL, ("m", "all weights", "saved with its head"),
         broken(bare)),
    Case("a classifier", RUN_MODEL, ("m", "saved with its head"), broken(classifier)),
    Case("a classifier, zero-shot", ZERO_MODEL, ("m", "saved with its head"), broken(classifier)),
    Case("a model of images", RUN_MODEL, ("m", "masked or causal language model", "vit"),
         broken(json_with("config.json", model_type="vit", architectures=["ViTModel"]))),
    Case("a sentence encoder with a layer of its own", RUN + " --encoder m",
         ("modules.json", "no more layers", "Dense", "another sentence encoder"),
         broken(holding("modules.json", '[{"type": "sentence_transformers.models.Dense"}]'))),
    Case("a sentence encoder whose modules are no list", RUN + " --encoder m", ("m: modules.json",
         "download it again"),
         broken(holding("modules.json", '{"a": 1}'))),
    Case("a student that is no classifier to be", RUN + " --student-model m",
         ("m", "a classification head", "vit, for which it has none", "--student-model"),
         broken(json_with("config.json", model_type="vit", architectures=["ViTModel"]))),
    Case("three models at once", RUN + " --model ./a --student-model ./b --encoder ./c",
         ("./a", "./b", "./c", "no such folder"), {}, 3),
]  # fmt: skip

RUNS = [
    Case("no run", "predict nowhere hello", ("nowhere", "a run folder with config.json", "--out")),
    Case("a run that has not ended", LABEL, ("a finished run", "has not ended", "goes on"),
         {"news/report.json": lambda path: path.unlink()}),
    Case("a file as run", "runs show task.toml", ("task.toml", "a run folder")),
    Case("a run of a newer version", EVALUATE, ("settings that this version knows", "warp"),
         {"news/config.json": '{"task": "t", "pool": "p", "out": "o", "model": "m", "warp": 9}'}),
    Case("a run whose settings are no JSON", "runs show news", ("news/config.json",),
         {"news/config.json": "{"}),
    Case("a student that was tampered with", "predict news hello",
         ("a part of the run as it was made", "model.safetensors was changed", "made anew"),
         {"news/student/model.safetensors": b"x"}),
    Case("a run without its ensemble", EVALUATE + " --with ensemble",
         ("a part of the run as it was made",),
         {"news/soft_labels/done.json": lambda path: path.unlink()}),
    Case("an ensemble whose record is no record", EVALUATE + " --with ensemble",
         ("a part of the run as it was made", "no readable done.json", "again"),
         {"news/soft_labels/done.json": "[]"}),
    Case("an ensemble of a member outside the run", EVALUATE + " --with ensemble",
         ("a part of the run as it was made", "settings have changed", "again"),
         {"news/soft_labels/done.json":
          '{"weights": {"g0-../../../evil-r0": 1.0}, "ensemble_temperature": 1.0, "files": {}}'}),
    Case("a task that is no UTF-8", "predict news hello", ("news/task.toml", "UTF-8"),
         {"news/task.toml": b"\xff"}),
    Case("a task with a label more than the student", "predict news hello",
         ("news/task.toml", "the labels that the student was made for", "it was changed"),
         {"news/task.toml": task_toml().replace("[labels]\n", "[labels]\nmore = \"news\"\n")}),
    Case("a manifest that is no record", RUN + " --out news",
         ("news", "a folder with other files", "another --out"), {"news/manifest.json": "[3]"}),
    Case("a manifest whose inputs are none", RUN + " --out news",
         ("news", "a folder with other files"), {"news/manifest.json": '{"inputs": [3]}'}),
    Case("a member that is gone", EVALUATE + " --with ensemble", ("news/members",),
         {"news/members/g0-last-r0": shutil.rmtree}),
    Case("an empty text", "predict news ' '", ("text 1 of 1 is empty", "leave it out")),
    Case("a text that is no text", "predict news 'a\udcff'", ("UTF-8",)),
    Case("a role that there is not", EVALUATE + " --with teacher",
         ("student or ensemble", "'teacher'")),
]  # fmt: skip

CASES = MODELS + RUNS
