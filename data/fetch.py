"""Fetch demo texts and demo models into the cache: `python -m data.fetch newsgroups bert-tiny`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data.cache import Recipe, Unavailable, cache_root, fetch
from data.debtags import DEBTAGS, USES
from data.intents import INTENTS
from data.models import BERT_TINY, MINILM, SMOLLM2
from data.subjects import SUBJECTS
from data.texts import DOMAINS, MOVIES, NEWSGROUPS, REUTERS
from pet.errors import Interrupted, PetError

TEXTS = (NEWSGROUPS, MOVIES, REUTERS, DOMAINS, DEBTAGS, USES, INTENTS, SUBJECTS)
RECIPES = {recipe.name: recipe for recipe in (*TEXTS, BERT_TINY, SMOLLM2, MINILM)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch what is named and return the exit status: 0 done, 1 failed, 130 stopped."""
    names = parse(arguments)
    try:
        for name in names:
            fetch_and_tell(RECIPES[name], cache_root())
    except PetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"error: {error} (the cache is {cache_root()})", file=sys.stderr)
        return PetError.exit_status
    except KeyboardInterrupt:
        print("\nstopped; nothing half-written was left behind", file=sys.stderr)
        return Interrupted.exit_status
    return 0


def parse(arguments: Sequence[str] | None) -> list[str]:
    """Return the names of the recipes to run, each once, in the order given."""
    parser = argparse.ArgumentParser(prog="python -m data.fetch", description=__doc__)
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        choices=[*RECIPES, "all"],
        help=f"one or more of: {', '.join(RECIPES)}, or all",
    )
    names = parser.parse_args(arguments).names
    return list(RECIPES) if "all" in names else list(dict.fromkeys(names))


def fetch_and_tell(recipe: Recipe, root: Path) -> None:
    """Fetch one thing and print one line about it."""
    start = time.perf_counter()
    try:
        made = fetch(recipe, root)
    except Unavailable as reason:
        print(f"{recipe.name}: skipped, {reason}")
        return
    if made:
        print(f"{recipe.name}: in {root / recipe.target}, {time.perf_counter() - start:.0f} s")
    else:
        print(f"{recipe.name}: already in {root / recipe.target}, nothing to do")


if __name__ == "__main__":
    sys.exit(main())
