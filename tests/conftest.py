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

from tests.support import samples, shortcuts
from tests.support.shared import Shared

settings.register_profile("short", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("short")

ModelFolder = Callable[[str], Path]

# Files of few tests that take a minute and more: begun last, they were all that one process did.
LONGEST = ("test_real_model.py", "test_readme.py", "test_faults.py", "test_pipeline.py")

# Files with tests that ask a Prefect server.
WITH_SERVER = {
    "tests/flows/test_label_pool.py",
    "tests/flows/test_nightly.py",
}


# Tests that `make test` leaves to another target, unless `-m` asks for them.
ELSEWHERE = {"faults": "make faults", "thorough": "make test-thorough"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what other targets run; begin with the longest files: two processes end together.

    `-m "not faults"` among the options of every call would be gone with a user's own `-m`.
    """
    asked = str(config.getoption("markexpr", ""))
    left_out = {name for name in ELSEWHERE if name not in asked}
    kept = [item for item in items if not any(map(item.get_closest_marker, left_out))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = sorted(kept, key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all files that share a Prefect server to one process: each starts one for itself."""
    from xdist.scheduler import LoadFileScheduling

    class OneServer(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "a Prefect server" if file in WITH_SERVER else file

    return OneServer(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of a test is made, take shortcuts, but for what the test is about."""
    shortcuts.take(
        charts=item.get_closest_marker("charts") is None,
        disk=item.get_closest_marker("durable") is None,
        loading=True,
    )


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """What all processes of this session have in common: each thing is made by the first."""
    return Shared.of(tmp_path_factory)


@pytest.fixture(scope="session")
def model_folder(shared: Shared) -> ModelFolder:
    """Return the folder of a tiny model: bert, roberta, xlm_roberta, llama, gpt2 or opt."""

    def make(folder: Path) -> None:
        from tests.support import tiny_models

        tiny_models.save_model(folder.name, folder)

    return lambda kind: shared.folder(f"models/{kind}", make)


@pytest.fixture(scope="session")
def inputs_folder(shared: Shared) -> Path:
    """The tiny task with its texts; not to be changed."""
    return shared.folder("inputs", samples.write_inputs)


@pytest.fixture
def own_inputs(inputs_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny task with its texts, to be changed at will."""
    return Path(shutil.copytree(inputs_folder, tmp_path / "inputs"))


@pytest.fixture(scope="session")
def finished_run(
    shared: Shared, inputs_folder: Path, model_folder: ModelFolder
) -> Callable[..., Path]:
    """Return a finished run, by its name and what it changes; not to be changed."""

    def find(name: str, **changes: Any) -> Path:
        def make(out: Path) -> None:
            from pet.pipeline import label_pool

            label_pool(samples.tiny_config(inputs_folder, model_folder("bert"), out, **changes))

        return shared.folder(f"finished/{name}/news", make)

    return find


@pytest.fixture(scope="session")
def tiny_run(finished_run: Callable[..., Path]) -> Path:
    """A finished run of the tiny task with a tiny BERT; not to be changed."""
    with shortcuts.none():
        return finished_run("tiny")


@pytest.fixture(scope="session")
def shipped_run(finished_run: Callable[..., Path]) -> Path:
    """The same with held-out members and cross-fitting; not to be changed."""
    with shortcuts.none():
        return finished_run("shipped", **samples.SHIPPED)


@pytest.fixture(scope="session")
def several_inputs(shared: Shared) -> Path:
    """The tiny task with several labels a text, and its texts; not to be changed."""
    return shared.folder("several", samples.write_several)


@pytest.fixture(scope="session")
def several_run(finished_run: Callable[..., Path], several_inputs: Path) -> Path:
    """A finished run of it; not to be changed."""
    return finished_run("several", **samples.several(several_inputs, **samples.SHIPPED))


@pytest.fixture(scope="session")
def mixed_run(finished_run: Callable[..., Path]) -> Path:
    """A run whose ensemble labels the 20 rows that it scored, and the student others.

    Not to be changed.
    """
    from pet.student.label_choice import LabelChoice

    with pytest.MonkeyPatch.context() as patch:
        choice = LabelChoice("ensemble", "accuracy", "test")
        patch.setattr("pet.pipeline.choose_labels", lambda *_: choice)
        return finished_run("mixed", unlabeled_rows=20)


@pytest.fixture(scope="session")
def adapted_runs(finished_run: Callable[..., Path]) -> dict[str, Path]:
    """A finished run per tuning; not to be changed."""
    tunings = ("lora", "prefix", "soft-prompt", "ia3", "pfeiffer", "bitfit")
    return {tuning: finished_run(tuning, **samples.adapted(tuning)) for tuning in tunings}


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


def s3_settings(server: str) -> dict[str, str]:
    """What a process has to know of the S3 server."""
    return {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket, on a machine with an empty scratch disk."""
    from pet.storage import mirrors
    from pet.storage.object_storage import file_system

    for name, value in s3_settings(s3_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PET_SCRATCH", str(tmp_path / "scratch"))
    address = f"s3://tests-{secrets.token_hex(4)}"
    files = file_system(address)
    files.clear_instance_cache()  # one of another server, or of other credentials
    files = file_system(address)
    files.mkdir(address)
    yield address
    mirrors._mirror.cache_clear()
    files.clear_instance_cache()
