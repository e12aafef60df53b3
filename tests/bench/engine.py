"""Rates of the engine at three sizes of model and on three kinds of text, beside the ceiling."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.nn import functional
from transformers import BertConfig, BertForMaskedLM

from data.cache import cache_root
from pet.config import ModelRef, RunConfig, TrainingConfig
from pet.models.cloze_model import ClozeModel
from pet.models.loading import load_tokenizer
from pet.models.masked_model import MaskedModel
from pet.models.model import Texts
from pet.models.scoring import cloze_encoder, score, tokenize_columns
from pet.models.training import train
from pet.progress import Tick
from pet.tasks.encoding import Encoder
from pet.tasks.task import load_task
from tests.bench.loops import BATCH, MAX_LENGTH, plain_scores, plain_training
from tests.bench.machine import Geometry, ceiling, wait_for

ROUNDS = 3  # each measures ceiling, ours and the plain loop; ratios are taken within a round
LONGEST = 30.0  # seconds of a line's rounds after which no further one is begun
BATCH_SIZE = 8  # rows of a training step
FEWEST = 3 * BATCH_SIZE  # rows that are measured: steps after the first are timed
KINDS = ("films", "posts", "mixed")
CONFIG = RunConfig(task="newsgroups", model="m", pool="p", out="o", max_length=MAX_LENGTH)
TOKENS_PER_BATCH = CONFIG.tokens_per_batch
PLAIN_LENGTHS = np.full(1, MAX_LENGTH)  # tokens of a row in the plain loop


@dataclass(frozen=True)
class Rates:
    """One line of the table: medians over the rounds.

    Attributes:
        asked: rows that were scored, or learned from.
        rows, tokens: a second; for training, rows that are learned from.
        of_ceiling: useful arithmetic as a share of the machine's own matrix-product rate.
        of_plain: times as fast as the plain loop.
        tokenising: seconds of tokenising as a share of tokenising and scoring.
    """

    what: str
    geometry: str
    kind: str
    asked: int
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
    tokenizer = load_tokenizer(ModelRef(str(cache_root() / "models" / "bert-tiny")))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=geometry.width,
        num_hidden_layers=geometry.layers,
        num_attention_heads=geometry.heads,
        intermediate_size=geometry.inner,
    )
    return MaskedModel(BertForMaskedLM(config), tokenizer, device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Time one call, to its end on the device."""
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def seconds_of_steps(training: Callable[[Tick], object], device: torch.device) -> float:
    """Time a training that ticks after every step, as if all steps took as long as the later ones.

    The first one makes room for gradients and the optimizer's state, once in a training.
    """
    ends: list[float] = []

    def tick(_: int) -> None:
        wait_for(device)
        ends.append(time.perf_counter())

    training(tick)
    return (ends[-1] - ends[0]) * len(ends) / (len(ends) - 1)


