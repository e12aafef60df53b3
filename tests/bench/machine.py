"""What a machine can do at most, and how much arithmetic a model really needs."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Geometry:
    """The size of a transformer encoder.

    Attributes:
        inner: width of the feed-forward layers.
    """

    name: str
    layers: int
    width: int
    heads: int
    inner: int

    def useful(self, lengths: NDArray[np.int64]) -> float:
        """Count the operations of a forward pass over rows of so many tokens, without padding.

        Matrix products only, a multiplication and an addition each: four projections of the
        attention, two of the feed-forward network, and the attention itself; of the last layer,
        which is looked at in one place of a row, keys and values alone. The head is left out: at
        the masks alone it is next to nothing.
        """
        tokens = lengths.astype(np.float64)
        of_token = 2 * (4 * self.width**2 + 2 * self.width * self.inner)
        whole = (self.layers - 1) * (tokens * of_token + 4 * self.width * tokens**2)
        last = tokens * 2 * 2 * self.width**2 + of_token + 4 * self.width * tokens
        return float((whole + last).sum())


GEOMETRIES = (
    Geometry("BERT-tiny", 2, 128, 2, 512),
    Geometry("BERT-base", 12, 768, 12, 3072),
    Geometry("RoBERTa-large", 24, 1024, 16, 4096),
)


def wait_for(device: torch.device) -> None:
    """Let the device finish what it was given, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ceiling(
    geometry: Geometry,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    seconds: float = 0.3,
) -> float:
    """Measure the best rate of matrix products at a model's shapes, in operations a second."""
    tokens, best = 2048, 0.0
    shapes = [(geometry.width, geometry.width), (geometry.width, geometry.inner)]
    for rows, columns in [*shapes, shapes[1][::-1]]:
        a = torch.randn(tokens, rows, device=device, dtype=dtype)
        b = torch.randn(rows, columns, device=device, dtype=dtype)
        a @ b
        wait_for(device)
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds / 3:
            for _ in range(5):
                a @ b
            wait_for(device)
            done += 5
        took = time.perf_counter() - started
        best = max(best, 2.0 * tokens * rows * columns * done / took)
    return best


def describe() -> str:
    """Name the machine: processor, cores, accelerator."""
    line = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        line += f", {torch.cuda.get_device_name()}"
    return line
