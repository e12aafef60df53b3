"""How every command ends: one screen for what goes wrong, an exit status, a safe stop."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

from pet.errors import Interrupted, PetError

out = Console()
err = Console(stderr=True)


class Stop:
    """Ctrl-C and SIGTERM ask for a stop at the next safe point; a second Ctrl-C insists."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, _frame: Any) -> None:
        if self.asked:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise KeyboardInterrupt
        self.asked = True


stop = Stop()


def answer(work: Callable[[], None], debug: bool) -> None:
    """Run a command; turn its errors into one screen and an exit status."""
    try:
        work()
    except Interrupted as error:
        err.print(f"stopped: {error}", markup=False)
        err.print("what is done is kept; to go on:", markup=False)
        err.print(f"  pet {' '.join(map(shlex.quote, sys.argv[1:]))}", markup=False, soft_wrap=True)
        raise typer.Exit(Interrupted.exit_status) from None
    except PetError as error:
        if debug:
            err.print_exception()
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(error.exit_status) from None
    except (KeyboardInterrupt, typer.Abort):  # the second: at a question
        raise typer.Exit(130) from None
    except Exception as error:
        if debug:
            raise
        err.print(
            f"pet failed in a way that it should not: {type(error).__name__}: {error}\n"
            "  fix:      give the same command with --debug, and report what it prints",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
        raise typer.Exit(1) from None
