"""Tiny models and texts, built in code: no test needs the network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.pop("COLUMNS", None)  # or a screen that is made early keeps that width for all tests
os.environ.pop("LINES", None)

import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support import samples

settings.register_profile("short", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("short")

ModelFolder = Callable[[str], Path]

# Files of few tests that take a minute and more: begun last, they were all that one process did.
LONGEST = ("test_real_model.py", "test_readme.py", "test_faults.py", "test_pipeline.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that two processes end together."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """Return the folder of a tiny model: bert, roberta, xlm_roberta, llama, gpt2 or opt."""
    from tests.support import tiny_models

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


@pytest.fixture
def own_inputs(inputs_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny task with its texts, to be changed at will."""
    return Path(shutil.copytree(inputs_folder, tmp_path / "inputs"))


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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3."""
    moto = pytest.importorskip("moto.server", reason="no S3 server without moto[s3,server]")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket, on a machine with an empty scratch disk."""
    from pet.storage import mirrors
    from pet.storage.object_storage import file_system

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "PET_SCRATCH": str(tmp_path / "scratch"),
    }.items():
        monkeypatch.setenv(name, value)
    address = f"s3://tests-{secrets.token_hex(4)}"
    files = file_system(address)
    files.clear_instance_cache()  # one of another server, or of other credentials
    files = file_system(address)
    files.mkdir(address)
    yield address
    mirrors._mirror.cache_clear()
    files.clear_instance_cache()
