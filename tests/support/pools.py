"""A pool with one text column, and all that it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pet.data.pool import Pool, open_pool
from pet.data.rejections import RejectedRow


def pool_of(path: Path, **options: Any) -> Pool:
    return open_pool(path, ["text"], **options)


def everything(pool: Pool, rows: int = 10_000) -> tuple[list[str], list[str], list[RejectedRow]]:
    batches = list(pool.batches(rows))
    ids = [id for batch in batches for id in batch.ids]
    texts = [text for batch in batches for text in batch.columns["text"]]
    return ids, texts, [row for batch in batches for row in batch.rejected]
