"""Freed memory is kept for the next step, and only for as long as there are steps."""

from __future__ import annotations

import platform
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pet import allocation
from pet.allocation import freed_memory_kept

PAGES = 120 * 2**20 // resource.getpagesize()  # of one step below
glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


def take_step() -> None:
    """Fill and free three blocks that are as large as the gradient of an embedding."""
    blocks = [torch.ones(10 * 2**20) for _ in range(3)]
    assert len(blocks) == 3


@pytest.fixture
def kept() -> Iterator[None]:
    with freed_memory_kept():
        yield


@glibc_only
@pytest.mark.usefixtures("kept")
def test_memory_of_one_step_is_not_fetched_again_for_the_next() -> None:
    """Otherwise a fifth of a training step goes by in page faults."""
    for _ in range(3):
        take_step()
    before = faults()
    for _ in range(5):
        take_step()
    assert faults() - before < 5 * PAGES / 2


@glibc_only
@pytest.mark.parametrize("fails", [False, True])
def test_memory_goes_back_at_the_end_even_of_a_failure(fails: bool) -> None:
    """Otherwise whoever trains in a long-lived process holds the peak for ever."""
    try:
        with freed_memory_kept():
            take_step()
            inside = resident_pages()
            if fails:
                raise ValueError("training failed")
    except ValueError:
        assert fails
    assert resident_pages() < inside - PAGES / 2


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation.sys, "platform", "darwin")
    with freed_memory_kept():
        assert torch.ones(2).sum() == 2
