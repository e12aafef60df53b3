"""Mistakes on the command line, reported like every other one: expected, found, fix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from flows.screens.terminal import Terminal
from pet.errors import Problem

UsageError: Any = typer.BadParameter.__base__  # typer has it, but under no public name


class Commands(TyperGroup):
    """The commands; a misspelt one, or a missing option, ends in one screen."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the words in front of the command's name."""
        with _reported():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's own words, and run it."""
        with _reported():
            return super().invoke(ctx)


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise  # which is no mistake
        command = error.ctx.command_path if error.ctx else "pet"
        problem = Problem(
            command,
            f"words as `{command} --help` lists them",
            error.format_message(),
            "correct the command",
        )
        console = Terminal(stderr=True)
        console.print(str(problem), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
