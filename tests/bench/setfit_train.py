"""Train SetFit on a labeled set and predict rows, in an environment of its own.

    python -P setfit_train.py --labeled L.parquet --test T.parquet --model FOLDER --out FOLDER \\
        --max-length 128 --seed 0 --num-iterations 20

Writes OUT/probabilities.npy, [rows, labels] with the labels in the order of their names, and
OUT/timing.json. Where a row's label is a list, a 0 or 1 for each of several, SetFit's one-vs-rest
mode is trained, and labels stay in their order; one that no row has gets probability 0. This file
imports nothing of `pet`: the two need different versions of transformers. `-P` keeps its folder,
where another file is called setfit.py, off the search path.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

BATCH = 16


def train(rows: pd.DataFrame, names: list[str], options: argparse.Namespace) -> SetFitModel:
    """Tune the body on pairs of the labeled rows, then fit the logistic head."""
    body = SentenceTransformer(str(options.model), device="cpu")
    body.max_seq_length = options.max_length
    several = not isinstance(rows["label"].iloc[0], str)
    head = OneVsRestClassifier(LogisticRegression()) if several else LogisticRegression()
    more = {"multi_target_strategy": "one-vs-rest"} if several else {}
    model = SetFitModel(model_body=body, model_head=head, labels=names, **more)
    arguments = TrainingArguments(
        output_dir=str(options.out / "checkpoints"),
        batch_size=BATCH,
        num_epochs=1,
        num_iterations=options.num_iterations,
        seed=options.seed,
        save_strategy="no",
        report_to="none",
        show_progress_bar=False,
    )
    places = list(rows["label"]) if several else [names.index(own) for own in rows["label"]]
    dataset = Dataset.from_dict({"text": rows["text"].tolist(), "label": places})
    Trainer(model=model, args=arguments, train_dataset=dataset).train()
    return model


def predict(model: SetFitModel, texts: list[str], labels: int) -> np.ndarray:
    """Return probabilities, zero for labels without a labeled row. [rows, labels]"""
    probabilities = np.zeros((len(texts), labels))
    said = model.predict_proba(texts, as_numpy=True, show_progress_bar=False)
    probabilities[:, model.model_head.classes_] = said
    return probabilities


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--labeled", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-iterations", type=int, default=20)
    options = parser.parse_args()
    rows, test = pd.read_parquet(options.labeled), pd.read_parquet(options.test)
    several = not isinstance(rows["label"].iloc[0], str)
    if several:
        sets = np.stack(list(rows["label"]))
        shown = sets.any(axis=0)
        rows["label"] = sets[:, shown].tolist()
    names = [] if several else sorted({*rows["label"], *test["label"]})
    torch.manual_seed(options.seed)
    started = time.monotonic()
    model = train(rows, names, options)
    trained = time.monotonic()
    if several:
        said = model.predict_proba(test["text"].tolist(), as_numpy=True, show_progress_bar=False)
        probabilities = np.zeros((len(test), len(shown)))
        probabilities[:, shown] = said
    else:
        probabilities = predict(model, test["text"].tolist(), len(names))
    ended = time.monotonic()
    np.save(options.out / "probabilities.npy", probabilities)
    timing = {"train": trained - started, "predict": ended - trained, "seconds": ended - started}
    (options.out / "timing.json").write_text(json.dumps(timing))


if __name__ == "__main__":
    main()
