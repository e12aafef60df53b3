"""What must hold for any input at all. `make test-thorough` tries far more of them."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pet.data.pool import PoolBatch
from pet.errors import InputError
from pet.method.ipet import draw_rows, generation_quotas
from pet.pipeline import label_pool
from pet.storage.files import write_parquet
from pet.student.label_files import Predictions, count_labels, label_table
from pet.tasks.compilation import plain_encoder
from pet.tasks.encoding import Encoder, TokenizedTexts, tokenize
from pet.tasks.task import Task, parse_task
from tests.support import samples, tiny_models
from tests.support.cloze import encoder_for, row_ids

TEXT = st.text(max_size=60)  # any Unicode but half characters
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


# Task files


def task_or_problems(toml_text: str) -> Task | None:
    """Whatever is in the file: a task that can be used, or problems that say what is wrong."""
    try:
        task = parse_task(toml_text, "t.toml")
    except InputError as error:
        found = [p for p in error.problems if not (p.expected and p.found and p.fix)]
        return pytest.fail(f"no help: {found}") if found else None
    assert FOLDER.fullmatch(task.name)
    assert task.patterns
    for pattern in task.patterns:
        assert FOLDER.fullmatch(pattern.name)
        assert set(pattern.fields) <= set(task.fields)
        assert tuple(task.verbalizer(pattern.name)) == task.labels
        assert all(task.verbalizer(pattern.name).values())
    return task


@given(st.text())
def test_any_text_is_a_task_or_problems(toml_text: str) -> None:
    task_or_problems(toml_text)


@given(st.integers(0, len(samples.TICKETS)), st.integers(0, 12), st.text(max_size=12))
def test_a_good_file_with_a_damaged_place_is_a_task_or_problems(
    place: int, length: int, put_in: str
) -> None:
    task_or_problems(samples.TICKETS[:place] + put_in + samples.TICKETS[place + length :])


VALUES = st.recursive(
    st.one_of(TEXT, st.integers(), st.booleans(), st.just(1.5), st.sampled_from(["{mask} {text}"])),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
TABLES = st.dictionaries(st.one_of(TEXT, st.sampled_from(["a", "b", "p"])), VALUES, max_size=4)


@given(
    st.fixed_dictionaries({}, optional={"name": VALUES, "fields": VALUES, "source": VALUES}),
    st.dictionaries(st.sampled_from(["labels", "patterns", "verbalizers"]), TABLES),
)
def test_values_of_any_kind_are_a_task_or_problems(
    plain: dict[str, Any], tables: dict[str, dict[str, Any]]
) -> None:
    lines = [f"{key} = {as_toml(value)}" for key, value in plain.items()]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{as_toml(key)} = {as_toml(table[key])}" for key in table)]
    task_or_problems("\n".join(lines))


def as_toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# Encoding


TOKENIZERS = {
    kind: tiny_models.KINDS[kind][0]() for kind in ("bert", "roberta", "xlm_roberta", "gpt2")
}
TOKENIZERS["gpt2"].pad_token = TOKENIZERS["gpt2"].eos_token  # as load_tokenizer does
MARKED = st.sampled_from(["[MASK]", "<mask>", "</s>", "[SEP] [CLS]", "<|endoftext|>", "\0", "it"])
TEXTS = st.lists(st.one_of(TEXT, MARKED, TEXT.map(lambda t: t * 200)), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(texts=TEXTS, max_length=st.integers(24, 40), masks=st.integers(1, 2))
def test_any_text_is_cut_to_fit_between_an_unchanged_pattern_and_its_mask(
    kind: str, texts: list[str], max_length: int, masks: int
) -> None:
    tokenizer, causal = TOKENIZERS[kind], kind == "gpt2"
    encoder = encoder_for(
        tokenizer,
        "news: {text} it is {mask}",
        reading="causal" if causal else "masked",
        max_length=max_length,
        words={"a": ("sport news",), "b": ("space",)},
    )
    nothing = TokenizedTexts(np.zeros(0, np.int32), np.zeros(2, np.int64))
    around = row_ids(encoder.batch(dict.fromkeys(encoder.slots, nothing), np.arange(1), masks))
    batch = fill(encoder, tokenizer, texts, masks)
    assert batch.ids.shape[1] <= max_length
    assert (batch.ids >= 0).all()
    assert (batch.ids < len(tokenizer)).all()
    for row in range(len(texts)):
        ids = row_ids(batch, row)
        text = len(ids) - len(around)
        assert around in [ids[:start] + ids[start + text :] for start in range(len(around) + 1)]
        if not causal:
            masked = [place for place, token in enumerate(ids) if token == tokenizer.mask_token_id]
            assert masked == batch.masks[row].tolist()
        assert ids == row_ids(fill(encoder, tokenizer, [texts[row]], masks))


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(first=TEXTS, second=TEXT, max_length=st.integers(8, 40))
def test_any_pair_of_texts_fits_a_plain_classifier(
    kind: str, first: list[str], second: str, max_length: int
) -> None:
    tokenizer = TOKENIZERS[kind]
    encoder = plain_encoder(tokenizer, ["a", "b"], max_length)
    batch = fill(encoder, tokenizer, first, 1, b=[second] * len(first))
    assert batch.ids.shape[1] <= max_length
    assert (batch.attention.sum(1) <= max_length).all()
    if batch.types is not None:
        assert set(np.unique(batch.types)) <= {0, 1}


def fill(encoder: Encoder, tokenizer: Any, texts: list[str], masks: int, **more: Any) -> Any:
    columns = {"text": texts, "a": texts, **more}
    tokens = {
        slot: tokenize(tokenizer, columns[slot.name], encoder.max_length, slot.space)
        for slot in encoder.slots
    }
    return encoder.batch(tokens, np.arange(len(texts)), masks)


# Label files


@given(
    rows=st.lists(st.tuples(TEXT, st.integers(0, 2**32 - 1)), max_size=20),
    labels=st.lists(TEXT, min_size=2, max_size=5, unique=True),
    threshold=st.floats(0, 1),
)
def test_a_label_file_gives_back_what_was_said(
    rows: list[tuple[str, int]], labels: list[str], threshold: float
) -> None:
    ids = [id for id, _ in rows]
    drawn = [np.random.default_rng(seed).dirichlet(np.ones(len(labels))) for _, seed in rows]
    said = np.array(drawn, np.float64).reshape(len(rows), len(labels))
    votes = np.where(np.arange(len(rows)) % 2, np.nan, 0.5)
    batch = PoolBatch(ids, {}, np.arange(len(rows)), None, [])
    table = label_table(batch, Predictions(said, votes, "student"), tuple(labels), threshold)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part-00000.parquet")
        write_parquet(path, table, {"task": "größe"})
        found = pq.ParquetFile(path).read().to_pylist()
        counts = count_labels(Path(folder), tuple(labels))
    assert [row["id"] for row in found] == ids
    best = said.astype(np.float32)
    for row, own in zip(found, best, strict=True):
        assert row["probabilities"] == dict(zip(labels, own.tolist(), strict=True))
        assert row["confidence"] == own.max()
        assert row["label"] in [
            label for label, p in row["probabilities"].items() if p == own.max()
        ]
    assert [row["agreement"] is None for row in found] == np.isnan(votes).tolist()
    assert sum(counts["counts"].values()) == counts["rows"] == len(rows)
    assert counts["abstained"] == sum(row["abstain"] for row in found)


# iPET


@given(
    counts=st.lists(st.integers(0, 200), min_size=2, max_size=8),
    generation=st.integers(1, 4),
    factor=st.floats(1.1, 8),
)
def test_quotas_grow_and_keep_the_labeled_sets_ratio(
    counts: list[int], generation: int, factor: float
) -> None:
    quotas = generation_quotas(counts, generation, factor)
    assert (quotas >= 0).all()
    assert (generation_quotas(counts, generation + 1, factor) >= quotas).all()
    if sum(counts):
        whole = quotas + np.array(counts)
        base = np.maximum(counts, 1)
        at_least = np.array(counts) + 1  # one row more, however slowly they grow
        wanted = np.maximum(base * factor**generation, at_least)
        np.testing.assert_allclose(whole, wanted, atol=0.5)
    else:
        assert len(set(quotas.tolist())) == 1
        assert quotas.min() >= 1


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 60),
    quotas=st.lists(st.integers(0, 40), min_size=2, max_size=5),
    most_likely=st.one_of(st.none(), st.integers(1, 30)),
    sharp=st.sampled_from([0.01, 1.0, 100.0]),
)
def test_a_draw_fills_its_quotas_or_says_what_is_missing(
    seed: int, rows: int, quotas: list[int], most_likely: int | None, sharp: float
) -> None:
    rng = np.random.default_rng(seed)
    said = rng.dirichlet(np.full(len(quotas), sharp), rows)
    trainable = rng.random(rows) < 0.7
    drawn = draw_rows(said, np.array(quotas), rng, trainable=trainable, most_likely=most_likely)
    per_label = np.bincount(drawn.labels, minlength=len(quotas))
    assert (per_label + drawn.missing == quotas).all()
    assert len(np.unique(drawn.rows)) == len(drawn.rows)
    assert trainable[drawn.rows].all()
    if most_likely is None:
        assert (said[drawn.rows].argmax(1) == drawn.labels).all()


# Going on


UNITS = [
    *(f"members/g0-{name}-r0" for name in samples.PATTERNS),
    *(f"members/g0-{name}-r0/done.json" for name in samples.PATTERNS),
    "members/g0-last-r0/logits", "members/untrained-category", "unlabeled", "soft_labels",
    "student", "student/done.json", "supervised", "evaluation", "labels",
    "labels/part-00001.parquet", "labels/.done.json", "rejected.parquet", "report.json",
]  # fmt: skip
SAME = ("labels/*.parquet", "soft_labels/*.parquet", "rejected.parquet", "**/*.safetensors")


@settings(
    max_examples=max(3, settings.default.max_examples // 20),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lost=st.sets(st.sampled_from(UNITS), min_size=1))
def test_whatever_is_lost_of_a_run_is_made_again_byte_for_byte(
    lost: set[str], tiny_run: Path, config_for: Callable[..., Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(tiny_run, Path(folder, "news")))
        for name in lost:
            path = copy / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        label_pool(config_for(out=copy))
        for pattern in SAME:
            files = sorted(path.relative_to(tiny_run) for path in tiny_run.glob(pattern))
            assert files
            assert files == sorted(path.relative_to(copy) for path in copy.glob(pattern))
            for file in files:
                assert (copy / file).read_bytes() == (tiny_run / file).read_bytes(), file
