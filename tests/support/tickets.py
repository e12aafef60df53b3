"""The sample tickets and BERT-tiny: a run of the real command, in a process of its own."""

from __future__ import annotations

from pathlib import Path

from data.cache import cache_root

REPOSITORY = Path(__file__).parents[2]
SAMPLE = REPOSITORY / "data" / "sample"
MODEL = cache_root() / "models" / "bert-tiny"
TASK = """
name = "tickets"
fields = ["text"]
[labels]
billing = ["payment", "money"]
delivery = ["delivery", "shipping"]
technical = ["software", "computer"]
[patterns]
category = "category: {mask}. {text}"
about = "{text} This is about {mask}"
"""


def run_command(task: Path, out: Path, settings: tuple[str, ...], *more: str) -> list[str]:
    """Write the task file; return what follows `pet`."""
    task.write_text(TASK)
    return [
        "run",
        str(task),
        "--labeled",
        str(SAMPLE / "tickets-labeled.csv"),
        "--pool",
        str(SAMPLE / "tickets-pool.csv"),
        "--test",
        str(SAMPLE / "tickets-test.csv"),
        "--model",
        str(MODEL),
        "--out",
        str(out),
        *more,
        *(part for setting in settings for part in ("--set", setting)),
    ]
