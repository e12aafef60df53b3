"""The `pet` command: parse, call, render. Prefect is imported by `pet run` only."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
    from rich.console import Console

    from flows import screens
    from pet.config import RunConfig, make_config
    from pet.errors import InputError, Interrupted, PetError, Problem
    from pet.progress import Observer
    from pet.tasks import shipped_tasks
except KeyboardInterrupt:  # Ctrl-C in the first moments is no traceback
    raise SystemExit(130) from None

app = typer.Typer(
    name="pet", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="A few labeled texts and a raw pool in; a labeled pool and a small classifier out.",
)  # fmt: skip
runs_app = typer.Typer(no_args_is_help=False, help="List runs, or show one.")
app.add_typer(runs_app, name="runs")

out = Console()
err = Console(stderr=True)

Task = Annotated[str, typer.Argument(help="a task file, or a shipped task's name")]
Labeled = Annotated[str, typer.Option(help="labeled texts: CSV, JSONL or Parquet")]
PoolPath = Annotated[str, typer.Option("--pool", help="raw texts: a file or a folder")]
Out = Annotated[str, typer.Option("--out", help="the run folder")]
Test = Annotated[str | None, typer.Option(help="labeled texts to measure on")]
Model = Annotated[str | None, typer.Option(help="the teacher: a hub id or a local folder")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="any setting: --set student.steps=500")
]
LabelColumn = Annotated[str | None, typer.Option(help="the label's column [default: label]")]
TextColumn = Annotated[str | None, typer.Option(help="the text's column, of a one-field task")]
Json = Annotated[bool, typer.Option("--json", help="print JSON, for scripts")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="the folder of a run")]
With = Annotated[str, typer.Option("--with", help="student or ensemble")]


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

    def heed(self) -> None:
        """Stop here if a stop was asked for."""
        if self.asked:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Interrupted("you asked for it")

    def end(self) -> None:
        """Heed no more: the work is over, and its exit status shall stand."""
        if self.installed:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)

    def _end(self, *_: Any) -> None:
        said = f"stopped: no safe point came within {GRACE:.0f} s\n{how_to_go_on()}\n"
        if sys.stderr.isatty():
            said = f"\x1b[?25h\n{said}"  # the progress bar has hidden the cursor
        os.write(2, said.encode())
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
    except PetError as error:
        if debug:
            err.print_exception()
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
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
    finally:
        stop.end()


def how_to_go_on() -> str:
    """Return the command that goes on after a stop."""
    return f"what is done is kept; to go on:\n  pet {shlex.join(sys.argv[1:])}"


@app.command()
def run(
    task: Task, pool: PoolPath, out_folder: Out,
    labeled: Annotated[
        str | None, typer.Option(help="labeled texts [default: none, a zero-shot start]")
    ] = None,
    test: Test = None,
    model: Model = None,
    student_model: Annotated[
        str | None, typer.Option(help="the student's model [default: the teacher's]")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="a sentence encoder: one more member of the ensemble")
    ] = None,
    preset: Annotated[str, typer.Option(help="default, fast or paper")] = "default",
    label_column: LabelColumn = None, text_column: TextColumn = None,
    setting: Settings = None,
    plain: Annotated[bool, typer.Option("--plain", help="without Prefect")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="let new inputs into an old run folder")
    ] = False,
    json_out: Json = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Label a pool: train members, combine them, distil the student, write labels and report."""

    def work() -> None:
        stop.install()
        config = make_config(
            {
                "task": task, "labeled": labeled, "pool": pool, "out": out_folder, "test": test,
                "model": _model_or_problem(model), "student_model": student_model,
                "encoder": encoder,
                "preset": preset, "label_column": label_column, "text_column": text_column,
            },
            tuple(setting or ()),
        )  # fmt: skip
        observer = screens.progress(err, stop)
        report = _execute(config, observer, update, plain)
        if json_out:
            sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.result(out, report, Path(config.out))

    answer(work, debug)


def _execute(config: RunConfig, observer: Observer, update: bool, plain: bool) -> dict[str, Any]:
    if plain:
        from pet.pipeline import label_pool

        return label_pool(config, observer=observer, update=update)
    from flows.server import prepare

    prepare()  # before Prefect is imported: it reads its settings then
    from flows.label_pool import run_flow

    return run_flow(config, observer, update)


def _model_or_problem(model: str | None) -> str:
    if model is None:
        raise InputError(
            Problem("--model", "a masked or causal language model", "nothing",
                    "for example --model roberta-large, or the path of a local folder")
        )  # fmt: skip
    return model


