"""`pet init`: ask a few questions, write a task file."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import answer, out
from flows.commands.options import Csv, Debug, Model
from flows.screens import preview as preview_screen
from pet.config import CsvConfig
from pet.errors import InputError, Problem
from pet.escaping import visible
from pet.settings import read_csv_options
from pet.storage.locations import place_problem

if TYPE_CHECKING:
    from pet.tasks.task_draft import Sample

ID_COLUMNS = ("id", "row_id")
LABEL_COLUMN = "label"  # as it is mostly called


def init(
    place: Annotated[str, typer.Argument(metavar="OUT", help="the task file: tickets.toml")],
    sample: Annotated[
        str | None, typer.Option(help="a file of your texts: CSV, JSONL or Parquet")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="topic, sentiment or pair")] = None,
    language: Annotated[
        str, typer.Option(help="of the texts: en, de, es, fr, zh, ja or ar")
    ] = "en",
    field: Annotated[
        list[str] | None, typer.Option(help="a column of text; twice for a pair")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="the sample's column of labels, if it has one")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="a label, as it stands in the data; once for each")
    ] = None,
    word: Annotated[
        list[str] | None, typer.Option(help="label=word, or label=word,word: instead of its name")
    ] = None,
    model: Model = None,
    description: Annotated[str | None, typer.Option(help="what is asked, in one sentence")] = None,
    csv: Csv = None,
    force: Annotated[bool, typer.Option("--force", help="replace a file that is there")] = False,
    debug: Debug = False,
) -> None:
    """Write a task file for your own labels; asks for what no option gives."""

    def work() -> None:
        from pet.inputs.run_tables import csv_format
        from pet.tasks import languages, task_draft

        if problem := place_problem("OUT", place):
            raise InputError(problem)
        out_file = Path(place)
        _check_place(out_file, force)
        ask = Questions(sys.stdin.isatty())
        path = sample or ask.maybe("a file with some of your texts (nothing: none)")
        column = label_column
        written = csv_format(read_csv_options(csv or ()) or CsvConfig(), "--csv ")
        seen = task_draft.read_sample(path, column, written) if path else task_draft.Sample((), ())
        if path and column is None and not label:
            likely = LABEL_COLUMN if LABEL_COLUMN in seen.columns else ""
            question = "its column of labels" + ("" if likely else " (nothing: none)")
            column = ask.maybe(question, likely) or likely or None
            seen = task_draft.read_sample(path, column, written)
        names = tuple(label or seen.labels) or ask.several(
            "the labels", "--label", fix=_columns_hint(seen, column)
        )
        fields = tuple(field or ()) or ask.several(
            "the columns of text", "--field", _likely_fields(seen, column)
        )
        likely = task_draft.likely_kind(fields, names)
        chosen = kind or ask.choice("the kind of task", list(languages.KINDS), likely)
        given = _given_words(word or [], names)
        readable = path and set(fields) <= set(seen.columns)
        capitals = bool(readable) and task_draft.nouns_have_capitals(str(path), fields, written)
        words = {}
        for name in names:
            known = chosen in languages.KINDS and language in languages.LANGUAGES
            proposal = task_draft.proposed_words(name, chosen, capitals, language) if known else ()
            words[name] = given.get(name) or ask.words(name, proposal)
        about = description or ask.maybe("what is asked, in one sentence (for the report)")
        name = task_draft.task_name(out_file)
        draft = task_draft.Draft(name, about, fields, words, chosen, language)
        verb = "replaced" if out_file.exists() else "written"
        task_draft.write_draft(draft, out_file)
        first = [f"{verb:<11}{out_file}", f"patterns   {chosen}"]
        _show(first, out_file, words, path, column, csv or [])
        if model and path and column:
            _offer_words(out_file, path, column, model, csv or [], ask)

    answer(work, debug)


class Questions:
    """Asks a person at a terminal; where nobody is, takes proposals or names the option."""

    def __init__(self, somebody: bool):
        self._somebody = somebody

    def maybe(self, question: str, default: str = "") -> str:
        """Ask for what may be left out."""
        if not self._somebody:
            return ""
        return _prompt(question, default)

    def one(self, question: str, option: str, default: str = "", fix: str = "") -> str:
        """Ask for what is needed."""
        if self._somebody:
            return _prompt(question, default or None)
        if default:
            return default
        raise InputError(
            Problem(
                option,
                f"an answer: {question}",
                "nothing, and nobody to ask",
                fix or f"add {option}",
            )
        )

    def choice(self, question: str, names: list[str], default: str) -> str:
        """Ask for one of some names."""
        if not self._somebody:
            return default
        while (given := self.one(f"{question}: {', '.join(names)}", "", default)) not in names:
            typer.echo(f"{given} is none of these")
        return given

    def agrees(self, question: str) -> bool:
        """Ask for a yes; nobody is no."""
        return self._somebody and typer.confirm(question)

    def several(
        self, question: str, option: str, default: str = "", fix: str = ""
    ) -> tuple[str, ...]:
        """Ask for a list."""
        given = self.one(f"{question}, with commas between", option, default, fix)
        return tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))

    def words(self, label: str, proposal: tuple[str, ...]) -> tuple[str, ...]:
        """Ask for the words of a label; without anybody there, take what is proposed."""
        if not self._somebody:
            return proposal
        return self.several(f"words for {label}", "--word", ", ".join(proposal))


def _prompt(question: str, default: str | None) -> str:
    """Ask at the terminal. Questions and proposals hold words of the data: none is a command."""
    shown = f" [{visible(default)}]" if default else ""
    return str(typer.prompt(visible(question) + shown, default=default, show_default=False)).strip()


def _check_place(out_file: Path, force: bool) -> None:
    problems = []
    if out_file.suffix.lower() != ".toml":
        problems.append(
            Problem(
                str(out_file),
                "a name that ends in .toml",
                out_file.suffix or "no ending",
                f"pet init {shlex.quote(str(out_file.with_suffix('.toml')))}",
            )
        )
    if out_file.is_dir() or (out_file.exists() and not force):
        problems.append(
            Problem(
                str(out_file),
                "a name that is free",
                "a folder" if out_file.is_dir() else "a file",
                "choose another name, or add --force to replace the file",
            )
        )
    if problems:
        raise InputError(problems)


def _columns_hint(seen: Sample, column: str | None) -> str:
    """Return the fix for a sample whose column of labels has not been named."""
    if column or not seen.columns:
        return ""
    from pet.data.columns import listed

    return f"add --label, or --label-column with one of {listed(seen.columns)}"


def _likely_fields(seen: Sample, label_column: str | None) -> str:
    """Propose the columns of text: `text`, or the only other columns, up to two."""
    known = (*ID_COLUMNS, label_column or LABEL_COLUMN)
    others = [name for name in seen.columns if name not in known]
    if "text" in others:
        return "text"
    return ", ".join(others) if len(others) <= 2 else ""


def _given_words(pairs: list[str], labels: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Read `label=word,word`; a label may hold = itself, so the longest label wins."""
    found, problems = {}, []
    for pair in pairs:
        own = max((name for name in labels if pair.startswith(f"{name}=")), key=len, default=None)
        words = tuple(
            part.strip() for part in pair[len(own or "") + 1 :].split(",") if part.strip()
        )
        if own is None or not words:
            problems.append(
                Problem(
                    f"--word {pair}",
                    f"LABEL=WORD, a label of {', '.join(labels)}",
                    repr(pair),
                    f"for example --word '{labels[0]}=WORD,WORD'",
                )
            )
        else:
            found[own] = words
    if problems:
        raise InputError(problems)
    return found


