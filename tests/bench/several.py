"""Several labels a text, beside one-vs-rest logistic regression and SetFit.

    python -m tests.bench.several                         what is missing, then the table
    python -m tests.bench.several --ways pet --seeds 3 --set member.steps=0 --name untrained
    python -m tests.bench.several --ask smollm2 --rows 300
    python -m tests.bench.several --shares --seeds 0 1 2 3 --rows 700

Debian's packages, 12 labels, 72 labeled rows (`python -m data.fetch debtags`); figures of the
pool's labels, and of test rows. Everybody's thresholds are chosen on labeled rows: of `pet` by its
calibration, of the others by F1 of out-of-fold predictions. A cell is a file under
PET_CACHE/bench/several. `--ask` measures untrained models: the words of the labels from one pass,
and a question a label ("is this about games?"), answered by yes and no; `--shares` what it costs
that labeled rows miss the pool's shares.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier

from data.cache import cache_root
from pet.config import ModelRef, RunConfig
from pet.method.ensembling import folds_of
from pet.method.label_metrics import f1_of, label_errors, macro_f1, micro_f1, set_metrics
from pet.method.several_labels import (
    base_log_odds,
    fit_calibrated_heads,
    fit_label_scaling,
    strata_of,
)
from pet.method.several_labels import best_thresholds as best_on_pool
from pet.models.loading import choose_device
from pet.models.scoring import cloze_encoder, score_columns_together
from pet.models.teachers import load_teacher
from pet.pipeline import label_pool
from pet.settings import make_config
from pet.storage.files import write_json, write_parquet, write_text
from pet.tasks.task import Task, load_task, parse_task
from tests.bench import setfit
from tests.bench.baselines import cached_embeddings, embed
from tests.bench.tables import RESULTS, notes

SEEDS = (0, 1, 2, 3)
WAYS = ("plain", "setfit", "pet")
PENALTIES = (1.0, 10.0, 100.0)
FOLDS = 4
SETTINGS = ("generations=1", "unlabeled_rows=2000", "student.steps=400", "max_length=48")
MODELS = {"model": "bert-tiny", "encoder": "minilm", "student_model": "bert-tiny"}

Floats = NDArray[np.floating]
Sets = NDArray[np.bool_]
Figures = dict[str, Any]


def folder() -> Path:
    return (cache_root() / "debtags").resolve()


def task_of() -> Task:
    return load_task(folder() / "task.toml")


def read(name: str) -> tuple[list[str], Sets]:
    """Return the texts of a file, and which labels each has. [rows, labels]"""
    rows = pq.read_table(folder() / f"{name}.parquet").to_pylist()
    if name == "pool":
        known = {row["id"]: row["label"] for row in _rows("pool-labels")}
        rows = [{**row, "label": known[row["id"]]} for row in rows]
    return [row["text"] for row in rows], _sets([row["label"] for row in rows])


def _rows(name: str) -> list[dict[str, Any]]:
    return pq.read_table(folder() / f"{name}.parquet").to_pylist()


def _sets(known: list[list[str]]) -> Sets:
    labels = task_of().labels
    return np.array([[label in own for label in labels] for own in known])


def figures(probabilities: Floats, truth: Sets, chosen: Sets) -> Figures:
    """Return what the report has, and the calibration error of the worst label."""
    worst = float(label_errors(probabilities, truth).max())
    return {**set_metrics(probabilities, truth, chosen), "worst_ece": round(worst, 4)}


def best_thresholds(probabilities: Floats, truth: Sets) -> Floats:
    """Return the threshold of each label with the highest F1 on rows not learned from. [labels]"""
    found = []
    for own, has in zip(probabilities.T, truth.T, strict=True):
        tried = np.unique(own)
        cuts = np.append((tried[1:] + tried[:-1]) / 2, 0.5)
        given = own >= cuts[:, None]
        scores = f1_of((given & has).sum(axis=1), given.sum(axis=1), has.sum())
        found.append(float(cuts[int(np.argmax(scores))]))
    return np.array(found)


def _folds(truth: Sets, seed: int) -> NDArray[np.int64]:
    strata = strata_of(truth, truth.sum(axis=0))
    return folds_of(strata, FOLDS, np.random.default_rng(seed))


def plain(seed: int) -> dict[str, dict[str, Figures]]:
    """One-vs-rest logistic regression on MiniLM's vectors, by its penalty."""
    texts, known = read(f"labeled-72-seed{seed}")
    points, folds = embed(texts)[0], _folds(known, seed)
    found = {}
    for penalty in PENALTIES:
        held_out = np.zeros(known.shape)
        for fold in np.unique(folds):
            inside = folds == fold
            held_out[inside] = _one_vs_rest(points[~inside], known[~inside], penalty)(
                points[inside]
            )
        model, thresholds = _one_vs_rest(points, known, penalty), best_thresholds(held_out, known)
        found[f"MiniLM + one-vs-rest LR, C = {penalty:g}"] = {
            name: _measured(
                model(cached_embeddings(texts, f"debtags-{name}")[0]), truth, thresholds
            )
            for name, (texts, truth) in _evaluated().items()
        }
    return found


