"""`pet nightly`: one night by hand, in this process. On a schedule: `python -m flows.serve`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows import night_screen, screens
from flows.commands.console import answer, err, out, stop
from flows.commands.options import Debug, Json


def nightly(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="settings: a TOML or JSON file")
    ],
    json_out: Json = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Label what is new or has changed in a pool folder; renew the model if it is due."""

    def work() -> None:
        stop.install()
        from pet.nights.nightly import label_new
        from pet.nights.nightly_config import load_nightly_config

        settings = load_nightly_config(config)
        found = label_new(settings, observer=screens.progress(err, stop))
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            night_screen.night(out, found)

    answer(work, debug)