@app.command()
def check(
    task: Task, labeled: Labeled,
    pool: Annotated[str | None, typer.Option("--pool", help="raw texts")] = None,
    test: Test = None, model: Model = None, label_column: LabelColumn = None,
    text_column: TextColumn = None, setting: Settings = None, json_out: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Look at a task and its data before any training: seconds, and nothing is written."""

    def work() -> None:
        from pet.check import check_inputs

        found = check_inputs(
            task, labeled, pool, test, model, label_column=label_column, text_column=text_column,
            settings=tuple(setting or ()),
        )  # fmt: skip
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.preview(out, found)

    answer(work, debug)


@app.command()
def label(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="the folder of a run; with --zero-shot, a task")
    ],
    pool: PoolPath,
    out_folder: Annotated[str, typer.Option("--out", help="the folder for the label files")],
    who: Annotated[
        str | None, typer.Option("--with", help="student (the default) or ensemble")
    ] = None,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="with a task's patterns and --model; no run needed")
    ] = False,
    model: Annotated[str | None, typer.Option(help="for --zero-shot: an id or a folder")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="for --zero-shot")] = None,
    text_column: TextColumn = None, json_out: Json = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Label a pool with a finished run's student or ensemble, or with an untrained model."""

    def work() -> None:
        _check_label_options(source, who, zero_shot, model, setting)
        stop.install()
        folder, observer = Path(out_folder), screens.progress(err, stop)
        if zero_shot:
            from pet.zero_shot import label_zero_shot

            written, reused, counts = label_zero_shot(
                source, pool, folder, model or "", observer, text_column=text_column,
                settings=tuple(setting or ()),
            )  # fmt: skip
        else:
            from pet.finished import label_new_pool

            written, reused, counts = label_new_pool(
                Path(source), pool, folder, who or "student", text_column, observer
            )
        if json_out:
            sys.stdout.write(json.dumps(counts, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.labels(out, counts, folder, written, reused)

    answer(work, debug)


def _check_label_options(
    source: str, who: str | None, zero_shot: bool, model: str | None, setting: list[str] | None
) -> None:
    """Refuse options that do not go together: a run has its model and settings, a task has none."""
    problems = []
    if zero_shot and model is None:
        problems.append(
            Problem("--zero-shot", "a language model", "no --model",
                    "--model .cache/models/bert-tiny, or an id such as roberta-large")
        )  # fmt: skip
    if zero_shot and who is not None:
        problems.append(
            Problem("--zero-shot", "no --with: neither student nor ensemble is there", repr(who),
                    "leave out --with, or --zero-shot")
        )  # fmt: skip
    for option, given in (("--model", model), ("--set", ", ".join(setting or ()))):
        if given and not zero_shot:
            problems.append(
                Problem(option, "a run's own model and settings", given,
                        f"leave out {option}, or label without a run: --zero-shot --model REF")
            )  # fmt: skip
    is_task = source.endswith(".toml") or source in shipped_tasks()
    if not zero_shot and is_task and not Path(source).is_dir():
        problems.append(
            Problem(source, "the folder of a finished run", "a task",
                    "to label without a run, add --zero-shot --model REF")
        )  # fmt: skip
    if problems:
        raise InputError(problems)


@app.command()
def predict(
    folder: RunFolder, texts: Annotated[list[str], typer.Argument(help="texts; - reads lines")],
    json_out: Json = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Say what the student thinks of some texts."""

    def work() -> None:
        from pet.finished import predict_texts

        lines = [line.rstrip("\n") for line in sys.stdin] if texts == ["-"] else texts
        found = predict_texts(folder, lines)
        if json_out:
            sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        else:
            screens.predictions(out, found)

    answer(work, debug)


@app.command()
def evaluate(
    folder: RunFolder, test: Annotated[str, typer.Option(help="labeled texts")],
    who: With = "student", label_column: LabelColumn = None, text_column: TextColumn = None,
    json_out: Json = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Measure a finished run's student or ensemble on labeled texts."""

    def work() -> None:
        from pet.finished import evaluate_run

        found = evaluate_run(
            folder, test, who, screens.progress(err, stop),
            label_column=label_column, text_column=text_column,
        )  # fmt: skip
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.evaluation(out, found)

    answer(work, debug)


@runs_app.callback(invoke_without_command=True)
def runs_list(
    context: typer.Context,
    under: Annotated[Path, typer.Option("--under", help="where run folders lie")] = Path("runs"),
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """List the runs in a folder."""

    def work() -> None:
        from pet.past_runs import list_runs

        rows = list_runs(under)
        if json_out:
            sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.run_list(out, rows, under)

    if context.invoked_subcommand is None:
        answer(work, debug)


@runs_app.command("show")
def runs_show(folder: RunFolder, json_out: Json = False, debug: Debug = False) -> None:
    """Show one run: what it made, from what, how good, and when."""

    def work() -> None:
        from pet.past_runs import show_run

        found = show_run(folder)
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.run_record(out, found, folder)

    answer(work, debug)


if __name__ == "__main__":
    app()
