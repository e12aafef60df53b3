"""Tiny models and texts, built in code: no test needs the network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.pop("COLUMNS", None)  # or a screen that is made early keeps that width for all tests
os.environ.pop("LINES", None)

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import samples

settings.register_profile("short", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("short")

ModelFolder = Callable[[str], Path]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """Return the folder of a tiny model: bert, roberta, xlm_roberta, llama, gpt2 or opt."""
    from tests import tiny_models

    folder = tmp_path_factory.mktemp("models")

    def find(kind: str) -> Path:
        if not (folder / kind).exists():
            tiny_models.save_model(kind, folder / kind)
        return folder / kind

    return find


@pytest.fixture(scope="session")
def inputs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny task with its texts; not to be changed."""
    return samples.write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def tiny_run(
    tmp_path_factory: pytest.TempPathFactory, inputs_folder: Path, model_folder: ModelFolder
) -> Path:
    """A finished run of the tiny task with a tiny BERT; not to be changed."""
    from pet.pipeline import label_pool

    out = tmp_path_factory.mktemp("finished") / "news"
    label_pool(samples.tiny_config(inputs_folder, model_folder("bert"), out))
    return out


@pytest.fixture(scope="session")
def adapted_runs(
    tmp_path_factory: pytest.TempPathFactory, inputs_folder: Path, model_folder: ModelFolder
) -> dict[str, Path]:
    """A finished run per tuning; not to be changed."""
    from pet.pipeline import label_pool

    runs = {}
    for tuning in ("lora", "prefix", "soft-prompt"):
        runs[tuning] = tmp_path_factory.mktemp(tuning) / "news"
        config = samples.tiny_config(
            inputs_folder, model_folder("bert"), runs[tuning], **samples.adapted(tuning)
        )
        label_pool(config)
    return runs


@pytest.fixture
def run_copy(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed at will."""
    return Path(shutil.copytree(tiny_run, tmp_path / "copy" / "news"))


@pytest.fixture
def config_for(
    inputs_folder: Path, model_folder: ModelFolder, tmp_path: Path
) -> Callable[..., Any]:
    """Make the configuration of a tiny run: `config_for(seed=7)`."""

    def make(out: Path | None = None, inputs: Path = inputs_folder, **changes: Any) -> Any:
        return samples.tiny_config(
            inputs, model_folder("bert"), out or tmp_path / "news", **changes
        )

    return make
