"""A first task file: labels and columns from a sample, patterns that suit the kind of task."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pet.data.columns import Need, listed
from pet.data.data_files import UNSTATED, CsvFormat, Reason
from pet.data.label_values import class_names, drop_unlabeled, labels_of_rows
from pet.data.pool import open_pool
from pet.data.readers import open_sources, read_answers, with_columns
from pet.data.text_keys import alike, named_apart
from pet.errors import InputError, Problem
from pet.storage.files import sweep, writing
from pet.tasks.languages import ENGLISH, KINDS, LANGUAGES, known_words, patterns_of
from pet.tasks.task import load_task

MOST_LABELS = 1000  # more distinct values are texts or ids, not labels

FEW, LONG = 100, 60  # of more values than that, labels have fewer characters on average

TEXTS = 1000  # of a sample that are looked at

# Of the words within sentences: German has some 0.3, as do headlines; English names are 0.1.
CAPITALS = 0.2

WITHIN = re.compile(r"(?<=[^\W\d_][ ]|[,;][ ])[^\W\d_]{2,}")  # a word that begins no sentence

NOUNS_WITH_CAPITALS = ("de",)


@dataclass(frozen=True)
class Sample:
    """What a file of the user's texts shows: its columns, and the labels in one of them."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    """What a first task file is made from; `words` are by label."""

    name: str
    description: str
    fields: tuple[str, ...]
    words: Mapping[str, Sequence[str]]
    kind: str
    language: str = ENGLISH


def read_sample(path: str, label_column: str | None, written: CsvFormat = UNSTATED) -> Sample:
    """Read a file's column names, and the labels in one column, in order.

    Raises:
        InputError: no such file, no such column, or a column of texts rather than labels.
    """
    sources = [with_columns(source, None) for source in open_sources(path, written)]
    columns = tuple(dict.fromkeys(name for source in sources for name in source.schema.names))
    if label_column is None:
        return Sample(columns, ())
    need = Need(label_column, "of labels", "--label-column")
    pool = open_pool(path, [], needs=[need], id_column=None, written=written)
    classes = class_names(pool.sources, label_column)
    labels: set[str] = set(classes)
    chunks = (chunk for source in pool.sources for chunk in read_answers(source, [label_column]))
    for chunk in chunks:
        if Reason.UNDECODABLE in chunk.faults:
            row = chunk.first + int(np.flatnonzero(chunk.faults == Reason.UNDECODABLE)[0]) + 1
            raise InputError(
                Problem(
                    str(chunk.source.path),
                    "labels in UTF-8",
                    f"other bytes in row {row:,}",
                    "save the file as UTF-8",
                )
            )
        rows = labels_of_rows(chunk.table.column(0).to_pylist(), labels, classes)
        if several := [names for names in rows if len(names) > 1]:
            raise InputError(
                Problem(
                    str(chunk.source.path),
                    "one label in every row",
                    f"several in {len(several):,} rows, the first: {listed(several[0])}",
                    "keep one of them, or name the labels: --label A --label B",
                )
            )
        labels |= {name for names in rows for name in names}
        texts = len(labels) > FEW and np.mean([len(label) for label in labels]) > LONG
        most = FEW if texts else MOST_LABELS
        if len(labels) > MOST_LABELS or texts:
            raise InputError(
                Problem(
                    path,
                    f"at most {most:,} different labels in {label_column!r}",
                    f"more, such as {listed(sorted(labels), 3)}",
                    "is --label-column right? else name the labels: --label A --label B",
                )
            )
    if slips := alike(sorted(labels)):
        raise InputError(
            Problem(
                path,
                "labels that differ in more than case, blanks and Unicode's forms",
                "; ".join(map(named_apart, slips[:3])),
                "a slip? write each label in one way; or name the labels: --label A --label B",
            )
        )
    return Sample(columns, tuple(sorted(drop_unlabeled(labels))))


def likely_kind(fields: Sequence[str], labels: Sequence[str]) -> str:
    """Propose what is asked: how two texts relate where the labels say that, else the topic."""
    answers = all(known_words(_plain(label), "pair") for label in labels)
    return "pair" if len(fields) == 2 and answers else "topic"


def nouns_have_capitals(path: str, fields: Sequence[str], written: CsvFormat = UNSTATED) -> bool:
    """Return whether the texts of a sample are of a language that writes nouns with capitals.

    Raises:
        InputError: no such file, or no such columns.
    """
    batch = next(
        iter(open_pool(path, fields, id_column=None, written=written).batches(TEXTS)), None
    )
    texts = [text for own in batch.columns.values() for text in own] if batch is not None else []
    words = [word for text in texts for word in WITHIN.findall(text)]
    return sum(map(str.istitle, words)) > CAPITALS * len(words)


