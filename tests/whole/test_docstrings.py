"""The examples in docstrings, which `make docs` shows, run."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pet.config import PRESETS
from pet.estimator import PetClassifier
from tests.support.documents import REPOSITORY
from tests.support.samples import SUBJECTS

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SMALL = {
    "generations": 0,
    "max_length": 32,
    "train_from": 0,
    **{name: {"steps": 2, "batch_size": 4} for name in ("member", "student", "supervised")},
}
# What an example may use without defining it.
GIVEN: dict[str, Any] = {
    "texts": [text for name in ("sport", "business") for text in SUBJECTS[name][:3]],
    "labels": ["good"] * 3 + ["bad"] * 3,
    "more_texts": list(SUBJECTS["space"]),
    "others": list(SUBJECTS["space"][:2]),
}


def examples() -> Iterator[tuple[str, str]]:
    """Yield place and code of every block below `Example::` in a docstring."""
    for folder in ("pet", "flows"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, DOCUMENTED):
                    continue
                _, found, block = (ast.get_docstring(node) or "").partition("Example::\n")
                if found:
                    yield f"{path.stem}.{getattr(node, 'name', '')}", _indented(block)


def _indented(block: str) -> str:
    """Keep the lines up to the first that is not indented."""
    code = []
    for line in block.splitlines():
        if line and not line.startswith(" "):
            break
        code.append(line)
    return textwrap.dedent("\n".join(code))


EXAMPLES = dict(examples())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(
    name: str, model_folder: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(PRESETS, "default", SMALL)
    monkeypatch.chdir(tmp_path)
    code = EXAMPLES[name].replace('"roberta-large"', repr(str(model_folder("roberta"))))
    exec(compile(code, name, "exec"), {"PetClassifier": PetClassifier, **GIVEN})


def test_examples_are_found() -> None:
    assert "estimator.PetClassifier" in EXAMPLES
