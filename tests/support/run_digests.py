"""Digests of every file of four tiny runs and a quiet night: what a change of layout must keep.

    python -m tests.support.run_digests > after.txt

Seconds, dates and the digest of pet's own code are left out; all else of a run folder counts.
The folder is the same each time, since a run records where it lies.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from pet.nightly.night import label_new
from pet.pipeline import label_pool
from tests.support import samples, tiny_models
from tests.support.nights import arrive, night_settings

ROOT = Path(tempfile.gettempdir()) / "pet-run-digests"
RUNS: dict[str, dict[str, Any]] = {
    "generations": {"generations": 2, "growth_factor": 2},
    "untrained": {"generations": 1, "train_from": 8, "encoder": str(ROOT / "bert")},
    "soft-prompt": samples.adapted("soft-prompt", generations=1),
    "lora": samples.adapted("lora"),
}
VOLATILE = {"seconds", "source", "written", "started", "ended", "at", "machine", "made_at"}
TIMES = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z| UTC)?|\d+(\.\d+)? ?(s|seconds)\b"
    rb"|\d+\.\d+ rows per second|[0-9a-f]{16}(?=\W)"
)


def main() -> int:
    """Make the runs anew and print a digest and a name per file."""
    shutil.rmtree(ROOT, ignore_errors=True)
    inputs = samples.write_inputs(ROOT / "inputs")
    model = tiny_models.save_model("bert", ROOT / "bert")
    for name, changes in RUNS.items():
        shipped = {**samples.SHIPPED, **changes}
        label_pool(samples.tiny_config(inputs, model, ROOT / name, **shipped))
    arrive(ROOT / "pool", "monday.csv", 12)
    settings = night_settings(ROOT, ROOT / "generations", inputs / "labeled.csv")
    for _ in range(2):  # the second night is quiet
        label_new(settings)
    for name in (*RUNS, "store"):
        for path in sorted(p for p in (ROOT / name).rglob("*") if p.is_file()):
            if path.name != ".digests.json":  # it holds the times of files
                print(digest_of(path), path.relative_to(ROOT).as_posix())
    return 0


def digest_of(path: Path) -> str:
    """Digest a file's content without what differs from one run to the next."""
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(without_times(json.loads(content)), sort_keys=True).encode()
    if path.name == "report.html":  # the last sections are of seconds
        head, heading, rest = content.partition(b"<h2>Cost</h2>")
        content = head + heading + re.sub(rb"[\d.]+", b"", rest)
    if path.suffix in (".html", ".md", ".jsonl", ".json"):
        content = TIMES.sub(b"", content)
    return hashlib.sha256(content).hexdigest()[:16]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in VOLATILE}
    return [without_times(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main())
