"""The `pet` command: every command is a function in `flows/commands/`: parse, call, render."""

from __future__ import annotations

from typing import Annotated

try:
    import typer

    import pet
    from flows.commands import past_runs
    from flows.commands.certify import certify
    from flows.commands.check import check
    from flows.commands.diff import diff
    from flows.commands.estimate import estimate
    from flows.commands.export import export
    from flows.commands.finished import evaluate, label, predict
    from flows.commands.init import init
    from flows.commands.nightly import nightly
    from flows.commands.report import report
    from flows.commands.review import review
    from flows.commands.run import run
    from flows.commands.transfer import transfer
    from flows.usage import Commands
except KeyboardInterrupt:  # Ctrl-C in the first moments is no traceback
    raise SystemExit(130) from None

app = typer.Typer(
    name="pet",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A few labeled texts and a raw pool in; a labeled pool and a small classifier out.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pet {pet.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options in front of a command's name."""


COMMANDS = (
    init, check, run, label, predict, evaluate, report, review, certify, estimate, nightly,
    diff, transfer, export,
)  # fmt: skip
for command in COMMANDS:
    # A text may begin with a dash.
    context = {"ignore_unknown_options": True} if command is predict else None
    app.command(context_settings=context)(command)
app.add_typer(past_runs.app, name="runs")


if __name__ == "__main__":
    app()
