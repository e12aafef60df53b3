"""How every command ends: one screen for what goes wrong, an exit status, a safe stop."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable
from typing import Any

import typer

from flows.screens.terminal import Terminal
from pet.errors import Interrupted, as_pet_error

out = Terminal()
err = Terminal(stderr=True)


GRACE = 5.0  # seconds until a stop no longer waits for a safe point


class Stop:
    """Ctrl-C and SIGTERM ask for a stop at the next safe point; a second Ctrl-C insists.

    Where no such point comes soon, as in a long read, the process ends where it is, as if it had
    been killed: what is done is kept all the same. An exception in the middle of anything could
    be lost, in a finalizer for one.
    """

    def __init__(self) -> None:
        self.asked = self.installed = False

    def install(self) -> None:
        self.installed = True
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, _frame: Any) -> None:
        if self.asked:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise KeyboardInterrupt
        self.asked = True
        signal.signal(signal.SIGALRM, self._end)
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    def raise_if_asked(self) -> None:
        """Stop here if a stop was asked for."""
        if self.asked:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Interrupted("you asked for it")

    def end(self) -> None:
        """Heed no more: the work is over, and its exit status shall stand."""
        if self.installed:
            for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)

    def _end(self, *_: Any) -> None:
        message = f"stopped: no safe point came within {GRACE:.0f} s\n{how_to_go_on()}\n"
        if sys.stderr.isatty():
            message = f"\x1b[?25h\n{message}"  # the progress bar has hidden the cursor
        os.write(2, message.encode())
        os._exit(Interrupted.exit_status)


stop = Stop()


def answer(work: Callable[[], None], debug: bool) -> None:
    """Run a command; turn its errors into one screen and an exit status."""
    try:
        work()
    except Interrupted as error:
        err.print(f"stopped: {error}", markup=False)
        err.print(how_to_go_on(), markup=False, soft_wrap=True)
        raise typer.Exit(Interrupted.exit_status) from None
    except (KeyboardInterrupt, typer.Abort):  # the second: at a question
        raise typer.Exit(130) from None
    except Exception as error:
        if (known := as_pet_error(error)) is not None:
            if debug:
                err.print_exception()
            err.print(str(known), markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(known.exit_status) from None
        if debug:
            raise
        err.print(
            f"pet failed in a way that it should not: {type(error).__name__}: {error}\n"
            "  fix:      give the same command with --debug, and report what it prints",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(1) from None
    finally:
        stop.end()


def how_to_go_on() -> str:
    """Return the command that goes on after a stop."""
    return f"what is done is kept; to go on:\n  pet {shlex.join(sys.argv[1:])}"
