"""One run of a deployment at a time: two would share the machine's GPU."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

SLOT = "PREFECT__RUNTIME__DEPLOYMENT__ID"  # what Prefect takes for the deployment's id in a test


class Machine:
    """Counts the runs that are on the machine, and the most that ever were."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.notes: list[str] = []
        self._lock = threading.Lock()
        self._met = threading.Event()

    def use(self) -> None:
        from flows.runtime.limits import one_at_a_time

        with one_at_a_time(self.notes.append):
            with self._lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
                if self.inside == 2:
                    self._met.set()
            self._met.wait(2)  # the other one has time to come in, too
            with self._lock:
                self.inside -= 1


@pytest.mark.faults
@pytest.mark.prefect
def test_two_runs_of_deployments_wait_for_each_other(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SLOT, "a-deployment")
    machine = Machine()
    with ThreadPoolExecutor(2) as threads:
        for run in [threads.submit(machine.use) for _ in range(2)]:
            run.result()
    assert machine.most == 1
    assert len(machine.notes) == 2


@pytest.mark.faults
@pytest.mark.prefect
def test_runs_by_hand_wait_for_nobody(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SLOT, raising=False)
    machine = Machine()
    with ThreadPoolExecutor(2) as threads:
        for run in [threads.submit(machine.use) for _ in range(2)]:
            run.result()
    assert machine.most == 2
    assert not machine.notes