def measure(geometry: Geometry, kind: str, device: torch.device, budget: float) -> list[Rates]:
    """Measure scoring and training at a size of model on a kind of text.

    The plain loop gets so few of the rows that it takes about as long, but whole batches; it pads
    every row to the same length, so its seconds a row are the same for all.

    Args:
        budget: seconds that one measurement may take if half the ceiling is reached.
    """
    model = model_of(geometry, device)
    task = load_task("newsgroups")
    encoder = cloze_encoder(CONFIG, task, model, "category")
    words = [of_label[0][0] for of_label in encoder.words.tokens]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    affordable = _affordable(geometry, encoder, model, texts_of(kind), device, dtype, budget)
    lines = []
    for what, share in (("scoring", 1), ("training", 3)):  # backward: twice the forward's work
        texts = affordable[: max(FEWEST, len(affordable) // share)]
        cut = _cutting(encoder, model, texts)
        tokens = cut()
        lengths = encoder.lengths(tokens, np.arange(len(texts)))
        useful = share * geometry.useful(lengths)
        few = _plain_rows(what, len(texts), useful, share * geometry.useful(PLAIN_LENGTHS))
        ours = _our_way(what, model, encoder, tokens, len(words))
        plain = _plain_way(what, model, texts[:few], words)
        score(model, encoder, tokens, np.arange(BATCH_SIZE), tokens_per_batch=TOKENS_PER_BATCH)
        found = _rounds(
            [
                lambda: ceiling(geometry, device, dtype),
                lambda cut=cut: seconds_of(cut, device),
                ours,
                plain,
            ]
        )
        best, cutting, took, plainly = (np.array(column) for column in zip(*found, strict=True))
        plainly *= len(texts) / few
        lines.append(
            Rates(
                what,
                geometry.name,
                kind,
                len(texts),
                len(texts) / float(np.median(took)),
                float(lengths.sum() / np.median(took)),
                float(np.median(best)),
                float(np.median(useful / took / best)),
                float(np.median(plainly / (took + cutting))),
                float(np.median(cutting / (took + cutting))),
            )
        )
    return lines


def _rounds(works: list[Callable[[], float]]) -> list[list[float]]:
    """Measure each in turn, as many rounds as there is time for. [rounds][works]"""
    found: list[list[float]] = []
    started = time.perf_counter()
    while len(found) < ROUNDS and (not found or time.perf_counter() - started < LONGEST):
        found.append([work() for work in works])
    return found


def _plain_rows(what: str, rows: int, useful: float, of_plain: float) -> int:
    """Take as many rows as cost the plain loop what all of them cost us, in whole batches."""
    batch, fewest = (BATCH, 1) if what == "scoring" else (BATCH_SIZE, 2)
    return min(rows, batch * max(fewest, int(useful / of_plain / batch)))


def _cutting(encoder: Encoder, model: ClozeModel, texts: list[str]) -> Callable[[], Texts]:
    return lambda: tokenize_columns(encoder, model.tokenizer, {"text": texts})


def _affordable(
    geometry: Geometry,
    encoder: Encoder,
    model: ClozeModel,
    texts: list[str],
    device: torch.device,
    dtype: torch.dtype,
    budget: float,
) -> list[str]:
    """Take as many texts as half the ceiling would score in the time that there is."""
    some = texts[:500]
    tokens = tokenize_columns(encoder, model.tokenizer, {"text": some})
    of_row = geometry.useful(encoder.lengths(tokens, np.arange(len(some)))) / len(some)
    affordable = int(0.5 * budget * ceiling(geometry, device, dtype) / of_row)
    return texts[: max(FEWEST, affordable)]


def _our_way(
    what: str, model: ClozeModel, encoder: Encoder, tokens: Texts, labels: int
) -> Callable[[], float]:
    """Score all rows, or learn from each once; return the seconds."""
    if what == "scoring":
        return lambda: seconds_of(
            lambda: score(model, encoder, tokens, tokens_per_batch=TOKENS_PER_BATCH), model.device
        )
    rows = np.arange(len(next(iter(tokens.values()))))
    gold = torch.arange(len(rows), device=model.device) % labels
    settings = TrainingConfig(  # with the model's own dropout, as in the plain loop
        steps=-(-len(rows) // BATCH_SIZE), batch_size=BATCH_SIZE, dropout=None
    )

    def loss(scores: torch.Tensor, part: np.ndarray) -> torch.Tensor:
        own = gold[torch.from_numpy(part).to(gold.device)]
        return functional.cross_entropy(scores, own, reduction="sum")

    def training(tick: Tick) -> None:
        train(
            model,
            encoder,
            tokens,
            rows,
            loss,
            settings,
            warmup=0.1,
            seed=0,
            tokens_per_batch=TOKENS_PER_BATCH,
            tick=tick,
        )

    return lambda: seconds_of_steps(training, model.device)


def _plain_way(
    what: str, model: ClozeModel, texts: list[str], words: list[int]
) -> Callable[[], float]:
    """Do the same as most people do, with a tokenizer that then pads whatever it is given."""
    tokenizer, device = copy.deepcopy(model.tokenizer), model.device
    if what == "scoring":
        return lambda: seconds_of(
            lambda: plain_scores(model.module, tokenizer, texts, words), device
        )
    gold = [row % len(words) for row in range(len(texts))]
    return lambda: seconds_of_steps(
        lambda tick: plain_training(model.module, tokenizer, texts, words, gold, BATCH_SIZE, tick),
        device,
    )
