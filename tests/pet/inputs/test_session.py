"""A run in this process, and how it comes into another one."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pet.errors import PetError
from pet.inputs.reading import open_session
from pet.progress import NOTES
from pet.tasks.encoding import TextSlot

Configure = Callable[..., Any]


def test_inputs_that_travel_arrive_once_and_leave_what_is_heavy_behind(
    config_for: Configure,
) -> None:
    session = open_session(config_for())
    session.tokens["pool"] = {TextSlot("text", False): object()}  # type: ignore[dict-item]
    sent = pickle.dumps(session)
    there, again = pickle.loads(sent), pickle.loads(sent)
    assert there is again
    assert not there.tokens
    assert there.observer is NOTES
    assert there.inputs.run_id == session.inputs.run_id
    assert there.pool.files == session.pool.files
    assert there.labeled.columns == session.labeled.columns
    other = pickle.loads(pickle.dumps(open_session(config_for(seed=7))))
    assert other is not there
    assert other.config.seed == 7


def test_work_for_another_device_is_refused_where_it_arrives(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = pickle.dumps(open_session(config_for(device="auto")))
    monkeypatch.setattr("pet.inputs.session.choose_device", lambda name: "cuda")
    with pytest.raises(PetError, match="expected: the device cpu"):
        pickle.loads(sent)
