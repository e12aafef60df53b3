"""Labels without a run: right rows, right prior, the same bytes again, and nothing trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pet.checking import zero_shot
from pet.checking.zero_shot import label_zero_shot
from pet.config import ModelRef
from pet.errors import InputError, Interrupted
from pet.method.calibration import UNTRAINED, calibration_offset
from pet.method.ensembling import softmax
from pet.models.scoring import cloze_encoder, score_columns
from pet.models.teachers import load_teacher
from pet.pipeline import label_pool
from pet.progress import SILENT, Observer
from pet.storage.locks import LOCK
from pet.storage.units import LABELS_DONE
from pet.tasks.task import load_task
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.cloze import CPU, config_of, encoder_for
from tests.support.run_files import label_rows

SMALL = ("device=cpu", "max_length=32", "shard_rows=16", "tokens_per_batch=512")


class Notes(Observer):
    """Remembers notes; asks to stop after so many rows of labeling."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.lines: list[str] = []
        self.stages: list[str] = []
        self._left = stop_after

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        self.stages.append(stage)

    def advance(self, amount: int) -> None:
        if self._left is not None and self.stages[-1] == "labeling the pool":
            self._left -= amount
            if self._left < 0:
                raise Interrupted("you asked for it")

    def note(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def label(inputs_folder: Path, model_folder: ModelFolder, tmp_path: Path) -> Any:
    """Label the tiny pool: `label("out", "seed=7", kind="llama")`."""

    def work(
        out: str,
        *settings: str,
        kind: str = "bert",
        task: Path | str | None = None,
        pool: Path | None = None,
        observer: Observer = SILENT,
        **more: Any,
    ) -> Any:
        return label_zero_shot(
            str(task or inputs_folder / "task.toml"),
            str(pool or inputs_folder / "pool.parquet"),
            tmp_path / out,
            str(model_folder(kind)),
            observer,
            settings=(*SMALL, *settings),
            **more,
        )

    return work


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK}


def pattern_logits(
    task_path: Path,
    model_path: Path,
    texts: Sequence[str],
    prior: Sequence[str] | None,
    calibration: Any,
) -> np.ndarray:
    """Ask every pattern by itself. [patterns, rows, labels]"""
    task = load_task(task_path)
    model = load_teacher(ModelRef(str(model_path)), CPU)
    stack = []
    for pattern in task.patterns:
        encoder = cloze_encoder(config_of(max_length=32), task, model, pattern.name)
        if prior is not None:
            before = score_columns(model, encoder, {"text": prior}, 512)
            encoder.offset = calibration_offset(before, calibration).astype(np.float32)
        stack.append(score_columns(model, encoder, {"text": texts}, 512))
    return np.stack(stack)


