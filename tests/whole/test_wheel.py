"""The wheel that users install, without the repository: files, command, requirements."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.documents import REPOSITORY
from tests.support.tiny_models import save_model

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "pet", "flows", "verbalizers")
TICKETS = {
    "billing": ("my card was charged twice", "the invoice is wrong", "refund my payment please"),
    "delivery": ("the parcel never came", "my order is late", "the courier lost my parcel"),
    "technical": ("the app crashes at start", "I cannot log in", "the page shows an error"),
}
# Required for the versions that Prefect works with, and never imported.
CAPS = {"fastapi", "sqlalchemy"}
# Imported where they are there because something else needs them.
WITH_OTHERS = {"pydantic-core": "pydantic"}


def environment() -> dict[str, str]:
    """Nothing that leads to the repository, and no network."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, since a build leaves files beside its sources."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(
                REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(REPOSITORY / name, source / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", source / "dist", source)
    [built] = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its requirements are those of the tests' environment."""
    fresh = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True)
    [packages] = fresh.glob("lib/python*/site-packages")
    # The .pth files of that folder, which may lead to the repository, are not followed from here.
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    python = fresh / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", "--no-compile", wheel)
    return fresh


def pip(*words: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr


def pet(installed: Path, place: Path, *words: str | Path) -> str:
    """Run the installed command in a folder; return what it printed."""
    done = subprocess.run(
        [str(installed / "bin" / "pet"), *map(str, words)],
        cwd=place,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    [information] = [top for top in tops if top.endswith(".dist-info")]
    assert tops == {"pet", "flows", "verbalizers", information}
    assert f"{information}/licenses/LICENSE" in names
    for folder in ("pet", "flows", "verbalizers"):
        needed = {
            path.relative_to(REPOSITORY).as_posix()
            for path in (REPOSITORY / folder).rglob("*")
            if path.suffix in (".py", ".jinja", ".html", ".css", ".js", ".toml")
        }
        assert needed - set(names) == set()


@pytest.mark.thorough
def test_a_run_from_three_csv_files_in_an_empty_folder(
    installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("empty")
    python = installed / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import pet, flows; print(pet.__file__, flows.__file__)"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(Path(path).is_relative_to(installed) for path in where.split())
    assert pet(installed, place, "--version").split() == ["pet", PROJECT["version"]]

    rows = [(text, label) for label, texts in TICKETS.items() for text in texts]
    write(place / "labeled.csv", ["text,label", *(f"{text},{label}" for text, label in rows)])
    write(
        place / "pool.csv",
        ["text", *(f"{text} since {n} days" for n in (2, 3) for text, _ in rows)],
    )
    write(place / "test.csv", ["text,label", *(f"{text} again,{label}" for text, label in rows)])
    model = save_model("roberta", place / "model")

    words = [f"--word={label}={label}" for label in TICKETS]
    said = pet(installed, place, "init", "tickets.toml", "--sample", "labeled.csv", *words)
    assert "tickets.toml" in said
    task = tomllib.loads((place / "tickets.toml").read_text(encoding="utf-8"))
    assert set(task["labels"]) == set(TICKETS)

    inputs = ["tickets.toml", "--labeled", "labeled.csv", "--pool", "pool.csv", "--model", model]
    said = pet(installed, place, "check", *inputs)
    assert "zero-shot" in said

    small = (
        "member.steps=2",
        "student.steps=2",
        "supervised.steps=2",
        "generations=0",
        "max_length=48",
    )
    settings = [word for value in small for word in ("--set", value)]
    said = pet(
        installed, place, "run", *inputs, "--test", "test.csv", "--out", "run", "--plain", *settings
    )
    assert "accuracy on the test set" in said
    assert "run/report.html" in said
    labels = pq.read_table(place / "run" / "labels")
    assert labels.num_rows == 2 * len(rows)
    assert set(labels["label"].to_pylist()) <= set(TICKETS)
    report = json.loads((place / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["test"]["student"]["rows"] == len(rows)
    assert "<html" in (place / "run" / "report.html").read_text(encoding="utf-8")
    assert (place / "run" / "student" / "model.safetensors").exists()


def write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def imported() -> set[str]:
    """The distributions whose modules `pet` and `flows` import anywhere."""
    modules = set()
    for folder in ("pet", "flows", "verbalizers"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {name.name.partition(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    modules.add(str(node.module).partition(".")[0])
    modules -= {*sys.stdlib_module_names, "pet", "flows", "verbalizers"}
    known = importlib.metadata.packages_distributions()
    return {plain(known.get(module, [module])[0]) for module in modules}


def plain(requirement: str) -> str:
    return re.split(r"[<>=\[;! ]", requirement)[0].lower().replace("_", "-")


def test_what_is_imported_is_required_and_what_is_required_is_imported() -> None:
    required = {plain(requirement) for requirement in PROJECT["dependencies"]}
    extras = PROJECT["optional-dependencies"]
    optional = {
        plain(own) for name in extras if name not in ("demo", "dev") for own in extras[name]
    }
    found = {WITH_OTHERS.get(name, name) for name in imported()}
    assert found <= required | optional
    assert required - CAPS <= found
