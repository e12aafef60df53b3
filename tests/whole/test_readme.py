"""Every command of README.md runs, in order, as it stands there; every link leads somewhere."""

from __future__ import annotations

import csv
import itertools
import re
import shlex
import shutil
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner

from data.cache import cache_root
from flows import cli
from flows.commands import console
from pet.config import PRESETS
from pet.settings import make_config
from tests.support.documents import (
    REPOSITORY,
    Step,
    anchors,
    code_in_text,
    links,
    make_targets,
    steps,
)
from tests.support.tiny_models import save_model

README = REPOSITORY / "README.md"
DOCUMENTS = [
    "README.md",
    "flows/README.md",
    "pet/README.md",
    "verbalizers/README.md",
    "data/README.md",
    "tests/README.md",
    "flows/nightly.md",
    "flows/ray.md",
]
STEPS = steps(README)
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
MODEL = ".cache/models/bert-tiny"  # as README has it
REAL_MODEL = cache_root() / "models" / "bert-tiny"

pytestmark = [
    pytest.mark.timeout(900),  # all steps together are the first test's setup
    # A tiny model knows few of the tickets' words, and the estimator warns of it.
    pytest.mark.filterwarnings("ignore:(?s).*a vocabulary made for others"),
]

# What the test changes, and all that it changes, so that a minute is enough:
# - The presets that README uses have few steps, one generation and short texts.
SMALL = {
    "generations": 1,
    "max_length": 48,
    "member": {"steps": 2, "batch_size": 4},
    "student": {"steps": 3, "batch_size": 8},
    "supervised": {"steps": 2, "batch_size": 4},
}
# - These words are added to a command. Runs by Prefect have tests of their own.
ADDED = {"run": ["--plain"]}
# - In place of the demo's BERT-tiny stands a tiny model of random weights; where the demo's models
#   have been fetched, everything is done with the real one as well (`-m demo`).
# - Before `pet review --answers`, the test does a person's part: it writes into `answer`.


@dataclass(frozen=True)
class Outcome:
    """What came of a step: nothing wrong, or what was said."""

    wrong: str
    said: str = ""


def do(step: Step) -> Outcome:
    """Run a step in this process, in the working directory."""
    if step.is_python:
        exec(compile(step.text, "README.md", "exec"), {})
        return Outcome("")
    program, *words = step.words
    if program == "make":
        missing = set(words) - make_targets()
        return Outcome(f"no such target: {missing}" if missing else "")
    if program == "pip":
        return Outcome(wrong_install(words))
    assert program == "pet", f"no way to run {step.text!r}"
    if words[0] == "review" and "--answers" in words:
        answer(Path(words[-1]))
    done = CliRunner().invoke(cli.app, [*words, *ADDED.get(words[0], [])])
    return Outcome("" if done.exit_code == 0 else done.output, done.output)


def wrong_install(words: list[str]) -> str:
    """Say what is wrong with the words after `pip`; test_wheel.py installs."""
    *options, target = words
    known = {".", *(f".[{name}]" for name in EXTRAS)}
    right = options == ["install", "-c", "constraints.txt"] and target in known
    return "" if right and (REPOSITORY / "constraints.txt").exists() else f"pip {words}"


