"""A training that diverged: what is kept of it, and which setting to change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pet.errors import InputError, Problem
from pet.inputs.session import Session
from pet.models.training import Diverged
from pet.storage.files import remove, write_json


@contextlib.contextmanager
def divergence_reported(session: Session, unit: str, group: str) -> Iterator[None]:
    """Keep the losses of a training that diverges in `diverged/UNIT.json`, and name its setting.

    Args:
        group: the settings that it is trained with, such as `member`.

    Raises:
        InputError: it diverged.
    """
    log = session.folder / "diverged" / f"{unit}.json"
    try:
        yield
    except Diverged as error:
        write_json(
            log,
            {"found": error.found, "learning_rate": error.learning_rate, "losses": error.losses},
        )
        raise InputError(
            Problem(
                f"training {unit}",
                "a loss that is a number",
                f"{error.found}, at a learning rate of {error.learning_rate:g}; "
                f"the losses before it are in {log}",
                f"lower it: --set {group}.learning_rate={error.learning_rate / 10:g}",
            )
        ) from error
    remove(log)  # of an earlier start