def _offer_words(
    out_file: Path, sample: str, column: str, model: str, csv: list[str], ask: Questions
) -> None:
    """Show which label words the sample's rows suggest to a model, and add them if a person agrees.

    Nothing is added where nobody is there to agree: the screen says what to paste.
    """
    from pet.checking.check import check_inputs
    from pet.storage.files import write_text

    options = {"task": str(out_file), "labeled": sample, "label_column": column, "model": model}
    settings = tuple(f"labeled_csv.{pair}" for pair in csv)
    found = check_inputs(options, settings, with_words=True)["suggested"]
    preview_screen.suggested_words(out, found)
    if found is None or not found["better"] or not ask.agrees("add them to the task file?"):
        return
    write_text(out_file, f"{out_file.read_text(encoding='utf-8')}\n{found['toml']}")


def _show(
    lines: list[str],
    out_file: Path,
    words: dict[str, tuple[str, ...]],
    sample: str | None,
    column: str | None,
    csv: list[str],
) -> None:
    lines += [f"  {label}: {', '.join(own)}" for label, own in words.items()]
    lines.append("read it over: better words and patterns make better labels. Then:")
    command = ["pet", "check", str(out_file), "--labeled"]
    command += [str(sample)] if sample and column else ["YOUR-LABELED-TEXTS.csv"]
    if column not in (None, "label"):
        command += ["--label-column", str(column)]
    if sample and not column:
        command += ["--pool", sample]
    role = "labeled_csv" if column else "pool_csv"
    command += [word for pair in csv for word in ("--set", f"{role}.{pair}")]
    lines.append(f"  {shlex.join(command)}")
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
