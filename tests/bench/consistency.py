"""Consistency training, a baseline that uses the pool: unsupervised data augmentation (UDA).

Xie et al. 2020 (arXiv 1904.12848): beside the cross-entropy of the labeled rows, a text and the
same text with words left out are to be given the same label. The paper rewrites texts by
back-translation, for which no model is at hand.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from data.cache import cache_root
from pet.method.metrics import metrics
from tests.bench.baselines import indices, read_rows

if TYPE_CHECKING:
    from tests.bench.quality import Cell

NAME = "BERT-tiny, consistency training"
STEPS, RATE, MAX_LENGTH = 300, 5e-4, 128
LABELED, UNLABELED = 8, 16  # rows a step
LEFT_OUT = 0.3  # of a text's words
SHARPENED, SURE = 0.4, 0.8  # temperature of the targets; confidence from which on a text counts
WEIGHT = 1.0


def measure(cell: Cell) -> dict[str, dict[str, Any]]:
    """Train on the cell's labeled rows and pool, measure on its split."""
    train, test, names = read_rows(cell)
    pool = pq.read_table(cell.texts / "pool.parquet")["text"].to_pylist()
    started = time.monotonic()
    probabilities = trained(
        train["text"], indices(train, names), pool, test["text"], len(names), cell.seed
    )
    found = metrics(probabilities, indices(test, names))
    return {NAME: {**found, "minutes": (time.monotonic() - started) / 60}}


def trained(
    texts: list[str],
    labels: np.ndarray,
    pool: list[str],
    test: list[str],
    count: int,
    seed: int,
) -> np.ndarray:
    """Train a classifier; return its probabilities of the test texts. [texts, labels]"""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    folder = cache_root() / "models" / "bert-tiny"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=count)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)

    def scores(batch: list[str]) -> Tensor:
        inputs = tokenizer(
            batch, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        )
        found: Tensor = model(**inputs).logits
        return found

    def left_out(text: str) -> str:
        words = text.split()[:MAX_LENGTH]
        return " ".join(word for word in words if rng.random() > LEFT_OUT) or text

    for step in range(STEPS):
        rows = rng.choice(len(texts), LABELED, replace=len(texts) < LABELED)
        views = [pool[row] for row in rng.choice(len(pool), UNLABELED, replace=False)]
        model.eval()
        with torch.no_grad():
            plain = scores(views)
            targets, sure = softmax(plain / SHARPENED, -1), softmax(plain, -1).amax(-1) > SURE
        model.train()
        loss = cross_entropy(scores([texts[row] for row in rows]), torch.from_numpy(labels[rows]))
        if step > STEPS // 10 and sure.any():
            logs = log_softmax(scores([left_out(text) for text in views]), -1)
            apart = kl_div(logs, targets, reduction="none").sum(-1)
            loss = loss + WEIGHT * (apart * sure).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay.step()
    model.eval()
    with torch.no_grad():
        parts = [softmax(scores(test[at : at + 32]), -1) for at in range(0, len(test), 32)]
    return torch.cat(parts).numpy()
