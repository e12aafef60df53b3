"""A headless Chromium: how it is found and called."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
MODES = {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"]}


def browse(folder: Path, page: str, *options: str, scale: float = 1) -> str:
    """Open a page of a folder, which also takes the browser's profile; return what was printed."""
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--force-device-scale-factor={scale:g}",
            f"--user-data-dir={folder / 'profile'}",
            *options,
            (folder / page).as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return done.stdout