@pytest.mark.parametrize("calibration", ["half-matched", "pool", "content-free", "none"])
def test_labels_are_the_mean_of_the_calibrated_patterns(
    label: Any, inputs_folder: Path, model_folder: ModelFolder, tmp_path: Path, calibration: str
) -> None:
    written, reused, counts = label("out", f"calibration={calibration}")
    usable = [t for t in samples.pool_texts() if t is not None and t.strip()]
    assert (written, reused, counts["rows"], counts["rejected"]) == (3, 0, len(usable), 3)
    priors = {"content-free": ["N/A", "[MASK]", ""], "none": None}
    logits = pattern_logits(
        inputs_folder / "task.toml",
        model_folder("bert"),
        usable,
        priors.get(calibration, usable),
        calibration,
    )
    centred = logits - logits.mean(axis=-1, keepdims=True)
    expected = softmax(centred.mean(axis=0), 1.0 if calibration == "none" else UNTRAINED)
    rows = label_rows(tmp_path / "out")
    found = np.array([list(row["probabilities"].values()) for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [row["label"] for row in rows] == [samples.LABELS[i] for i in expected.argmax(axis=1)]
    agree = (logits.argmax(axis=-1) == expected.argmax(axis=-1)).mean(axis=0)
    np.testing.assert_allclose([row["agreement"] for row in rows], agree, atol=1e-6)


def test_unusable_rows_are_listed_and_have_no_label(label: Any, tmp_path: Path) -> None:
    counts = label("out")[2]
    rejected = pq.read_table(counts["rejected_file"]).to_pylist()
    assert [row["row"] for row in rejected] == [7, 20, 33]
    labeled = {row["id"] for row in label_rows(tmp_path / "out")}
    assert len(labeled) == 37
    assert not labeled & {f"pool.parquet:{row}" for row in (7, 20, 33)}


def test_what_was_broken_off_goes_on_to_the_same_bytes(label: Any, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        label("out", observer=Notes(stop_after=20))
    assert len(list((tmp_path / "out").glob("part-*"))) == 1
    assert not (tmp_path / "out" / LABELS_DONE).exists()
    assert label("out")[:2] == (2, 1)
    label("straight")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "straight")
    assert label("out")[:2] == (0, 3)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "straight")


def test_the_size_of_shards_changes_no_label(label: Any, tmp_path: Path) -> None:
    """The sample for the prior must not depend on how the pool is cut."""
    label("small", "shard_rows=7")
    label("large", "shard_rows=100")
    small, large = (label_rows(tmp_path / name) for name in ("small", "large"))
    assert [row["id"] for row in small] == [row["id"] for row in large]
    for one, other in zip(small, large, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_the_prior_is_of_a_sample_of_the_whole_pool(
    label: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first rows it would be wrong for a pool that is sorted by subject."""
    monkeypatch.setattr(zero_shot, "PRIOR_ROWS", 50)
    pool = samples.write_pool(tmp_path / "sorted.parquet", [f"news {n}" for n in range(400)])
    asked: list[Any] = []
    ask = zero_shot.score_in_turn
    monkeypatch.setattr(zero_shot, "score_in_turn", lambda *a: asked.append(a[2]) or ask(*a))
    label("out", pool=pool)
    places = sorted(int(text.split()[1]) for text in asked[0]["text"])
    assert len(set(places)) == 50
    assert places[0] < 50
    assert places[-1] > 350
    assert 150 < np.mean(places) < 250


def test_the_model_is_loaded_once(label: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load = zero_shot.teacher_of
    monkeypatch.setattr(
        zero_shot, "teacher_of", lambda config: loaded.append(config) or load(config)
    )
    label("out")
    assert len(loaded) == 1


def test_patterns_that_a_causal_model_cannot_use_are_skipped_with_a_note(
    label: Any, tmp_path: Path
) -> None:
    notes = Notes()
    label("out", kind="llama", observer=notes)
    assert "category, bracket" in notes.lines[0]
    assert {row["agreement"] for row in label_rows(tmp_path / "out")} == {1.0}


def test_a_model_that_cannot_read_the_pool_is_warned_of(label: Any, tmp_path: Path) -> None:
    notes = Notes()
    pool = samples.write_pool(tmp_path / "pool.parquet", ["房间很干净", "早餐的种类太少"] * 5)
    label("out", pool=pool, observer=notes)
    assert "of the tokens are unknown in pool rows" in notes.lines[0]


def test_a_shipped_task_and_another_text_column_will_do(
    label: Any, inputs_folder: Path, tmp_path: Path
) -> None:
    pool = samples.write_csv(tmp_path / "pool.csv", [("the game",), ("news",)], ("body",))
    counts = label("out", pool=pool, text_column="body")[2]
    assert counts["rows"] == 2


@pytest.mark.parametrize(
    "change", ["max_length=24", "calibration=none", "seed=7", "tokens_per_batch=256"]
)
def test_labels_of_other_settings_are_not_written_over(
    label: Any, tmp_path: Path, change: str
) -> None:
    label("out")
    before = bytes_of(tmp_path / "out")
    with pytest.raises(InputError, match="made from something else"):
        label("out", change)
    assert bytes_of(tmp_path / "out") == before


def test_other_words_or_label_order_are_other_labels(
    label: Any, inputs_folder: Path, tmp_path: Path
) -> None:
    label("out")
    toml = (inputs_folder / "task.toml").read_text()
    lines = toml.splitlines()
    place = lines.index('sport = "sport"')
    lines[place], lines[place + 1] = lines[place + 1], lines[place]
    for number, changed in enumerate((toml.replace('"moon"', '"orbit"'), "\n".join(lines))):
        other = tmp_path / f"task-{number}.toml"
        other.write_text(changed)
        with pytest.raises(InputError, match="made from something else"):
            label("out", task=other)
    same = tmp_path / "same.toml"
    same.write_text(toml + "\n# a remark\n")
    assert label("out", task=same)[:2] == (0, 3)


def test_a_run_is_no_task(label: Any, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the folder of a run"):
        label("out", task=tiny_run)


@pytest.mark.parametrize("setting", ["member.steps=3", "test=t.csv", "adapt_steps=5"])
def test_settings_that_would_change_nothing_are_refused(label: Any, setting: str) -> None:
    with pytest.raises(InputError, match="nothing is trained here"):
        label("out", setting)


def test_everything_wrong_is_reported_at_once_and_nothing_is_written(
    inputs_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as raised:
        label_zero_shot(
            str(inputs_folder / "task.toml"),
            str(tmp_path / "no-pool"),
            tmp_path / "out",
            str(tmp_path / "no-model"),
            SILENT,
        )
    assert "no-model" in str(raised.value)
    assert "no-pool" in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_pool_with_many_unusable_rows_is_refused_as_by_a_run(label: Any, tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    rows = [{"text": f"the team won game {n}"} for n in range(4)]
    pool.write_text("\n".join(map(json.dumps, [*rows, {**rows[0], "id": "a"}])))
    with pytest.raises(InputError, match=r"at most 10% unusable rows(.|\n)*no id \(4\)"):
        label("out", pool=pool)
    assert not list((tmp_path / "out").glob("*.parquet"))
    assert label("out", "max_rejected=0.9", pool=pool)[2]["rejected"] == 4


def test_a_pool_without_a_usable_row_is_refused(label: Any, tmp_path: Path) -> None:
    pool = samples.write_pool(tmp_path / "pool.parquet", [None, "", " "])
    with pytest.raises(InputError, match="none of them usable: empty text"):
        label("out", pool=pool)
    assert not (tmp_path / "out").exists()


def test_a_pair_of_fields_is_asked_about_together(label: Any, tmp_path: Path) -> None:
    toml = samples.task_toml(["category"]).replace('["text"]', '["text", "more"]')
    task = tmp_path / "pairs.toml"
    task.write_text(toml.replace("{text}", "{text} || {more}"))
    rows = [("the game", "was on"), ("news", "of the moon")]
    pool = samples.write_csv(tmp_path / "pairs.csv", rows, ("text", "more"))
    assert label("out", task=task, pool=pool)[2]["rows"] == 2
    with pytest.raises(InputError, match="a task with one field"):
        label("other", task=task, pool=pool, text_column="more")


def test_a_pattern_of_weight_zero_has_no_say(
    label: Any, inputs_folder: Path, tmp_path: Path
) -> None:
    """Labels without a run take the task's weights too."""
    task = tmp_path / "task.toml"
    others = "".join(f"{name} = 0\n" for name in samples.PATTERNS if name != "last")
    task.write_text(f"{samples.task_toml()}[weights]\n{others}", encoding="utf-8")
    alone = tmp_path / "alone.toml"
    alone.write_text(samples.task_toml(["last"]), encoding="utf-8")
    label("weighted", task=task)
    label("alone", task=alone)
    one, other = label_rows(tmp_path / "weighted"), label_rows(tmp_path / "alone")
    assert [row["confidence"] for row in one] == pytest.approx(
        [row["confidence"] for row in other], abs=1e-5
    )


CHOICES = """name = "copa"
fields = ["text", "one", "two"]
[labels]
first = "{one}"
second = "{two}"
[patterns]
so = "{text} so {mask}"
"or" = "{one} or {two}? {text} so {mask}"
"""
ASKED = [
    ("the team won", "it was a good game", "the moon"),
    ("the rocket was big", "bad news", "bad news"),
    ("it was [MASK]", "[MASK]", "the bank and the market and the stock and the price " * 9),
]


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_labels_that_are_fields_are_asked_for_row_by_row(
    label: Any, model_folder: ModelFolder, tmp_path: Path, kind: str
) -> None:
    """Multiple choice: each row's own texts are the words, as if the task were made for the row.

    Equal choices are equally likely; what no model can be asked for, or is too long, ends nothing.
    """
    (tmp_path / "copa.toml").write_text(CHOICES, encoding="utf-8")
    pool = tmp_path / "pool.csv"
    samples.write_csv(pool, ASKED, ("text", "one", "two"))
    label("out", task=tmp_path / "copa.toml", pool=pool, kind=kind)
    found = [list(row["probabilities"].values()) for row in label_rows(tmp_path / "out")]
    assert found[1] == pytest.approx([0.5, 0.5], abs=1e-6)
    assert np.isfinite(found).all()
    text, one, two = ASKED[0]
    model = load_teacher(ModelRef(str(model_folder(kind))), CPU)
    logits = []
    for template in ("{text} so {mask}", f"{one} or {two}? {{text}} so {{mask}}"):
        words = {"first": (one,), "second": (two,)}
        encoder = encoder_for(
            model.tokenizer, template, reading=model.reading, words=words, max_length=32
        )
        logits.append(score_columns(model, encoder, {"text": [text]}, 512)[0])
    centred = np.stack(logits) - np.mean(logits, axis=1, keepdims=True)
    np.testing.assert_allclose(found[0], softmax(centred.mean(axis=0)), atol=1e-4)


def test_a_run_on_multiple_choice_is_refused_with_what_can_be_done(
    config_for: Any, tmp_path: Path
) -> None:
    """Its words were called "an unknown token", which does not say why."""
    (tmp_path / "copa.toml").write_text(CHOICES, encoding="utf-8")
    samples.write_csv(tmp_path / "pool.csv", ASKED, ("text", "one", "two"))
    config = config_for(
        task=str(tmp_path / "copa.toml"), pool=str(tmp_path / "pool.csv"), labeled=None, test=None
    )
    with pytest.raises(InputError, match=r"the same for every row(.|\n)*--zero-shot"):
        label_pool(config)
