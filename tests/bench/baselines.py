"""The cells of the quality benchmark that anyone would try first: linear models on frozen features.

What takes long, the embeddings of the pool and of the rows to measure on, is kept under
PET_CACHE/bench/embeddings, so that all cells share it. A method's minutes hold what its embeddings
took when they were made, whether or not they came from there.
"""

from __future__ import annotations

import hashlib
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier
from transformers import AutoModel, AutoTokenizer

from data.cache import SEAL, cache_root
from pet.method.metrics import metrics
from pet.storage.files import write_text, writing

if TYPE_CHECKING:
    from tests.bench.quality import Cell

Figures = dict[str, Any]
Floats = NDArray[np.floating]
Labels = NDArray[np.integer]

BATCH = 32
MAX_LENGTH = 128
C = 10.0
# Chosen on the validation rows, seeds 5 to 7, both tasks, 10 to 100 labels, among C of 1, 10, 100
# and thresholds of 0.6, 0.75, 0.9. With C=1 hardly any row of the pool ever passes a threshold.
SELF_TRAINING_C = 100.0
THRESHOLD = 0.6
UNLABELED = -1


def measure(cell: Cell) -> dict[str, Figures]:
    """Fit every baseline on the cell's labeled rows, measure it on the cell's split."""
    train, test, names = read_rows(cell)
    pool = pq.read_table(cell.texts / "pool.parquet")["text"].to_pylist()
    truth, known = indices(test, names), indices(train, names)
    started = time.monotonic()
    said = tfidf(train["text"], known, test["text"], pool)
    found = {"TF-IDF + LR": figures(said, known, truth, names, time.monotonic() - started)}
    on_train, train_took = embed(train["text"])
    on_test, test_took = cached_embeddings(test["text"], f"{cell.task}-{cell.split}")
    on_pool, pool_took = cached_embeddings(pool, f"{cell.task}-pool")
    started = time.monotonic()
    said = linear().fit(on_train, known).predict_proba(on_test)
    took = train_took + test_took + time.monotonic() - started
    found["MiniLM + LR"] = figures(said, known, truth, names, took)
    started = time.monotonic()
    said = self_trained(on_train, known, on_pool).predict_proba(on_test)
    took = train_took + test_took + pool_took + time.monotonic() - started
    found["MiniLM + LR, self-training"] = figures(said, known, truth, names, took)
    return found


def read_rows(cell: Cell) -> tuple[dict[str, list[str]], dict[str, list[str]], list[str]]:
    """Return the labeled rows, the rows to measure on and the sorted names of the labels."""
    train, test = (
        pq.read_table(path, columns=["text", "label"]).to_pydict()
        for path in (cell.labeled, cell.test)
    )
    return train, test, sorted({*train["label"], *test["label"]})


def indices(rows: dict[str, list[str]], names: list[str]) -> Labels:
    """Return the rows' labels as places among the sorted names. [rows]"""
    return np.array([names.index(label) for label in rows["label"]])


def figures(
    said: Floats, known: Labels, truth: Labels, names: list[str], seconds: float
) -> Figures:
    """Return accuracy, macro-F1, ECE and minutes.

    Args:
        said: [rows, labels that the labeled rows have], in the order of the labels
        known: [labeled rows]
        truth: [rows]
    """
    probabilities = np.zeros((len(said), len(names)))
    probabilities[:, np.unique(known)] = said
    return {**metrics(probabilities, truth), "minutes": seconds / 60}


def tfidf(train: list[str], known: Labels, test: list[str], pool: list[str]) -> Floats:
    """TF-IDF fitted on the pool, logistic regression on the labeled rows. [rows, labels]"""
    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit(pool)
    model = linear().fit(vectorizer.transform(train), known)
    return model.predict_proba(vectorizer.transform(test))


def linear(c: float = C) -> LogisticRegression:
    return LogisticRegression(max_iter=1000, C=c)


def self_trained(on_train: Floats, known: Labels, on_pool: Floats) -> SelfTrainingClassifier:
    """Logistic regression on the labeled rows, then on what it is sure of in the pool, repeatedly.

    Args:
        on_train: [labeled rows, features]
        known: [labeled rows]
        on_pool: [pool rows, features]
    """
    labels = np.concatenate([known, np.full(len(on_pool), UNLABELED)])
    model = SelfTrainingClassifier(linear(SELF_TRAINING_C), threshold=THRESHOLD)
    return model.fit(np.concatenate([on_train, on_pool]), labels)


def cached_embeddings(texts: list[str], name: str) -> tuple[Floats, float]:
    """Return the texts' embeddings [texts, 384] and the seconds they took, made once for all."""
    folder = cache_root() / "bench" / "embeddings"
    path = folder / f"{name}-{digest(texts)}.npy"
    timing = path.with_suffix(".seconds")
    if not path.exists():
        embeddings, seconds = embed(texts)
        write_text(timing, f"{seconds:.2f}")
        with writing(path) as temporary:
            np.save(temporary, embeddings)
    return np.load(path), float(timing.read_text())


def digest(texts: list[str]) -> str:
    """Name the texts, the model and the length: what decides the embeddings."""
    seal = (minilm_folder() / SEAL).read_text()
    return hashlib.sha256("\0".join([seal, str(MAX_LENGTH), *texts]).encode()).hexdigest()[:12]


def embed(texts: list[str]) -> tuple[Floats, float]:
    """Return the texts' embeddings, mean-pooled, of length 1 [texts, 384], and the seconds."""
    minilm()
    started = time.monotonic()
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    embeddings = np.zeros((len(texts), minilm()[1].config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        embeddings[rows] = embed_batch([texts[row] for row in rows])
    return embeddings, time.monotonic() - started


@torch.inference_mode()
def embed_batch(texts: list[str]) -> Floats:
    """Return the embeddings of one batch. [texts, 384]"""
    tokenizer, model = minilm()
    inputs = tokenizer(
        texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
    )
    hidden = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][:, :, None].to(hidden.dtype)
    pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    return torch.nn.functional.normalize(pooled, dim=1).numpy()


@cache
def minilm() -> tuple[Any, Any]:
    """Return MiniLM's tokenizer and model, loaded once."""
    folder = minilm_folder()
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def minilm_folder() -> Path:
    return cache_root() / "models" / "minilm"
