"""Pattern-Exploiting Training: a few labeled texts and a raw pool in, a labeled pool out.

Five names are what a user of the library needs; each is imported when it is asked for, so that
`import pet` loads neither torch nor transformers:

* `PetClassifier`: scikit-learn's `fit` and `predict`;
* `RunConfig`: every setting of a run; `label_pool`: a run, from a `RunConfig` to its report;
* `load_task`: a task file; `open_run`: a finished run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pet.config import RunConfig
    from pet.estimator import PetClassifier
    from pet.finished.finished_run import open_run
    from pet.pipeline import label_pool
    from pet.tasks.task import load_task

__version__ = "0.2.0"
__all__ = ["PetClassifier", "RunConfig", "label_pool", "load_task", "open_run"]

_HOMES = {
    "PetClassifier": "pet.estimator",
    "RunConfig": "pet.config",
    "label_pool": "pet.pipeline",
    "load_task": "pet.tasks.task",
    "open_run": "pet.finished.finished_run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pet' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