def _evaluated() -> dict[str, tuple[list[str], Sets]]:
    return {name: read(name) for name in ("pool", "test")}


def _measured(probabilities: Floats, truth: Sets, thresholds: Floats) -> Figures:
    return figures(probabilities, truth, probabilities >= thresholds)


def _one_vs_rest(points: Floats, known: Sets, penalty: float) -> Any:
    """Fit it; return what gives probabilities, none for labels without a row."""
    shown = known.any(axis=0)
    model = OneVsRestClassifier(LogisticRegression(max_iter=1000, C=penalty))
    model.fit(points, known[:, shown].astype(int))

    def predict(rows: Floats) -> Floats:
        found = np.zeros((len(rows), known.shape[1]))
        found[:, shown] = model.predict_proba(rows)
        return found

    return predict


def by_setfit(seed: int) -> dict[str, dict[str, Figures]]:
    """SetFit, one-vs-rest; thresholds by as many more trainings as there are folds."""
    python = setfit.environment(cache_root().resolve() / "bench" / "setfit-venv")
    texts, known = read(f"labeled-72-seed{seed}")
    evaluated, folds = _evaluated(), _folds(known, seed)
    everything = [text for own, _ in evaluated.values() for text in own]
    held_out = np.zeros(known.shape)
    for fold in np.unique(folds):
        inside = folds == fold
        own = [texts[row] for row in np.flatnonzero(~inside)]
        others = [texts[row] for row in np.flatnonzero(inside)]
        held_out[inside] = _ask_setfit(python, own, known[~inside], others, seed)
    said = _ask_setfit(python, texts, known, everything, seed)
    thresholds, found, start = best_thresholds(held_out, known), {}, 0
    for name, (own, truth) in evaluated.items():
        found[name] = _measured(said[start : start + len(own)], truth, thresholds)
        start += len(own)
    return {"SetFit, one-vs-rest": found}


def _ask_setfit(python: Path, texts: list[str], known: Sets, asked: list[str], seed: int) -> Floats:
    """Train SetFit on labeled texts, ask it about others. [asked, labels]"""
    with tempfile.TemporaryDirectory() as name:
        out, labels = Path(name), [[int(has) for has in own] for own in known]
        write_parquet(out / "labeled.parquet", pa.table({"text": texts, "label": labels}), {})
        empty = [[0] * known.shape[1]] * len(asked)
        write_parquet(out / "test.parquet", pa.table({"text": asked, "label": empty}), {})
        return setfit.train(python, out / "labeled.parquet", out / "test.parquet", seed, out)


