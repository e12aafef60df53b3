"""transfer.html: one file that needs nothing else, drawn from what `measure_transfer` found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pet.reporting import plots
from pet.reporting.findings import percent, quoted
from pet.reporting.report_page import load_template
from pet.storage.files import write_json, write_text

# Their names in the paper are E_average and so on; here are those of `pet.similarity`.
MEASURES = {
    "active_neurons": (
        "Neurons activated",
        "Which feed-forward neurons are active where the model would answer, "
        "with the adapter and no text: the cosine of the two states. In the paper, the best "
        "predictor of transfer.",
    ),
    "cosine_average": (
        "Cosine, place by place",
        "The mean cosine of each vector of one with each of the other.",
    ),
    "cosine_concatenated": (
        "Cosine, as a whole",
        "The cosine of all weights as one vector; of LoRA, of the changes that it makes.",
    ),
    "euclidean_average": (
        "Distance, place by place",
        "1 / (1 + d), d the mean distance of each vector of one from each of the other.",
    ),
    "euclidean_concatenated": (
        "Distance, as a whole",
        "1 / (1 + d), d the distance of all weights as one vector.",
    ),
}

Matrix = list[list[float | None]]

NAMED = 12  # members that leave room for each one's name at the edge of a chart


def write_transfer(found: Mapping[str, Any], folder: Path) -> Path:
    """Write `transfer.html` and `transfer.json` into a folder; return the page's path."""
    write_json(folder / "transfer.json", found)
    path = folder / "transfer.html"
    write_text(path, draw_transfer(found))
    return path


def draw_transfer(found: Mapping[str, Any]) -> str:
    """Return the page. The same figures give the same text."""
    accuracy, members = found["accuracy"], found["members"]
    numbers = [str(place + 1) for place in range(len(found["runs"]))]
    own = [[m["member"] for m in members if m["run"] == place] for place in range(len(numbers))]
    names = [f"{numbers[run]}.{n + 1}" for run, those in enumerate(own) for n in range(len(those))]
    ticks = (
        names
        if len(names) <= NAMED
        else [name.partition(".")[0] if name.endswith(".1") else "" for name in names]
    )
    return load_template("transfer.html.jinja").render(
        title=f"Adapter transfer between {len(numbers)} tasks",
        lead=_lead(found),
        tuning=found["tuning"],
        model=found["model"],
        names=names,
        runs=[
            {**run, "number": number, "members": own[place]}
            for place, (run, number) in enumerate(zip(found["runs"], numbers, strict=True))
        ],
        accuracy=[
            [
                dict(zip(("accuracy", "relative", "learned"), cell, strict=True))
                for cell in zip(*rows, strict=True)
            ]
            for rows in zip(*(accuracy[k] for k in ("matrix", "relative", "learned")), strict=True)
        ],
        learned=any(any(row) for row in accuracy["learned"]),
        several=any("labels_per_text" in run for run in found["runs"]),
        untrained=accuracy["untrained"],
        relative=plots.heat_map("relative", numbers, numbers, accuracy["relative"]),
        measures=[
            {
                "name": name,
                "words": words,
                "members": matrix,
                "svg": plots.heat_map(measure, ticks, ticks, _of_others(matrix)),
            }
            for measure, (name, words) in MEASURES.items()
            if (matrix := found["similarity"].get(measure, {}).get("members"))
        ],
    )


def _of_others(matrix: Matrix) -> Matrix:
    """Leave out what is compared with itself: beside it, nothing else would have a shade."""
    return [
        [None if one == other else value for other, value in enumerate(row)]
        for one, row in enumerate(matrix)
    ]


def _gain(accuracy: Mapping[str, Any], source: int, task: int) -> float:
    """By how much a run's adapters are better on a task than no adapter."""
    return float(accuracy["matrix"][source][task] - accuracy["untrained"][task])


def _lead(found: Mapping[str, Any]) -> str:
    """Name the adapters that transfer best, and the accuracy without any."""
    accuracy = found["accuracy"]
    pairs = [
        (value, source, task)
        for source, row in enumerate(accuracy["relative"])
        for task, value in enumerate(row)
        if source != task and value is not None
    ]
    if not pairs:
        return "No task has any accuracy with its own adapters: there is nothing to compare with."
    # What another run's adapters lose against none at all is no transfer, however near it comes.
    helpful = [pair for pair in pairs if _gain(accuracy, *pair[1:]) > 0]
    best, source, task = max(helpful or pairs)
    names = [f"{place + 1} ({quoted(run['task'])})" for place, run in enumerate(found["runs"])]
    reached, without = accuracy["matrix"][source][task], accuracy["untrained"][task]
    if not helpful:
        return (
            "No transfer: adapters of another run are nowhere better than none. The nearest are "
            f"those of {names[source]}: {percent(reached)} on task {names[task]}, where it is "
            f"{percent(without)} without any adapter."
        )
    return (
        f"Best transfer: the adapters of {names[source]} keep {percent(best)} of the accuracy of "
        f"task {names[task]}: {percent(reached)}. Without any adapter it is {percent(without)}."
    )
