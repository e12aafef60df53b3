"""`pet init`: with options alone, and with a person at the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from flows import cli
from flows.commands import init as command
from pet.tasks.task import load_task
from tests.support.samples import write_csv

Pet = Callable[..., Result]


@pytest.fixture
def pet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pet:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(cli.app, ["init", *map(str, words)])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, pet: Pet) -> Callable[..., Result]:
    """Run the command with somebody who types these lines."""

    class Somebody(command.Questions):
        def __init__(self, somebody: bool):
            super().__init__(True)

    monkeypatch.setattr(command, "Questions", Somebody)
    return lambda *words, typed: CliRunner().invoke(
        cli.app, ["init", *map(str, words)], input="\n".join([*typed, ""])
    )


def test_a_sample_with_labels_needs_no_question(pet: Pet, inputs_folder: Path) -> None:
    sample = inputs_folder / "labeled.csv"
    result = pet("news.toml", "--sample", sample, "--label-column", "label", "--kind", "topic")
    assert result.exit_code == 0, result.output
    assert load_task("news.toml").labels == ("business", "space", "sport")
    assert f"pet check news.toml --labeled {sample}" in result.stdout


def test_the_command_to_run_next_works(pet: Pet, inputs_folder: Path) -> None:
    shown = pet("news.toml", "--sample", inputs_folder / "labeled.csv").stdout.splitlines()[-1]
    checked = CliRunner().invoke(cli.app, shown.split()[1:])
    assert checked.exit_code == 0, checked.output


def test_a_sample_of_another_csv_is_read_and_checked_as_it_is_written(
    pet: Pet, inputs_folder: Path, tmp_path: Path
) -> None:
    sample = tmp_path / "rows.csv"
    sample.write_text((inputs_folder / "labeled.csv").read_text().replace(",", ";"))
    words = ("news.toml", "--sample", sample, "--label-column", "label", "--field", "text")
    result = pet(*words, "--csv", "delimiter=;")
    assert result.exit_code == 0, result.output
    shown = result.stdout.splitlines()[-1]
    assert shown.endswith("--set 'labeled_csv.delimiter=;'")
    checked = CliRunner().invoke(cli.app, shlex.split(shown)[1:])
    assert checked.exit_code == 0, checked.output


def test_a_file_that_is_there_stays(pet: Pet) -> None:
    Path("news.toml").write_text("mine")
    words = ("news.toml", "--label", "a", "--label", "b", "--field", "text")
    result = pet(*words)
    assert result.exit_code == 2
    assert "add --force" in result.stderr
    assert Path("news.toml").read_text() == "mine"
    replaced = pet(*words, "--force")
    assert "replaced   news.toml" in replaced.stdout


def test_numbers_as_labels_need_words(pet: Pet) -> None:
    words = ("stars.toml", "--label", "1", "--label", "2", "--field", "text", "--kind", "sentiment")
    result = pet(*words)
    assert result.exit_code == 2
    assert "--word 1=... --word 2=..." in result.stderr
    assert not Path("stars.toml").exists()
    assert pet(*words, "--word", "1=bad,poor", "--word", "2=good").exit_code == 0
    assert load_task("stars.toml").verbalizer("just")["1"] == ("bad", "poor")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("news.txt",), "ends in .toml"),
        (("n.toml",), "--label"),
        (("n.toml", "--label", "a", "--label", "b"), "--field"),
        (("n.toml", "--label", "a", "--label", "b", "--field", "t", "--word", "c=d"), "a, b"),
        (("n.toml", "--sample", "none.csv"), "none.csv"),
    ],
)
def test_what_is_missing_is_named_where_nobody_can_be_asked(
    pet: Pet, words: tuple[str, ...], message: str
) -> None:
    result = pet(*words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(Path().iterdir())


def test_a_person_is_asked_for_what_no_option_gives(
    asked: Callable[..., Result], inputs_folder: Path
) -> None:
    typed = [str(inputs_folder / "labeled.csv"), "", "", "", "trade, money", "moon", "", "News?"]
    result = asked("news.toml", typed=typed)
    assert result.exit_code == 0, result.output
    task = load_task("news.toml")
    assert task.description == "News?"
    assert dict(task.verbalizer("topic")) == {
        "business": ("trade", "money"),
        "space": ("moon",),
        "sport": ("sport",),
    }


def test_a_person_without_a_sample_names_labels_and_columns(asked: Callable[..., Result]) -> None:
    typed = ["", "yes, no", "premise, claim", "", "", "", ""]
    result = asked("pair.toml", typed=typed)
    assert result.exit_code == 0, result.output
    task = load_task("pair.toml")
    assert (task.labels, task.fields) == (("yes", "no"), ("premise", "claim"))
    assert dict(task.verbalizer("plain")) == {"yes": ("Yes",), "no": ("No",)}


def test_two_columns_with_labels_of_subjects_are_a_topic_in_the_words_of_the_language(
    pet: Pet,
) -> None:
    """Twelve German labels were put to the model as answers to whether two texts agree."""
    rows = [
        ("Paket fehlt", "Leider ist die Lieferung nicht in der Filiale angekommen", "Lieferung"),
        ("Falscher Betrag", "Auf der Rechnung steht ein falscher Betrag", "Rechnung"),
    ]
    write_csv(Path("t.csv"), rows, ("betreff", "text_der_mail", "label"))
    result = pet("mails.toml", "--sample", "t.csv")
    assert result.exit_code == 0, result.output
    task = load_task("mails.toml")
    assert task.fields == ("betreff", "text_der_mail")
    assert dict(task.verbalizer("category")) == {
        "Lieferung": ("Lieferung",),
        "Rechnung": ("Rechnung",),
    }
    assert all(set(pattern.fields) == set(task.fields) for pattern in task.patterns)


def test_a_person_who_walks_away_leaves_no_file(asked: Callable[..., Result]) -> None:
    result = asked("news.toml", typed=["", "yes, no"])
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    assert "should not" not in result.output
    assert not list(Path().iterdir())


def test_a_kind_that_there_is_not_is_asked_again(asked: Callable[..., Result]) -> None:
    typed = ["", "yes, no", "text", "opinion", "sentiment", "good", "bad", ""]
    assert asked("t.toml", typed=typed).exit_code == 0
    assert load_task("t.toml").patterns[0].name == "it_was"


@pytest.mark.parametrize(
    ("rows", "words", "field"),
    [
        ("body,label\nx,a\ny,b\n", ("--label", "a", "--label", "b"), "body"),
        ("body,kind\nx,a\ny,b\n", ("--label-column", "kind"), "body"),
    ],
)
def test_the_column_of_labels_is_no_text(
    pet: Pet, rows: str, words: tuple[str, ...], field: str
) -> None:
    """Else a model reads the answer beside the text, and looks perfect until it meets a pool."""
    Path("t.csv").write_text(rows)
    result = pet("t.toml", "--sample", "t.csv", *words)
    assert result.exit_code == 0, result.output
    assert load_task("t.toml").fields == (field,)


def test_a_question_with_words_of_the_data_is_no_command_to_the_terminal(
    asked: Callable[..., Result],
) -> None:
    title = "\x1b]0;mine\x07"  # sets a window's title
    Path("t.csv").write_text(f"text,label,{title}\nx,{title}news,1\ny,sport,2\n")
    result = asked("t.toml", typed=["t.csv", "", "", "", "news", "", ""])
    assert "words for \\x1b]0;mine\\x07news" in result.output
    assert "\x1b" not in result.output
    assert "\x07" not in result.output


SUGGESTED: dict[str, Any] = {
    "rows": 12,
    "own": 0.5,
    "suggested": 0.75,
    "better": True,
    "words": {"sport": ("game",)},
    "toml": '[suggested_words]\nsport = "game"\n\n[words_from]\nrows = ["0123456789abcdef"]\n',
}


@pytest.fixture
def suggesting(monkeypatch: pytest.MonkeyPatch) -> None:
    from pet.checking import check

    monkeypatch.setattr(check, "check_inputs", lambda *some, **more: {"suggested": SUGGESTED})


def test_suggested_words_are_shown_and_not_taken_where_nobody_agrees(
    pet: Pet, suggesting: None, inputs_folder: Path
) -> None:
    words = ("news.toml", "--sample", inputs_folder / "labeled.csv", "--model", "any")
    result = pet(*words)
    assert result.exit_code == 0, result.output
    assert "50 %" in result.stdout or "50.0 %" in result.stdout
    assert SUGGESTED["toml"] in result.stdout
    assert load_task("news.toml").verbalizer("about")["sport"] == ("sport",)


@pytest.mark.parametrize(("said", "words"), [("y", ("sport", "game")), ("n", ("sport",))])
def test_a_person_is_asked_whether_to_add_suggested_words(
    asked: Callable[..., Result],
    suggesting: None,
    inputs_folder: Path,
    said: str,
    words: tuple[str, ...],
) -> None:
    sample = inputs_folder / "labeled.csv"
    own = ("news.toml", "--sample", sample, "--model", "any", "--label-column", "label")
    result = asked(*own, typed=["", "", "", "", "", "what?", said])
    assert result.exit_code == 0, result.output
    assert load_task("news.toml").verbalizer("about")["sport"] == words
