"""Memory that ran out, on whatever device."""

from __future__ import annotations

import torch

# What a full memory raises: on the CPU an error of torch's or of Python's.
MEMORY_ERRORS = (RuntimeError, MemoryError)
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED", "bad_alloc")


def is_out_of_memory(error: Exception) -> bool:
    """Recognise an allocation failure on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
