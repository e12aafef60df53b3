"""Jobs side by side: where models are small, and there is memory for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pet.inputs import job_count
from pet.inputs.job_count import count_jobs

Configure = Callable[..., Any]


@pytest.mark.parametrize(
    ("weights", "more", "expected"),
    [
        pytest.param(4_000_000, {}, 4, id="a small model leaves threads unused"),
        pytest.param(100_000, {}, 1, id="processes take longer to start than it takes to train"),
        pytest.param(100_000_000, {}, 1, id="a large one keeps all threads busy"),
        pytest.param(4_000_000, {"member": {"steps": 0}}, 1, id="nothing is trained"),
        pytest.param(4_000_000, {"member": {"steps": 49}}, 1, id="trained in seconds"),
    ],
)
def test_jobs_side_by_side_are_for_small_models_that_learn(
    config_for: Configure,
    monkeypatch: pytest.MonkeyPatch,
    weights: int,
    more: dict[str, object],
    expected: int,
) -> None:
    monkeypatch.setattr(job_count, "count_weights", lambda ref: weights)
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    monkeypatch.setattr(job_count, "_free_memory", lambda: 64e9)
    assert count_jobs(config_for(**{"member": {"steps": 50}, **more})) == expected


def test_little_memory_means_fewer_jobs(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_count, "count_weights", lambda ref: 4_000_000)
    monkeypatch.setattr("torch.get_num_threads", lambda: 16)
    monkeypatch.setattr(job_count, "_free_memory", lambda: 4e9)
    assert count_jobs(config_for(member={"steps": 150})) == 2
