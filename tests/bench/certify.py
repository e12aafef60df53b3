"""What a certificate costs, and whether it holds: simulated draws. `make bench-certify`

    python -m tests.bench.certify                       all cells, a thousand draws each
    python -m tests.bench.certify --draws 100 --tasks reuters

A model is logistic regression on TF-IDF: a weak one of 50 labeled texts, a strong one of 1,000 (of
films 2,000); its confidence is calibrated on 300 others, as a run's is. `skewed` is one topic of
the posts against all others, 5 % of the rows. The labels of the pool are known, so that after
each draw it can be seen whether too many of the certified labels are wrong.

Beside `pet certify`, two uniform draws over the whole pool with Clopper-Pearson and a fixed
sequence over a grid of 40: `uniform` starts where the fewest draws lie that could pass, `uniform,
late start` where twice as many do. Settings of the plan were chosen with other labeled texts and
with models that were trained on the validation rows; here they are trained on the test rows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import bdtr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from data.cache import cache_root
from pet.method.calibration import fit_temperature
from pet.method.certification import (
    Draw,
    Guarantee,
    fewest_draws,
    fixed_sequence,
    wrong_allowed,
)
from pet.method.draw_plans import error_curves, plan_draw
from pet.method.ensembling import softmax
from pet.method.share_intervals import clopper_pearson, estimate_shares
from pet.storage.files import write_json, write_text
from tests.bench.drawings import Certified, certified
from tests.bench.tables import RESULTS, notes

TASKS = ("newsgroups", "movies", "reuters", "skewed")
MODELS = ("weak", "strong")
ERRORS = (0.05, 0.1)
ANSWERS = (100, 200, 400)
MORE = (100, 150, 200, 300, 400, 667, 1000, 1500)  # answers of a uniform draw

FIGURES = RESULTS / "certify.json"
PICTURES = Path(__file__).parents[2] / "data" / "pictures"

ALPHA = 0.05
LEVELS, GRID = 400, 40
FEWEST = 0.1  # of the rows that knowing the truth would certify: below it there is nothing to reach


@dataclass(frozen=True)
class Pool:
    """Rows from the surest down: claims and truth [rows, labels], whether the label is wrong.

    Attributes:
        known: what is known of 300 other rows: claimed errors, and whether the label is wrong.
    """

    claims: NDArray[np.floating]
    truth: NDArray[np.floating]
    wrong: NDArray[np.bool_]
    known: tuple[NDArray[np.floating], NDArray[np.bool_]]

    @property
    def errors(self) -> NDArray[np.floating]:
        """What the model claims of its own errors. [rows]"""
        return 1 - self.claims.max(axis=1)


def read(task: str, name: str) -> tuple[list[str], NDArray[Any]]:
    folder = cache_root() / ("newsgroups" if task == "skewed" else task)
    table = pq.read_table(folder / f"{name}.parquet")
    if name == "pool":
        known = pq.read_table(folder / "pool-labels.parquet")
        by_id = dict(zip(known["id"].to_pylist(), known["label"].to_pylist(), strict=True))
        labels = [by_id[id] for id in table["id"].to_pylist()]
    else:
        labels = table["label"].to_pylist()
    found = np.array(labels)
    if task == "skewed":
        found = np.where(found == "space", "space", "other")
    return table["text"].to_pylist(), found


def make_pool(task: str, model: str) -> Pool:
    """Train a model, and let it label the pool."""
    texts, truth = read(task, "pool")
    if task == "skewed":
        rare = np.flatnonzero(truth == "space")
        kept = np.sort(np.setdiff1d(np.arange(len(truth)), rare[len(truth) // 25 :]))
        texts, truth = [texts[row] for row in kept], truth[kept]
    others, of_others = read(task, "validation")
    known, labels = read(task, "labeled-50-seed1")
    if model == "strong":
        known, labels = read(task, "test")
        if task == "movies":
            known, labels = known + others[300:], np.concatenate([labels, of_others[300:]])
    features = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2).fit(texts)
    fitted = LogisticRegression(C=10, max_iter=1000).fit(features.transform(known), labels)

    def logits(rows: list[str]) -> NDArray[np.floating]:
        scores = fitted.decision_function(features.transform(rows))
        return scores if scores.ndim == 2 else np.stack([-scores / 2, scores / 2], axis=1)

    places = np.searchsorted(fitted.classes_, of_others[:300])
    scores = logits(others[:300])
    temperature = fit_temperature(scores, places)
    known = softmax(scores / temperature)
    claims = softmax(logits(texts) / temperature)
    order = np.argsort(-claims.max(axis=1), kind="stable")
    known_labels = np.searchsorted(fitted.classes_, truth)
    wrong = claims.argmax(axis=1) != known_labels
    return Pool(
        claims[order],
        np.eye(claims.shape[1])[known_labels[order]],
        wrong[order],
        (1 - known.max(axis=1), known.argmax(axis=1) != places),
    )


def uniform(pool: Pool, error: float, answers: int, start: int, rng: np.random.Generator) -> int:
    """Return the rows certified by a uniform draw, Clopper-Pearson and a fixed sequence."""
    rows = len(pool.wrong)
    drawn = np.sort(rng.choice(rows, min(answers, rows), replace=False))
    certified = 0
    for step in range(-(-start * GRID // answers), GRID + 1):
        kept = rows * step // GRID
        inside = drawn[drawn < kept]
        if bdtr(int(pool.wrong[inside].sum()), len(inside), error) > ALPHA:
            break
        certified = kept
    return certified


def certifier(
    pool: Pool,
    error: float,
    answers: int,
    guarantee: Guarantee = "kept",
    test_set: bool = False,
) -> Callable[[np.random.Generator], int]:
    """Plan as `pet certify` does; return what draws by the plan, and says what is certified.

    Args:
        test_set: the plan knows the errors on 300 test rows, as where a run has some.
    """
    size = len(pool.wrong)
    rows = np.unique(np.linspace(1, size, LEVELS).astype(np.int64))
    allowed = wrong_allowed(rows, size, error, guarantee)
    nothing = np.array([]), np.array([], bool)
    curves = error_curves(pool.errors[rows - 1], *(pool.known if test_set else nothing))
    plan = plan_draw(rows, curves, allowed, answers, ALPHA)
    level = np.searchsorted(rows, np.arange(size), side="right")

    def draw(rng: np.random.Generator) -> int:
        if plan is None:
            return 0
        strata = ((-1, plan.border), (plan.border, plan.last))
        drawn = np.concatenate(
            [
                rng.permutation(np.flatnonzero((level > low) & (level <= high)))[:wanted]
                for (low, high), wanted in zip(strata, plan.draws, strict=True)
            ]
        )
        found = Draw(level[drawn], pool.wrong[drawn])
        reached, _ = fixed_sequence(found, rows, allowed, plan.border, plan.sequence, ALPHA)
        return 0 if reached is None else int(rows[reached])

    return draw


def measure(
    pool: Pool, certified: Callable[[np.random.Generator], int], draws: int, allowed: Any
) -> tuple[float, float]:
    """Return the mean share of rows certified, and the share of draws that certify wrongly."""
    wrong = np.concatenate([[0], np.cumsum(pool.wrong)])
    found = [certified(np.random.default_rng(seed)) for seed in range(draws)]
    failed = [wrong[rows] > allowed(rows) for rows in found]
    return float(np.mean(found)) / len(pool.wrong), float(np.mean(failed))


def cell(task: str, model: str, draws: int) -> dict[str, Any]:
    """Measure one model: certificates of each error, and intervals of shares."""
    pool = make_pool(task, model)
    size = len(pool.wrong)
    counts = np.arange(1, size + 1)
    found: dict[str, Any] = {"task": task, "model": model, "accuracy": 1 - pool.wrong.mean()}
    found["errors"] = {}
    for error in ERRORS:
        fine = np.flatnonzero(np.cumsum(pool.wrong) <= error * counts)
        truth = (fine[-1] + 1) / size if len(fine) else 0.0
        if truth < FEWEST:
            continue
        kept = lambda rows, error=error: error * rows  # noqa: E731
        own: dict[str, Any] = {
            "truth": truth,
            "certify": {},
            "known": {},
            "uniform": {},
            "late": {},
        }
        for answers in ANSWERS:
            for way, test_set in (("certify", False), ("known", True)):
                planned = certifier(pool, error, answers, test_set=test_set)
                own[way][answers] = measure(pool, planned, draws, kept)
        start = fewest_draws(error, ALPHA)
        for name, first in (("uniform", start), ("late", 2 * start)):
            for answers in MORE:
                way = lambda rng, n=answers, s=first, e=error: uniform(pool, e, n, s, rng)  # noqa: E731
                own[name][answers] = measure(pool, way, draws, kept)
        own["whole"] = measure(
            pool, certifier(pool, error, 200, "whole"), draws, lambda rows, e=error: e * size
        )
        found["errors"][error] = own
    found["shares"] = shares(pool, 200, draws)
    return found


def shares(pool: Pool, answers: int, draws: int) -> dict[str, float]:
    """Return how often intervals cover, and their width beside those of the drawn rows alone."""
    truth, size = pool.truth.mean(axis=0), len(pool.wrong)
    covered, width, alone = [], [], []
    for seed in range(draws):
        drawn = np.random.default_rng(seed).choice(size, answers, replace=False)
        mean = pool.claims.mean(axis=0)
        own = estimate_shares(pool.truth[drawn], pool.claims[drawn], mean, size, 0.95)
        covered.append((own.low <= truth) & (truth <= own.high))
        width.append(own.high - own.low)
        rows = np.full(len(truth), answers / (1 - answers / size))
        low, high = clopper_pearson(pool.truth[drawn].mean(axis=0), rows, 0.95)
        alone.append(high - low)
    return {
        "covered": float(np.mean(covered)),
        "worst_label": float(np.mean(covered, axis=0).min()),
        "width": float(np.mean(width)),
        "alone": float(np.mean(alone)),
    }


def uniform_shares(own: dict[str, Any]) -> list[float]:
    """Return the share certified by the better of the uniform draws, by answers: MORE."""
    return [max(own[way][str(n)][0] for way in ("uniform", "late")) for n in MORE]


def same_rows(own: dict[str, Any], answers: int) -> float | None:
    """Return the answers of a uniform draw for the rows that `answers` certify; None: over 1,500.

    Between the numbers of answers that were measured the share is taken to grow evenly.
    """
    wanted, reached = own["certify"][str(answers)][0], uniform_shares(own)
    place = next((n for n, share in enumerate(reached) if share >= wanted), None)
    if not place:
        return None if place is None else float(MORE[0])
    low, high = reached[place - 1], reached[place]
    return MORE[place - 1] + (wanted - low) / (high - low) * (MORE[place] - MORE[place - 1])


def fewer(own: dict[str, Any], answers: int) -> str:
    """Say which part of the answers of a uniform draw for the same rows is saved."""
    if not own["certify"][str(answers)][0]:
        return "–"
    needed = same_rows(own, answers)
    if needed is None:
        return f"> {MORE[-1]:,}: > {1 - answers / MORE[-1]:.0%}"
    return f"{needed:,.0f}: {round(100 - 100 * answers / needed)}%"


def document(found: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    draws, cells = found["draws"], found["cells"]
    lines = [
        "# Certificates",
        "",
        f"`make bench-certify`: {draws:,} draws per figure; 95 % confidence. *truth*: the share",
        "of the rows that knowing every label would certify. *uniform*: the answers that a uniform",
        "draw needs for the rows that 200 and 400 answers certify here, and which part of them is",
        "saved; of two uniform draws (one tests from the fewest drawn rows on that can pass, one",
        "from twice as many) the better one. *planned with a test set*: the same numbers of",
        "answers, where the plan knows the errors on 300 test rows. A pool has about 3,000 rows.",
        "",
        "| pool | model right on | error | truth | certified with 100, 200, 400 answers "
        "| planned with a test set | certified wrongly | uniform, for 200 | for 400 "
        "| whole, 200: rows, wrongly |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for cell in cells:
        for error, own in cell["errors"].items():
            certified, known = (
                ", ".join(f"{own[way][str(n)][0]:.0%}" for n in ANSWERS)
                for way in ("certify", "known")
            )
            failed = max(own[way][str(n)][1] for n in ANSWERS for way in ("certify", "known"))
            whole = f"{own['whole'][0]:.0%}, {own['whole'][1]:.1%}"
            lines.append(
                f"| {cell['task']}, {cell['model']} | {cell['accuracy']:.0%} "
                f"| {float(error):.0%} | {own['truth']:.0%} | {certified} | {known} "
                f"| {failed:.1%} | {fewer(own, 200)} | {fewer(own, 400)} | {whole} |"
            )
    lines += [
        "",
        "Shares of labels, from 200 uniformly drawn rows, 95 % confidence:",
        "",
        "| pool | covered | the worst label | width | of the drawn rows alone |",
        "|---|---:|---:|---:|---:|",
    ]
    for cell in cells:
        own = cell["shares"]
        lines.append(
            f"| {cell['task']}, {cell['model']} | {own['covered']:.1%} "
            f"| {own['worst_label']:.1%} | {own['width']:.3f} | {own['alone']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def read_figures() -> dict[str, Any]:
    """Read the stored figures of all cells."""
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def picture(found: dict[str, Any], mode: str) -> str:
    """Draw rows read against the share certified, for a weak and for a strong model of posts."""
    panels = []
    for model in MODELS:
        [cell] = [c for c in found["cells"] if (c["task"], c["model"]) == ("newsgroups", model)]
        own = cell["errors"]["0.05"]
        panels.append(
            Certified(
                f"posts, model right on {cell['accuracy']:.0%}",
                own["truth"],
                [(n, own["certify"][str(n)][0]) for n in ANSWERS],
                list(zip(MORE, uniform_shares(own), strict=True)),
            )
        )
    return certified(panels, mode)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    options = parser.parse_args()
    cells = []
    for task in options.tasks:
        for model in MODELS:
            place = cache_root() / "bench" / "certify" / f"{task}-{model}-{options.draws}.json"
            if not place.exists():
                write_json(place, cell(task, model, options.draws))
            cells.append(json.loads(place.read_text()))
    found = {"draws": options.draws, "cells": cells}
    text = document(found)
    print(text)
    if set(options.tasks) == set(TASKS):
        path: Path = RESULTS / "certify.md"
        write_text(path, text + notes(path))
        write_json(FIGURES, found)
        for mode in ("light", "dark"):
            write_text(PICTURES / f"certify-{mode}.svg", picture(found, mode))


if __name__ == "__main__":
    main()
