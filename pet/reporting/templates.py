"""The pages' templates, and how they write shares, counts and times."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pet.display import shown_threshold
from pet.reporting.findings import percent


def load_template(name: str) -> Any:
    """Return one of our templates; whatever is put into it is escaped."""
    environment = Environment(
        loader=PackageLoader("pet.reporting", ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "percent": percent,
        "short_percent": lambda share: "–" if share is None else f"{100 * share:.0f}\u202f%",
        "count": lambda number: f"{number:,.0f}",
        "duration": duration,
        "threshold": shown_threshold,
    }
    return environment.get_template(name)


def duration(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
