"""Untrusted models, data and settings: nothing of them runs, leaves its folder or is repeated."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig
from typer.testing import CliRunner

from flows import cli
from flows.commands import console
from pet.errors import InputError
from pet.finished.inference import predict_texts
from pet.pipeline import label_pool
from pet.storage.locks import LOCK, locked
from pet.storage.units import file_digest
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.files import parquet

Configure = Callable[..., Any]
ROOT = Path(__file__).parents[2]


class _Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {shlex.quote(str(self.mark))}",)


def plant(folder: Path, mark: Path) -> Path:
    """Put everything into a model's folder that some library would run."""
    code = f"open({str(mark)!r}, 'w').close()\n"
    for name in (
        "modeling_own",
        "configuration_own",
        "tokenization_own",
        "setup",
        "__init__",
        "custom_generate/generate",
        "conftest",
    ):
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    bomb = pickle.dumps(_Bomb(mark))
    for name in (
        "pytorch_model.bin",
        "adapter_model.bin",
        "training_args.bin",
        "optimizer.pt",
        "tokenizer.pkl",
        "tokenizer.pt",
        "model.pt",
        "flax_model.msgpack",
    ):
        (folder / name).write_bytes(bomb)
    jinja = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.popen("
    changes: dict[str, dict[str, Any]] = {
        "config.json": {
            "auto_map": {
                "AutoConfig": "configuration_own.Own",
                "AutoModel": "modeling_own.Own",
                "AutoModelForMaskedLM": "modeling_own.Own",
                "AutoModelForCausalLM": "modeling_own.Own",
                "AutoModelForSequenceClassification": "modeling_own.Own",
            },
            "custom_pipelines": {"x": {"impl": "modeling_own.Own"}},
        },
        "tokenizer_config.json": {
            "auto_map": {"AutoTokenizer": ["tokenization_own.Own", "tokenization_own.Own"]},
            "chat_template": f"{jinja}'touch {mark}').read() }}}}",
        },
    }
    for name, change in changes.items():
        found = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**found, **change}))
    return folder


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that anything planted would create."""
    return tmp_path / "it-ran"


@pytest.fixture
def planted(model_folder: ModelFolder, tmp_path: Path, mark: Path) -> Callable[[str], str]:
    def make(kind: str) -> str:
        folder = Path(shutil.copytree(model_folder(kind), tmp_path / f"planted-{kind}"))
        return str(plant(folder, mark))

    return make


def test_what_is_planted_would_really_run(planted: Callable[[str], str], mark: Path) -> None:
    folder = Path(planted("bert"))
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert mark.exists()
    mark.unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own"}))
    with pytest.raises(AttributeError):
        AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert mark.exists()


@pytest.mark.parametrize(
    ("option", "kind"),
    [("model", "bert"), ("model", "gpt2"), ("encoder", "bert"), ("student_model", "roberta")],
)
def test_nothing_in_a_models_folder_runs_in_a_whole_run(
    config_for: Configure, planted: Callable[[str], str], mark: Path, option: str, kind: str
) -> None:
    out = Path(label_pool_of(config_for(**{option: planted(kind)})))
    assert not mark.exists()
    assert not [path for path in out.rglob("*") if path.suffix in (".py", ".bin", ".pt", ".pkl")]


def label_pool_of(config: Any) -> str:
    label_pool(config)
    return str(config.out)


def test_nothing_in_a_run_folder_runs_when_its_student_is_asked(run_copy: Path, mark: Path) -> None:
    plant(run_copy / "student", mark)
    with pytest.raises(InputError, match="was changed or removed after it was made"):
        predict_texts(run_copy, ["a game"])
    done = run_copy / "student" / "done.json"
    record = json.loads(done.read_text())
    del record["digest"]
    own = [path for path in done.parent.iterdir() if path.is_file() and path != done]
    files = {path.name: file_digest(path) for path in own}
    # As someone who made it by hand would.
    done.write_text(json.dumps({**record, "files": files}))
    assert predict_texts(run_copy, ["a game"])
    assert not mark.exists()


RUNS_CODE = {"eval", "exec", "compile", "__import__"}
UNPICKLES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
}


@pytest.mark.parametrize("package", ["pet", "flows"])
def test_no_code_of_ours_unpickles_or_runs_text(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                of = node.module if isinstance(node, ast.ImportFrom) else ""
                names = {of or "", *(alias.name for alias in node.names)}
                assert not {name.partition(".")[0] for name in names} & UNPICKLES, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in RUNS_CODE | {"torch.load", "yaml.load", "os.system"}, path
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert given.get("trust_remote_code", "False") == "False", path
                assert given.get("shell", "False") == given.get("allow_pickle", "False") == "False"
                if called.endswith(".from_pretrained"):
                    assert "trust_remote_code" in given, path


HOSTILE_TASK = """\
name = "news"
description = "What is it about? <script>alert(1)</script> | [x](javascript:1)\\n\\n# Injected"
fields = ["text"]

