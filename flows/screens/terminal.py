"""The screen: data's own text shows there as it is, and never as a command to the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from pet.escaping import visible


class Terminal(Console):
    """A console on which every string is visible, in a cell of a table too."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)
