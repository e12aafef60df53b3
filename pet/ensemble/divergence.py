"""A training that diverged: what is kept of it, and which setting to change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pet.errors import InputError, Problem
from pet.inputs.session import Session
from pet.models.training import Diverged
from pet.storage.files import remove, write_json


@contextlib.contextmanager
def divergence_reported(
    session: Session, unit: str, group: str = "", *, off: str = ""
) -> Iterator[None]:
    """Keep the losses of a training that diverges in `diverged/UNIT.json`, and name its setting.

    Args:
        group: the settings that it is trained with, such as `member`.
        off: of one whose rate is no setting: what it is left out by, such as `adapt_steps`.

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
                f"leave it out: --set {off}=0"
                if off
                else f"lower it: --set {group}.learning_rate={error.learning_rate / 10:g}",
            )
        ) from error
    remove(log)  # of an earlier start