def by_pet(seed: int, name: str, settings: tuple[str, ...]) -> dict[str, dict[str, Figures]]:
    """Run `pet`; measure its labels of the pool, and ensemble and student on test rows."""
    run, models = _cell("pet", name, seed).with_suffix(""), (cache_root() / "models").resolve()
    values = {
        "task": str(folder() / "task.toml"),
        "labeled": str(folder() / f"labeled-72-seed{seed}.parquet"),
        "pool": str(folder() / "pool.parquet"),
        "test": str(folder() / "test.parquet"),
        "out": str(run),
        "seed": seed,
        **{option: str(models / own) for option, own in MODELS.items()},
    }
    report = label_pool(make_config(values, (*SETTINGS, *settings)), update=True)
    truth = dict(zip([row["id"] for row in _rows("pool")], read("pool")[1], strict=True))
    rows = [
        row
        for path in sorted((run / "labels").glob("part-*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    probabilities = np.array([list(row["probabilities"].values()) for row in rows])
    known = np.array([truth[row["id"]] for row in rows])
    found = {"pool": figures(probabilities, known, _sets([row["labels"] for row in rows]))}
    test = report["test"]
    return {
        "pet: its labels": {**found, "test": _with_worst(test["student"])},
        "pet: ensemble": {"test": _with_worst(test["ensemble"])},
    }


def _with_worst(measured: Figures) -> Figures:
    return {**measured, "worst_ece": max(own["ece"] for own in measured["by_label"])}


def _cell(way: str, name: str, seed: int) -> Path:
    return cache_root() / "bench" / "several" / f"{way}-{name}-seed{seed}.json"


ASKS = {
    "masked": (
        "{text} is this about {asked}? {mask}.",
        "is this for {asked}? {mask}. {text}",
        "{mask}, {text} is about {asked}.",
    ),
    "causal": (
        "{text} Question: is this about {asked}? Answer: {mask}",
        "{text} Is this used for {asked}? {mask}",
        "{text} Is it about {asked}? {mask}",
    ),
}
ASK = """\
name = "asked"
fields = ["text", "asked"]
[labels]
no = "no"
yes = "yes"
[patterns]
"""


ASKED = RunConfig(task="debtags", model="m", pool="p", out="o", max_length=96)


def ask(model_name: str, rows: int) -> None:
    """Compare words of labels with a question a label, of an untrained model on pool rows."""
    model = load_teacher(ModelRef(str(cache_root() / "models" / model_name)), choose_device("cpu"))
    task, (texts, truth) = task_of(), read("pool")
    chosen = np.random.default_rng(5).permutation(len(texts))[:rows]
    own, truth = [texts[row] for row in chosen], truth[chosen]
    patterns = [one.name for one in task.patterns if model.reading == "masked" or one.mask_is_last]
    lines = [f'q{place} = "{text}"' for place, text in enumerate(ASKS[model.reading])]
    questions = parse_task(ASK + "\n".join(lines), "questions")
    words = [word for word, *_ in task.verbalizer(patterns[0]).values()]
    by_row = {"text": [text for text in own for _ in words], "asked": words * len(own)}
    for name, asked, columns, names in (
        ("words of labels", task, {"text": own}, patterns),
        ("a question a label", questions, by_row, [one.name for one in questions.patterns]),
    ):
        started = time.monotonic()
        encoders = [cloze_encoder(ASKED, asked, model, pattern) for pattern in names]
        scores = score_columns_together(model, encoders, columns, 4096)
        took = time.monotonic() - started
        if asked is questions:
            scores = (scores[..., 1] - scores[..., 0]).reshape(len(names), *truth.shape)
        evidence = (scores - scores.mean(axis=1, keepdims=True)).mean(axis=0)
        print(f"{model_name}, {name}: {_ranked(evidence, truth)}, {took:.0f} s", flush=True)


def _ranked(evidence: Floats, truth: Sets) -> str:
    """Say how well labels are ranked, and F1 where as many rows get a label as have it."""
    counts = truth.sum(axis=0)
    rank = np.argsort(np.argsort(-evidence, axis=0), axis=0)
    chosen = rank < counts
    shown = counts > 0
    precision = average_precision_score(truth[:, shown], evidence[:, shown])
    area = roc_auc_score(truth[:, shown], evidence[:, shown])
    return (
        f"mean average precision {precision:.3f}, AUC {area:.3f}, "
        f"micro-F1 {micro_f1(truth, chosen):.3f}, macro-F1 {macro_f1(truth, chosen):.3f}"
    )


def compare_shares(seeds: list[int], rows: int) -> None:
    """Measure what labeled rows that miss the pool's shares cost, and what a table [prior] saves.

    A head on MiniLM's vectors learns from the labeled rows, and is calibrated out of fold as an
    ensemble is; with known shares it is shifted as a run with a table [prior] does.
    """
    texts, truth = read("pool")
    shares = truth.mean(axis=0)
    chosen = np.random.default_rng(5).permutation(len(texts))[:rows]
    points, truth = embed([texts[row] for row in chosen])[0], truth[chosen]
    for seed in seeds:
        own, known = read(f"labeled-72-seed{seed}")
        base, rng = base_log_odds(known), np.random.default_rng(0)
        nothing = np.zeros((0, points.shape[1])), np.zeros((0, known.shape[1]), np.float32)
        fit = fit_calibrated_heads(embed(own)[0], known, *nothing, base, rng)
        evidence = fit.head.logits(points)
        scaling = fit_label_scaling(fit.held_out, known, base)
        missed = float(np.abs(known.mean(axis=0) - shares).max())
        print(f"set {seed}: its shares miss the pool's by {missed:.3f} at most", flush=True)
        for name, by in (("as it is", scaling), ("[prior]", scaling.matched(evidence, shares))):
            found = by.probabilities(evidence)
            measured = _measured(found, truth, np.array(best_on_pool(found)))
            print(f"  {name}: " + ", ".join(f"{own} {measured[own]:.3f}" for own in COLUMNS))


def measure(way: str, name: str, seed: int, settings: tuple[str, ...]) -> None:
    path = _cell(way, name, seed)
    if path.exists():
        return
    ways = {"plain": plain, "setfit": by_setfit}
    found = ways[way](seed) if way in ways else by_pet(seed, name, settings)
    write_json(path, found)


COLUMNS = ("micro_f1", "macro_f1", "log_loss", "ece", "worst_ece")
HEAD = """\
# Several labels a text

Written by `python -m tests.bench.several`: Debian's packages, 12 labels, a quarter of the rows with
none of them, 72 labeled rows. Means over labeled sets {seeds}; settings were chosen on set 3.
"""


def write_page(seeds: list[int]) -> Path:
    """Write the means of what was measured over labeled sets."""
    lines = [HEAD.format(seeds=", ".join(map(str, seeds)))]
    for rows in ("pool", "test"):
        lines += ["", f"## {rows} rows", "", "| | " + " | ".join(COLUMNS).replace("_", " ") + " |"]
        lines += ["|---|" + "---|" * len(COLUMNS)]
        for way in WAYS:
            paths = [_cell(way, "default", seed) for seed in seeds]
            cells = [json.loads(path.read_text()) for path in paths if path.exists()]
            for method in cells[0] if cells else ():
                own = [cell[method][rows] for cell in cells if rows in cell[method]]
                if own:
                    shown = [f"{np.mean([one[name] for one in own]):.3f}" for name in COLUMNS]
                    lines.append(f"| {method} | " + " | ".join(shown) + " |")
    path = RESULTS / "several.md"
    write_text(path, "\n".join(lines) + "\n" + notes(path))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--name", default="default", help="names the settings in file names")
    parser.add_argument("--set", action="append", default=[], help="a setting of `pet run`")
    parser.add_argument("--ask", metavar="MODEL", help="ask an untrained model instead")
    parser.add_argument("--shares", action="store_true", help="what known shares are worth instead")
    parser.add_argument("--rows", type=int, default=300, help="pool rows that these two look at")
    options = parser.parse_args()
    if options.set and options.name == "default":
        parser.error("--set needs a --name of its own, or its figures would pass for the defaults'")
    if options.ask:
        ask(options.ask, options.rows)
        return
    if options.shares:
        compare_shares(options.seeds, options.rows)
        return
    for seed in options.seeds:
        for way in options.ways:
            measure(way, options.name, seed, tuple(options.set))
            print(f"{way}, set {seed}: {_cell(way, options.name, seed).read_text()}", flush=True)
    if options.name == "default":
        print(write_page(options.seeds).read_text())


if __name__ == "__main__":
    main()
