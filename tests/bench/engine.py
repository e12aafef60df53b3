"""Rates of the engine at three sizes of model and on three kinds of text, beside the ceiling."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.nn import functional
from transformers import BertConfig, BertForMaskedLM

from data.cache import cache_root
from pet.cloze_models import ClozeModel
from pet.config import RunConfig, TrainingConfig
from pet.encoding import Encoder
from pet.loading import load_tokenizer
from pet.models import Texts
from pet.scoring import cloze_encoder, score, tokenize_columns
from pet.tasks import load_task
from pet.training import train
from tests.bench.loops import MAX_LENGTH, plain_scores, plain_training
from tests.bench.machine import Geometry, ceiling, wait_for

ROUNDS = 3  # each measures ceiling, ours and the plain loop; ratios are taken within a round
BATCH_SIZE = 8  # rows of a training step
KINDS = ("films", "posts", "mixed")
TOKENS_PER_BATCH = RunConfig.model_fields["tokens_per_batch"].default


@dataclass(frozen=True)
class Rates:
    """One line of the table: medians over the rounds.

    Attributes:
        rows, tokens: a second; for training, rows that are learned from.
        of_ceiling: useful arithmetic as a share of the machine's own matrix-product rate.
        of_plain: times as fast as the plain loop.
        tokenising: seconds of tokenising as a share of tokenising and scoring.
    """

    what: str
    geometry: str
    kind: str
    rows: float
    tokens: float
    ceiling: float
    of_ceiling: float
    of_plain: float
    tokenising: float


def texts_of(kind: str) -> list[str]:
    """Real texts: film snippets of about 30 tokens, posts of about 190, and a long-tailed mix."""
    films, posts = (
        pq.read_table(cache_root() / task / "pool.parquet")["text"].to_pylist()
        for task in ("movies", "newsgroups")
    )
    if kind == "mixed":
        rng = np.random.default_rng(0)
        pick = rng.choice(3, size=len(posts), p=(0.7, 0.25, 0.05))
        return [
            (films[row % len(films)], post, " ".join(posts[row : row + 4]))[which]
            for row, (post, which) in enumerate(zip(posts, pick, strict=True))
        ]
    return list(films if kind == "films" else posts)


def model_of(geometry: Geometry, device: torch.device) -> ClozeModel:
    """A masked model of random weights: it takes as long as a trained one."""
    tokenizer = load_tokenizer(str(cache_root() / "models" / "bert-tiny"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=geometry.width, num_hidden_layers=geometry.layers,
        num_attention_heads=geometry.heads, intermediate_size=geometry.inner,
    )  # fmt: skip
    return ClozeModel(BertForMaskedLM(config), tokenizer, device, causal=False)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Time one call, to its end on the device."""
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def measure(geometry: Geometry, kind: str, device: torch.device, budget: float) -> list[Rates]:
    """Measure scoring and training at a size of model on a kind of text.

    Args:
        budget: seconds that one measurement may take if half the ceiling is reached.
    """
    model = model_of(geometry, device)
    task = load_task("newsgroups")
    encoder = cloze_encoder(model, task, "category", MAX_LENGTH)
    words = [of_label[0][0] for of_label in encoder.words.tokens]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    texts = _affordable(geometry, encoder, model, texts_of(kind), device, dtype, budget)
    tokens = tokenize_columns(encoder, model.tokenizer, {"text": texts})
    lengths = encoder.lengths(tokens, np.arange(len(texts)))
    score(model, encoder, tokens, tokens_per_batch=TOKENS_PER_BATCH)  # a warm-up
    plain_scores(model.module, model.tokenizer, texts[:2], words)
    lines = []
    for what, share in (("scoring", 1), ("training", 3)):  # backward: twice the forward's work
        ours_of, plain_of = _works(what, model, encoder, tokens, texts, words)
        best, ours, plain, cut = [], [], [], []
        for _ in range(ROUNDS):
            best.append(ceiling(geometry, device, dtype))
            cut.append(
                seconds_of(
                    lambda: tokenize_columns(encoder, model.tokenizer, {"text": texts}), device
                )
            )
            ours.append(seconds_of(ours_of, device))
            plain.append(seconds_of(plain_of, device))
        useful = share * geometry.useful(lengths)
        took = statistics.median(ours)
        lines.append(
            Rates(
                what, geometry.name, kind, len(texts) / took, float(lengths.sum()) / took,
                statistics.median(best),
                statistics.median(useful / o / b for o, b in zip(ours, best, strict=True)),
                statistics.median(p / (o + c) for p, o, c in zip(plain, ours, cut, strict=True)),
                statistics.median(c / (o + c) for o, c in zip(ours, cut, strict=True)),
            )
        )  # fmt: skip
    return lines


def _affordable(
    geometry: Geometry, encoder: Encoder, model: ClozeModel, texts: list[str],
    device: torch.device, dtype: torch.dtype, budget: float,
) -> list[str]:  # fmt: skip
    """Take as many texts as half the ceiling would score in the time that there is."""
    some = texts[:500]
    tokens = tokenize_columns(encoder, model.tokenizer, {"text": some})
    of_row = geometry.useful(encoder.lengths(tokens, np.arange(len(some)))) / len(some)
    affordable = int(0.5 * budget * ceiling(geometry, device, dtype) / of_row)
    return texts[: max(BATCH_SIZE, affordable)]


def _works(
    what: str, model: ClozeModel, encoder: Encoder, tokens: Texts, texts: list[str],
    words: list[int],
) -> tuple[Callable[[], object], Callable[[], object]]:  # fmt: skip
    """Our way to do it, and the plain way, on the same rows."""
    if what == "scoring":
        return (
            lambda: score(model, encoder, tokens, tokens_per_batch=TOKENS_PER_BATCH),
            lambda: plain_scores(model.module, model.tokenizer, texts, words),
        )
    rows = np.arange(len(texts))
    gold = torch.arange(len(texts), device=model.device) % len(words)
    settings = TrainingConfig(  # with the model's own dropout, as in the plain loop
        steps=-(-len(texts) // BATCH_SIZE), batch_size=BATCH_SIZE, dropout=None
    )

    def loss(scores: torch.Tensor, part: np.ndarray) -> torch.Tensor:
        own = gold[torch.from_numpy(part).to(gold.device)]
        return functional.cross_entropy(scores, own, reduction="sum")

    return (
        lambda: train(
            model, encoder, tokens, rows, loss, settings, seed=0,
            tokens_per_batch=TOKENS_PER_BATCH,
        ),
        lambda: plain_training(
            model.module, model.tokenizer, texts, words, gold.tolist(), BATCH_SIZE
        ),
    )  # fmt: skip