def answer(path: Path) -> None:
    """Agree with every row but the first."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["answer"] = row["label"]
    rows[0]["answer"] = "billing" if rows[0]["label"] == "delivery" else "delivery"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(
    scope="module",
    params=[
        "tiny",
        pytest.param(
            "real",
            marks=[
                pytest.mark.demo,
                pytest.mark.faults,
                pytest.mark.skipif(
                    not REAL_MODEL.exists(), reason="python -m data.fetch bert-tiny"
                ),
            ],
        ),
    ],
)
def followed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Outcome]]:
    """The folder of somebody who has done what README says, and what came of each step."""
    place = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(REPOSITORY / "data" / "sample", place / "data" / "sample")
    (place / MODEL).parent.mkdir(parents=True)
    if request.param == "real":
        (place / MODEL).symlink_to(REAL_MODEL)
    else:  # a tokenizer of bytes, since that knows all words
        save_model("roberta", place / MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console.Stop, "install", lambda self: None)  # pytest's own are kept
        patch.setitem(PRESETS, "default", SMALL)
        patch.setitem(PRESETS, "fast", {**SMALL, **PRESETS["fast"]})
        patch.chdir(place)
        return place, [do(step) for step in STEPS]


def test_every_step_of_the_readme_works(followed: tuple[Path, list[Outcome]]) -> None:
    assert len(STEPS) >= 15, "the steps are no longer found"
    failed = {
        step.text: outcome.wrong
        for step, outcome in zip(STEPS, followed[1], strict=True)
        if outcome.wrong
    }
    assert not failed


def test_the_labels_come_out_as_a_csv_of_texts(followed: tuple[Path, list[Outcome]]) -> None:
    place = followed[0]
    labels = pyarrow.csv.read_csv(place / "exported" / "csv" / "labeled.csv")
    assert labels.column_names[:4] == ["id", "text", "label", "confidence"]
    assert labels.num_rows == 60
    assert set(labels["label"].to_pylist()) <= {"billing", "delivery", "technical"}


def test_the_answers_of_the_review_are_in_the_next_labeled_set(
    followed: tuple[Path, list[Outcome]],
) -> None:
    place, outcomes = followed
    [said] = [
        outcome.said
        for step, outcome in zip(STEPS, outcomes, strict=True)
        if "--answers" in step.text
    ]
    assert "10 rows added" in said
    written = next(line.split()[-1] for line in said.splitlines() if line.startswith("written"))
    assert len((place / written).read_text(encoding="utf-8").splitlines()) == 12 + 10


@pytest.mark.parametrize(
    "name",
    [
        "report.html",
        "report.json",
        "student/model.safetensors",
        "student/README.md",
        "rejected.parquet",
        "members",
        "soft_labels",
        "supervised",
        "config.json",
        "task.toml",
        "manifest.json",
    ],
)
def test_what_the_readme_says_comes_out_is_there(
    name: str, followed: tuple[Path, list[Outcome]]
) -> None:
    assert Path(name).parts[0] in README.read_text(encoding="utf-8")
    assert (followed[0] / "runs" / "tickets" / name).exists()


def test_the_label_files_have_the_columns_that_the_readme_names(
    followed: tuple[Path, list[Outcome]],
) -> None:
    names = pyarrow.parquet.read_table(followed[0] / "runs" / "tickets" / "labels").column_names
    text = README.read_text(encoding="utf-8")
    assert names
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_link_leads_to_a_file_that_is_there_and_to_a_heading_in_it(document: str) -> None:
    place = REPOSITORY / document
    targets = links(place)
    assert targets, "no link was found"
    for target in targets:
        path, _, heading = target.partition("#")
        file = place.parent / path if path else place
        assert file.exists(), target
        assert not heading or heading in anchors(file), target


def test_every_file_of_the_flows_has_its_line_in_their_table() -> None:
    place = REPOSITORY / "flows"
    named = [*code_in_text(place / "README.md"), *links(place / "README.md")]
    files = [path.name for path in place.rglob("*.py") if path.name != "__init__.py"]
    files = [name for name in files if not (place / "commands" / name).exists()]
    assert len(files) > 15
    assert [name for name in files if not any(fnmatch(name, own) for own in named)] == []


def test_the_readme_says_what_each_extra_brings() -> None:
    shown = [code.strip("'") for code in code_in_text(README)]
    assert [name for name in EXTRAS if f".[{name}]" not in shown] == []


def test_every_benchmark_has_its_line_in_the_guide_to_tests() -> None:
    shown = code_in_text(REPOSITORY / "tests" / "README.md")
    targets = {name for name in make_targets() if name.startswith("bench")}
    assert len(targets) >= 5
    assert {f"make {name}" for name in targets} <= set(shown)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_nobody_is_sent_to_an_index_for_a_package_that_is_not_there(document: str) -> None:
    """Under this name an index may hold anything: it is installed from a checkout."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    assert not re.search(r"pip install[^`\n]*[ '\"]pet\b", text)


def options_of_commands() -> dict[str, set[str]]:
    """Every command's options; `runs` has those of `runs show`, too."""
    group = typer.main.get_command(cli.app)
    found = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        every = [command, *getattr(command, "commands", {}).values()]
        found[name] = {
            option for own in every for parameter in own.params for option in parameter.opts
        }
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_names_commands_options_settings_and_targets_that_exist(document: str) -> None:
    place = REPOSITORY / document
    known = options_of_commands()
    known["any"] = {"--help"}.union(*known.values())
    shown = [step.text for step in steps(place) if not step.is_python]
    shown += [code for code in code_in_text(place) if code.startswith(("pet ", "make ", "--"))]
    assert shown, "nothing was found that could be wrong"
    for text in shown:
        words = shlex.split(text, comments=True)
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= make_targets(), text
        if words[0] != "pet" and not words[0].startswith("--"):
            continue
        options = {word for word in words if word.startswith("--")}
        assert options <= known[words[1] if words[0] == "pet" else "any"], text
        settings = [value for word, value in itertools.pairwise(words) if word == "--set"]
        make_config({"task": "t", "pool": "p", "out": "o", "model": "m"}, tuple(settings))


def test_every_package_stands_on_the_map_and_names_its_modules() -> None:
    """Who looks for where drift is measured would not find it."""
    pet = REPOSITORY / "pet"
    drawn = (pet / "README.md").read_text(encoding="utf-8").partition("## A map")[2]
    drawn = drawn.partition("Three habits")[0]
    packages = [path.parent for path in pet.glob("*/__init__.py")]
    assert len(packages) > 10
    top = [path.name for path in pet.glob("*.py") if path.name != "__init__.py"]
    assert [name for name in (*(p.name for p in packages), *top) if name not in drawn] == []
    unnamed = [
        f"{package.name}/{path.name}"
        for package in packages
        for path in sorted(package.glob("*.py"))
        if path.stem != "__init__"
        and f"`{path.stem}`" not in (package / "__init__.py").read_text(encoding="utf-8")
    ]
    assert unnamed == []
