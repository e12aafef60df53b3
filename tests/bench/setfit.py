"""The cells of the quality benchmark that are SetFit's, which runs in an environment of its own.

The environment lies under PET_CACHE/bench/setfit-venv. It is made on first use, and anew when
setfit-requirements.txt changes.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from data.cache import cache_root
from pet.method.metrics import metrics

if TYPE_CHECKING:
    from tests.bench.quality import Cell

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "setfit-requirements.txt"
SCRIPT = HERE / "setfit_train.py"
MAX_LENGTH = 128
NUM_ITERATIONS = 20  # R in the paper: pairs of each kind per labeled row


def measure(cell: Cell) -> dict[str, dict[str, Any]]:
    """Train SetFit on the cell's labeled rows, measure it on the cell's split."""
    assert cell.labeled is not None, "SetFit needs labeled rows"
    python = environment(cache_root().resolve() / "bench" / "setfit-venv")
    with tempfile.TemporaryDirectory() as out:
        probabilities = train(python, cell.labeled, cell.test, cell.seed, Path(out))
        seconds = json.loads((Path(out) / "timing.json").read_text())["seconds"]
    truth = truth_of(cell.labeled, cell.test)
    return {"SetFit": {**metrics(probabilities, truth), "minutes": seconds / 60}}


def train(python: Path, labeled: Path, test: Path, seed: int, out: Path) -> np.ndarray:
    """Train on labeled rows; return probabilities of the others, and leave files in a folder."""
    _call(command(python, labeled, test, seed, out), out, offline(out))
    found: np.ndarray = np.load(out / "probabilities.npy")
    return found


def environment(folder: Path) -> Path:
    """Return the environment's interpreter; make the environment if it is not there, whole."""
    python, seal = folder / "bin" / "python", folder / "installed.txt"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not seal.exists() or seal.read_text() != REQUIREMENTS.read_text():
            _call([sys.executable, "-m", "venv", "--clear", str(folder)])
            _call([str(python), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)])
            seal.write_text(REQUIREMENTS.read_text())
    return python


def command(python: Path, labeled: Path, test: Path, seed: int, out: Path) -> list[str]:
    """Return the command that trains on labeled rows and predicts others, into a folder.

    It is to be run in that folder: here, `import setfit` would find this very file.
    """
    paths = {"labeled": labeled, "test": test, "out": out, "model": cache_root() / "models/minilm"}
    numbers = {"max-length": MAX_LENGTH, "seed": seed, "num-iterations": NUM_ITERATIONS}
    options = [f"--{name}={path.resolve()}" for name, path in paths.items()]
    options += [f"--{name}={number}" for name, number in numbers.items()]
    return [str(python), "-P", str(SCRIPT), *options]


def offline(out: Path | str) -> dict[str, str]:
    """Return the environment of that command; other methods' minutes are a processor's too."""
    return {"HF_HUB_OFFLINE": "1", "HF_HOME": f"{out}/hub", "CUDA_VISIBLE_DEVICES": ""}


def _call(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command, or raise with the end of what it said."""
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env={**surroundings, **(env or {})}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{done.stderr[-3000:]}")


def truth_of(labeled: Path, test: Path) -> np.ndarray:
    """Return labels as places among all names in order, as the script orders them. [rows]"""
    known, truth = (pq.read_table(path)["label"].to_pylist() for path in (labeled, test))
    names = sorted({*known, *truth})
    return np.array([names.index(label) for label in truth])
