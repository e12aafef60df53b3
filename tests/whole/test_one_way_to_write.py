"""There is one way to write a file, `pet.storage.files.writing`: who is let into its room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("pet", "flows", "data", "tests/bench")
WRITES = {
    "write_text",
    "write_bytes",
    "write_table",
    "ParquetWriter",
    "save_pretrained",
    "save_file",
    "save",
    "copyfile",
    "copyfileobj",
    "copytree",
    "replace",
    "rename",
    "to_csv",
    "to_parquet",
    "dump",
    "savez",
    "tofile",
    "move",
    "symlink_to",
    "pwrite",
}
# Each of these is handed a path inside the temporary room of `writing`, or of a download.
INSIDE = {
    "pet/storage/files.py: _put_in_place",
    "pet/storage/units.py: make_unit",
    "pet/storage/files.py: write_text",
    "pet/inputs/pool_sample.py: _sample",
    "pet/inputs/pool_sample.py: sample_pool",
    "pet/student/label_files.py: set_aside",
    "pet/student/label_files.py: reject",
    "pet/storage/files.py: write_parquet",
    "pet/models/model.py: save",
    "pet/method/linear_head.py: save",
    "pet/method/word_classifier.py: save",
    "pet/ensemble/member_training.py: _fit",
    "pet/ensemble/member_training.py: _train",
    "pet/ensemble/adaptation.py: build",
    "pet/ensemble/joint_training.py: _save",
    "pet/student/distillation.py: keep_student",
    "pet/student/exits.py: build",
    "data/cache.py: write_seal",
    "data/debtags.py: write",
    "data/debtags.py: write_task",
    "data/intents.py: write_intents",
    "data/subjects.py: build_subjects",
    "data/texts.py: write_rows",
    "data/models.py: convert_gguf",
    "data/archives.py: pip_download",
    "data/archives.py: extract_members",
    "tests/bench/baselines.py: cached_embeddings",
    "tests/bench/pictures.py: _draw_demo",
    "tests/bench/pictures.py: _few_colours",
    "tests/bench/tables.py: write_tables",
    "tests/bench/setfit_train.py: main",
    "pet/models/adapter.py: _write",
    "pet/models/adapter.py: save_adapter",
    "pet/tasks/task_draft.py: write_draft",
    "pet/estimator.py: save",
    "pet/finished/exports.py: _write_onnx",
    "pet/finished/exports.py: export_run",
    "pet/finished/labeled_pool.py: write_labeled_csv",
    "pet/finished/labeled_pool.py: write_labeled_pool",
    "pet/models/model.py: save_settings",
    "pet/reviewing/annotation_files.py: _write_csv",
    "pet/student/student_folder.py: save",
}
# These are no results: who holds a lock, what a server said, what an environment was made from,
# a temporary folder's files; what was fetched from a bucket; a rename by itself, which is one step;
# lines of a log, of which a torn one is dropped.
OTHERS = {
    "pet/storage/locks.py: _name",
    "pet/storage/files.py: append_line",
    "pet/storage/files.py: drop_torn_line",
    "flows/runtime/server.py: _start",
    "tests/bench/setfit.py: environment",
    "tests/bench/runs.py: measure_larger",
    "pet/finished/comparison.py: _deal",
    "pet/student/student_folder.py: __getstate__",
    "pet/student/student_folder.py: __setstate__",
    "pet/nightly/label_store.py: _rename",
    "pet/storage/mirrors.py: _get",
}
# Benchmarks write their tables and what they measure with; a killed one is started again.
TABLES = {
    "job", "jobs", "pairs", "review", "size", "speed", "students", "transfer", "tuning",
    "tuning_settings",
}  # fmt: skip


def places(code: str, name: str) -> Iterator[str]:
    """Yield every function of a file that calls something that writes."""
    tree = ast.parse(code)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if writes(call):
            around = [f for f in functions if f.lineno <= call.lineno <= (f.end_lineno or 0)]
            inner = max(around, key=lambda f: f.lineno).name if around else "the module"
            yield f"{name}: {inner}"


def writes(call: ast.Call) -> bool:
    called = call.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    texts = [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
    if name == "open":
        return any(set(text) <= set("rwaxb+t") and set(text) & set("wax+") for text in texts)
    if name == "replace":  # of a path: a text's has two arguments, a dataclass's and datetime's too
        return isinstance(called, ast.Attribute) and getattr(called.value, "id", "") == "os"
    return name in WRITES and (isinstance(called, ast.Attribute) or name == "save_file")


def test_nothing_writes_past_the_one_way() -> None:
    """A file that is written where it lies is half a file after a kill."""
    found = {
        place
        for folder in FOLDERS
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        if folder != "tests/bench" or path.stem not in TABLES
        for place in places(path.read_text(), path.relative_to(REPOSITORY).as_posix())
    }
    assert found <= INSIDE | OTHERS, "not known to write to a temporary name"
    assert found >= INSIDE | OTHERS, "named here, but gone"


@pytest.mark.parametrize(
    "code",
    [
        "def f(p): p.write_text('x')",
        "def f(p): open(p, 'w')",
        "def f(p): p.open('ab')",
        "def f(p): p.open(mode='x')",
        "import os\ndef f(p): os.replace(p, p)",
        "def f(t, p): pq.write_table(t, p)",
        "def f(m, p): m.save_pretrained(p)",
    ],
)
def test_every_usual_way_is_seen(code: str) -> None:
    assert list(places(code, "a.py")) == ["a.py: f"]


@pytest.mark.parametrize(
    "code", ["open(p)", "p.open('rb')", "'a'.replace('b', 'c')", "replace(task, x=1)", "p.read()"]
)
def test_reading_is_not_taken_for_writing(code: str) -> None:
    assert list(places(code, "a.py")) == []