def task_name(path: Path) -> str:
    """Make a task's name of a file's: letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem).strip("_-")[:64] or "task"


def _plain(label: str) -> str:
    return _spaced(label).lower()


def _spaced(label: str) -> str:
    return " ".join(re.sub(r"[_\s]+", " ", label).split())


def proposed_words(
    label: str, kind: str, capitals: bool = False, language: str = ENGLISH
) -> tuple[str, ...]:
    """Propose words for a label: known ones, else its name; none where the name has no letter.

    Args:
        capitals: nouns have them in the language of the texts, so those of the name stay.
    """
    if (known := known_words(_plain(label), kind, language)) is not None:
        return known
    name = _spaced(label)
    capitals = capitals or language in NOUNS_WITH_CAPITALS
    word = name if capitals and not name.isupper() else name.lower()
    return (word,) if any(letter.isalpha() for letter in word) else ()


def check_draft(draft: Draft) -> None:
    """State everything that a draft lacks.

    Raises:
        InputError: no such kind, too few labels, a label without a word, fields that do not fit.
    """
    problems = []
    if draft.language not in LANGUAGES:
        problems.append(
            Problem(
                "--language",
                f"one of {', '.join(LANGUAGES)}",
                repr(draft.language),
                "leave it out for English patterns, and write your own in the file",
            )
        )
    if draft.kind not in KINDS:
        problems.append(
            Problem(
                "--kind",
                f"one of {', '.join(KINDS)}",
                repr(draft.kind),
                "topic: what a text is about; sentiment: how it is meant; "
                "pair: how two texts relate",
            )
        )
    if draft.kind == "pair" and len(draft.fields) != 2:
        problems.append(
            Problem(
                "--field",
                "two columns, for a pair of texts",
                listed(draft.fields),
                "for example --field premise --field hypothesis",
            )
        )
    if not draft.fields:
        problems.append(Problem("--field", "a column of text", "none", "for example --field text"))
    if len(draft.words) < 2:
        problems.append(
            Problem(
                "--label",
                "at least two labels",
                listed(list(draft.words)),
                "name them: --label A --label B, or the sample's column: --label-column",
            )
        )
    silent = [label for label, words in draft.words.items() if not words]
    if silent:
        options = " ".join(f"--word {shlex.quote(f'{label}=...')}" for label in silent[:5])
        problems.append(
            Problem(
                "--word",
                "a word for every label, which a model can put into a sentence",
                f"labels without letters: {listed(silent, 10)}",
                f"say in a word what each means: {options}",
            )
        )
    if problems:
        raise InputError(problems)


def write_draft(draft: Draft, out: Path) -> None:
    """Write a task file that has been loaded once, or none at all.

    Raises:
        InputError: the draft is no good as a task; everything that is wrong is listed.
    """
    check_draft(draft)
    sweep(out.parent, below=False)
    with writing(out) as temporary:
        temporary.write_text(draft_toml(draft), encoding="utf-8", newline="\n")
        try:
            load_task(temporary)
        except InputError as error:
            raise InputError(
                replace(problem, where=problem.where.replace(str(temporary), str(out)))
                for problem in error.problems
            ) from None


def draft_toml(draft: Draft) -> str:
    """Write the task as TOML, with comments that teach the format."""
    labels = "".join(
        f"{quoted(label)} = {word_list(words)}\n" for label, words in draft.words.items()
    )
    own = patterns_of(draft.kind, draft.language)
    patterns = "".join(
        f"{name} = {quoted(_template(template, draft.fields))}\n" for name, template in own.items()
    )
    fields = ", ".join(quoted(name) for name in draft.fields)
    return f"""\
# What to label, and how to ask a language model for it. `pet check` shows what becomes of it.
name = {quoted(draft.name)}
description = {quoted(draft.description)}
fields = [{fields}]  # the columns that patterns use

# A label as it stands in the data = a word for it, or several: what the model would put into
# the sentence. Everyday words do best; no word may stand under two labels.
[labels]
{labels}
# The same question in several ways, to be averaged. {{mask}} is the word's place, once; a column's
# name in braces is its text. Patterns that end in {{mask}} suit causal models (Llama, ...) too;
# || parts two segments. Reword these for your texts.
[patterns]
{patterns}
# Other words under one pattern:
# [verbalizers.{next(iter(own))}]
# label = "word"
"""


def _template(template: str, fields: Sequence[str]) -> str:
    """Put a task's fields into one of our templates; braces in it are placeholders."""
    slots = {
        "{text}": " ".join(f"{{{name}}}" for name in fields),
        "{first}": f"{{{fields[0]}}}",
        "{second}": f"{{{fields[-1]}}}",
    }
    return re.sub(r"\{(text|first|second)\}", lambda found: slots[found.group()], template)


def word_list(words: Sequence[str]) -> str:
    """Write one word as TOML, or a list of several."""
    every = [quoted(word) for word in words]
    return every[0] if len(every) == 1 else f"[{', '.join(every)}]"


def quoted(text: str) -> str:
    """Write a TOML basic string: JSON's escapes are TOML's too, but TOML wants 0x7f escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