[labels]
"../../../escape" = "sport"
"<img src=x onerror=alert(1)>" = "space"
"=cmd|' /C calc'!A0 `x`" = "business"

[patterns]
category = "category: {mask}. {text}"
"""


def test_names_in_the_data_lead_nowhere_and_are_escaped_wherever_they_are_shown(
    config_for: Configure, tmp_path: Path
) -> None:
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "task.toml").write_text(HOSTILE_TASK)
    names = ["../../../escape", "<img src=x onerror=alert(1)>", "=cmd|' /C calc'!A0 `x`"]
    rows = [(text, names[place % 3]) for place, (text, _) in enumerate(samples.labeled_rows())]
    samples.write_csv(inputs / "labeled.csv", rows, ("text", "label"))
    samples.write_csv(inputs / "test.csv", [("a new game", names[0])], ("text", "label"))
    texts = [text or "news" for text in samples.pool_texts()]
    ids = [f"../../../{number}/etc/passwd\0" for number in range(len(texts))]
    parquet(inputs / "pool.parquet", id=ids, text=texts)
    before = set(tmp_path.rglob("*"))
    label_pool(config_for(inputs=inputs))
    assert {path.relative_to(tmp_path).parts[0] for path in {*tmp_path.rglob("*")} - before} == {
        "news"
    }
    card = (tmp_path / "news" / "student" / "README.md").read_text()
    for markup in ("<img", "<script", "`x`", "\n# Injected", "[x](java"):
        assert markup not in card


def test_a_link_in_the_locks_place_has_no_other_file_emptied(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("weeks of work")
    for target in (tmp_path / "mine.txt", tmp_path / "run" / "mine.txt"):
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        target.write_text("weeks of work")
        (run / LOCK).symlink_to(target)
        with pytest.raises(InputError), locked(run):
            pass
        assert target.read_text() == "weeks of work"
        (run / LOCK).unlink()


def test_a_link_that_leads_out_of_a_run_is_not_followed_by_what_writes(
    config_for: Configure, run_copy: Path, tmp_path: Path
) -> None:
    """Label files of an earlier, longer pool are deleted: not those of another run, by a link."""
    other = tmp_path / "other"
    (run_copy / "labels").rename(other)
    (other / "part-00099.parquet").write_bytes(b"weeks of work")
    (run_copy / "labels").symlink_to(other)
    with pytest.raises(InputError, match="labels, a link to"):
        label_pool(config_for(out=run_copy))
    assert (other / "part-00099.parquet").exists()


def test_a_run_folder_may_itself_be_a_link(config_for: Configure, tmp_path: Path) -> None:
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "large-disk")
    assert label_pool(config_for(out=tmp_path / "run"))["labels"]["rows"]


SECRET = "hf_pa55word"


def test_no_secret_of_the_environment_is_written_anywhere(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "PREFECT_API_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("PREFECT_API_URL", f"http://me:{SECRET}@127.0.0.1:9/api")
    out = Path(label_pool_of(config_for()))
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize("option", ["pool", "test", "labeled", "model", "encoder", "student_model"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(
    option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console.Stop, "install", lambda self: None)
    words = ["run", "t.toml", "--pool", "p.csv", "--out", "out", "--model", "m"]
    address = f"https://me:{SECRET}@host/x.parquet?X-Signature={SECRET}"
    result = CliRunner().invoke(cli.app, [*words, f"--{option.replace('_', '-')}", address])
    assert result.exit_code == 2
    assert "an address: https://host\n" in result.stderr
    assert SECRET not in result.output
    assert not (tmp_path / "out").exists()


TEXT = (
    "[bold red]a game[/bold red] [link=https://evil.example]x[/link] \x1b[2J\x1b]0;title\x07\x9b1m"
)


def test_texts_and_labels_do_not_steer_the_terminal(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    shown = CliRunner().invoke(cli.app, ["predict", str(run_copy), TEXT]).stdout
    assert "[bold red]a game[/bold red] [link=https://evil.example]x[/link]" in shown
    assert "\\x1b[2J\\x1b]0;title\\x07\\x9b1m" in shown
    for sign in "\x1b\x07\x9b":
        assert sign not in shown
    samples.write_csv(run_copy / "hostile.csv", [("a", TEXT)], ("text", "label"))
    said = (
        CliRunner()
        .invoke(cli.app, ["evaluate", str(run_copy), "--test", str(run_copy / "hostile.csv")])
        .stderr
    )
    assert "the task's labels" in said
    for sign in "\x1b\x07\x9b":
        assert sign not in said
