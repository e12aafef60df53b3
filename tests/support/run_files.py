"""Files of runs, read whole: labels, logits, soft labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.ensemble.logits import read_logits


def label_table(folder: Path) -> pa.Table:
    """Read all label files of a folder, in order."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))])


def label_rows(folder: Path) -> list[dict[str, Any]]:
    return label_table(folder).to_pylist()


def scores_in(folder: Path) -> NDArray[np.float32]:
    """Read all logits, or soft labels, of a folder. [rows, labels]"""
    return np.concatenate([read_logits(path)[1] for path in sorted(folder.glob("part-*.parquet"))])
