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
from tests.bench.drawings import Drawing
from tests.bench.tables import RESULTS, notes

TASKS = ("newsgroups", "movies", "reuters", "skewed")
MODELS = ("weak", "strong")
ERRORS = (0.05, 0.1)
ANSWERS = (100, 200, 400)
MORE = (100, 150, 200, 300, 400, 667, 1000, 1500)  # answers of a uniform draw

ALPHA = 0.05
LEVELS, GRID = 400, 40
FEWEST = 0.1  # of the rows that knowing the truth would certify: below it there is nothing to reach


@dataclass(frozen=True)
class Pool:
    """Rows from the surest down: claims and truth [rows, labels], whether the label is wrong."""

    claims: NDArray[np.floating]
    truth: NDArray[np.floating]
    wrong: NDArray[np.bool_]

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
    temperature = fit_temperature(logits(others[:300]), places)
    claims = softmax(logits(texts) / temperature)
    order = np.argsort(-claims.max(axis=1), kind="stable")
    known_labels = np.searchsorted(fitted.classes_, truth)
    wrong = claims.argmax(axis=1) != known_labels
    return Pool(claims[order], np.eye(claims.shape[1])[known_labels[order]], wrong[order])


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
    pool: Pool, error: float, answers: int, guarantee: Guarantee = "kept"
) -> Callable[[np.random.Generator], int]:
    """Plan as `pet certify` does; return what draws by the plan, and says what is certified."""
    size = len(pool.wrong)
    rows = np.unique(np.linspace(1, size, LEVELS).astype(np.int64))
    allowed = wrong_allowed(rows, size, error, guarantee)
    curves = error_curves(pool.errors[rows - 1], np.array([]), np.array([], bool))
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
        own: dict[str, Any] = {"truth": truth, "certify": {}, "uniform": {}, "late": {}}
        for answers in ANSWERS:
            own["certify"][answers] = measure(pool, certifier(pool, error, answers), draws, kept)
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


def fewer(own: dict[str, Any], way: str, answers: int) -> str:
    """Say how many answers a uniform draw needs for the rows that `answers` certify here."""
    wanted = own["certify"][str(answers)][0]
    reached = [own[way][str(n)][0] for n in MORE]
    place = next((n for n, share in enumerate(reached) if share >= wanted), None)
    if not wanted:
        return "–"
    if place is None:
        return f"> {MORE[-1]:,}"
    if not place:
        return f"≤ {MORE[0]}"
    low, high = reached[place - 1], reached[place]
    part = (wanted - low) / (high - low) if high > low else 1.0
    return f"{MORE[place - 1] + part * (MORE[place] - MORE[place - 1]):,.0f}"


def document(cells: list[dict[str, Any]], draws: int) -> str:
    """Return the tables as Markdown."""
    lines = [
        "# Certificates",
        "",
        f"`make bench-certify`: {draws:,} draws per figure; 95 % confidence. *truth*: the share of",
        "the rows that knowing every label would certify. A row is a pool of about 3,000.",
        "",
        "| pool | model right on | error | truth | certified with 100, 200, 400 answers "
        "| certified wrongly | uniform: answers for the same rows as 200, 400 "
        "| with a late start | whole, 200: rows, wrongly |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for found in cells:
        for error, own in found["errors"].items():
            ways = own["certify"]
            certified = ", ".join(f"{ways[str(n)][0]:.0%}" for n in ANSWERS)
            failed = max(ways[str(n)][1] for n in ANSWERS)
            same = [
                ", ".join(fewer(own, way, n) for n in (200, 400)) for way in ("uniform", "late")
            ]
            whole = f"{own['whole'][0]:.0%}, {own['whole'][1]:.1%}"
            name = f"{found['task']}, {found['model']}"
            lines.append(
                f"| {name} | {found['accuracy']:.0%} | {float(error):.0%} | {own['truth']:.0%} | "
                f"{certified} | {failed:.1%} | {same[0]} | {same[1]} | {whole} |"
            )
    lines += [
        "",
        "Shares of labels, from 200 uniformly drawn rows, 95 % confidence:",
        "",
        "| pool | covered | the worst label | width | of the drawn rows alone |",
        "|---|---:|---:|---:|---:|",
    ]
    for found in cells:
        own = found["shares"]
        lines.append(
            f"| {found['task']}, {found['model']} | {own['covered']:.1%} "
            f"| {own['worst_label']:.1%} | {own['width']:.3f} | {own['alone']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def picture(cells: list[dict[str, Any]], mode: str) -> str:
    """Draw rows read against the share certified, a panel for a weak and for a strong model.

    Lines: `pet certify` (accent) and a uniform draw (muted), on posts at 5 %; dashes: the truth.
    """
    drawing = Drawing(mode, 300, "Answers against the share of rows certified")
    for left, model in ((60, "weak"), (500, "strong")):
        found = next(c for c in cells if (c["task"], c["model"]) == ("newsgroups", model))
        own = found["errors"]["0.05"]
        title = f"posts, model right on {found['accuracy']:.0%}"
        drawing.text(left, 34, title, bold=True)

        def place(answers: float, share: float, left: int = left) -> tuple[float, float]:
            return left + min(answers, 700) / 2, 250 - 190 * share

        for share in (0, 0.5, 1):
            drawing.line([place(0, share), place(700, share)], "rule", 1)
            drawing.text(left - 8, place(0, share)[1] + 5, f"{share:.0%}", size=12, anchor="end")
        for answers in (100, 400, 700):
            drawing.text(place(answers, 0)[0], 270, str(answers), size=12, anchor="middle")
        truth = own["truth"]
        drawing.line([place(0, truth), place(700, truth)], "muted", 1)
        drawing.text(place(700, 0)[0], place(0, truth)[1] - 6, "all that the truth would allow",
                     size=12, colour="muted", anchor="end")  # fmt: skip
        for way, colour, shown in (
            ("uniform", "muted", [n for n in MORE if n <= 700]),
            ("certify", "first", list(ANSWERS)),
        ):
            points = [place(n, own[way][str(n)][0]) for n in shown]
            drawing.line(points, colour, 2)
            for point in points:
                drawing.dot(*point, colour, hollow=way == "uniform")
    drawing.text(60, 292, "answers → share of the rows certified, at most 5 % wrong: filled pet "
                 "certify, hollow a uniform draw", size=12, colour="muted")  # fmt: skip
    return drawing.svg()


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
    text = document(cells, options.draws)
    print(text)
    if set(options.tasks) == set(TASKS):
        path: Path = RESULTS / "certify.md"
        write_text(path, text + notes(path))
        for mode in ("light", "dark"):
            write_text(RESULTS / f"certify-{mode}.svg", picture(cells, mode))


if __name__ == "__main__":
    main()
