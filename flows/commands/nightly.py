"""`pet nightly`: one night by hand, in this process. On a schedule: `python -m flows.serve`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import answer, err, out, stop
from flows.commands.options import Debug, Json
from flows.screens import nights as night_screen
from flows.screens import results as screens


def nightly(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="settings: a TOML or JSON file")],
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Label what is new or has changed in a pool folder; renew the model if it is due."""

    def work() -> None:
        stop.install()
        from pet.nightly.night import label_new
        from pet.nightly.nightly_config import load_nightly_config

        observer = screens.progress(err, stop)
        settings = load_nightly_config(config, lambda line: observer.note(f"warning: {line}"))
        found = label_new(settings, observer=observer)
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            night_screen.night(out, found)

    answer(work, debug)
