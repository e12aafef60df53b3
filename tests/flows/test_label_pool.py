"""The flow, on jobs that do next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pet import pipeline
from pet.config import Budget, RunConfig
from pet.errors import InputError, Interrupted, LockedError, PetError, Problem
from pet.jobs import Execute, Job
from pet.progress import Observer
from pet.storage.units import Unit

FIGURES = {"accuracy": 0.75, "macro_f1": 0.5}
REPORT: dict[str, Any] = {
    "run": "night",
    "pool": {"rows": 10, "rejected": 1},
    "labels": {"counts": {"sport": 4, "a|b": 5}, "abstained": 2},
    "labeled": {
        "patterns": {"topic": {"zero_shot": FIGURES, "trained": FIGURES}},
        "supervised": FIGURES,
        "ensemble": FIGURES,
        "student": FIGURES,
        "unseen": False,
    },
}


class Notes(Observer):
    """Remembers stages and notes."""

    def __init__(self, stop_at: str = "") -> None:
        self.lines: list[str] = []
        self._stop_at = stop_at

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        self.lines.append(stage)

    def advance(self, amount: int) -> None:
        if self.lines[-1] == self._stop_at:
            raise Interrupted("asked to stop")

    def note(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def sequence(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Exception | None]], None]:
    """Put a sequence of small jobs in the place of the real one; a job may be given an error."""

    def replace(errors: dict[str, Exception | None]) -> None:
        def label_pool(
            _config: RunConfig,
            execute: Execute,
            observer: Observer,
            *,
            update: bool = False,
            budget: Budget | None = None,
            estimated: bool = False,
        ) -> dict[str, Any]:
            def work(name: str, error: Exception | None) -> Unit:
                with observer.stage(name, 2, "steps") as tick:
                    tick(1)
                    if error is not None:
                        raise error
                    tick(1)
                return Unit(Path(name), "f", name.startswith("old"))

            jobs = [Job(name, partial(work, name, error)) for name, error in errors.items()]
            units = execute(jobs)
            observer.note(f"{len(units)} units")
            assert estimated
            return {**REPORT, "update": update, "budget": budget and budget.time}

        monkeypatch.setattr(pipeline, "label_pool", label_pool)

    return replace


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    # The folder's name names the flow run, by which a test finds it.
    out = tmp_path / f"night-{tmp_path.name}"
    return RunConfig(task="t.toml", labeled="l.csv", pool="p", out=str(out), model="m")


def recorded(config: RunConfig) -> tuple[Any, dict[str, str], dict[str, Any]]:
    """Return the flow run, its task runs' states by name, and its artifacts by key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        FlowRunFilter,
        FlowRunFilterId,
        FlowRunFilterName,
    )

    with get_client(sync_client=True) as client:
        name = FlowRunFilterName(any_=[Path(config.out).name])
        (run,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=name))
        for _ in range(100):  # the server writes task runs down in its own time
            tasks = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
            )
            if tasks and all(task.state and task.state.is_final() for task in tasks):
                break
            time.sleep(0.1)
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        )
    states = {task.name: task.state.name or "" for task in tasks if task.state}
    return run, states, {artifact.key: artifact for artifact in artifacts if artifact.key}


def test_parameters_are_a_form(prefect_home: Path) -> None:
    from flows.label_pool import label_pool

    form = label_pool.parameters.definitions["RunConfig"]["properties"]
    for name, field in RunConfig.model_fields.items():
        assert form[name]["description"] == field.description
    assert set(label_pool.parameters.properties) == {"config", "update", "ray", "budget", "jobs"}


def test_only_what_may_pass_is_tried_again(prefect_home: Path) -> None:
    import errno

    from prefect.states import Failed

    from flows.runtime.steps import may_pass

    def tried_again(error: Exception) -> bool:
        return may_pass(None, None, Failed(data=error))

    wrapped = PetError("could not be written")
    wrapped.__cause__ = OSError(errno.ESTALE, "stale file handle")
    assert tried_again(OSError(errno.EIO, "input/output error"))
    assert tried_again(wrapped)
    assert not tried_again(OSError(errno.ENOSPC, "no space left"))
    assert not tried_again(InputError(Problem("f", "e", "f", "x")))
    assert not tried_again(LockedError("held"))


def test_importing_the_flows_sets_nothing(tmp_path: Path) -> None:
    program = (
        "import os; before = dict(os.environ); import flows.runtime.server, flows.label_pool; "
        "assert dict(os.environ) == before"
    )
    env = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=env)


@pytest.mark.prefect
def test_a_run_is_recorded(prefect_server: None, sequence: Any, config: RunConfig) -> None:
    from flows.label_pool import run_flow

    sequence({"train a": None, "old b": None})
    notes = Notes()
    report = run_flow(config, notes, update=True, budget=Budget(time="10m"))
    assert report == {**REPORT, "update": True, "budget": "10m"}
    assert notes.lines == ["train a", "old b", "2 units"]
    run, states, artifacts = recorded(config)
    assert run.state.name == "Completed"
    assert states == {"train a": "Completed", "old b": "Reused"}
    assert artifacts["label-pool-progress"].data == 100.0
    assert "| labeled | pattern topic, zero-shot | 0.750 | 0.500 |" in (
        artifacts["label-pool-result"].data
    )
    assert "| a\\|b | 5 |" in artifacts["label-pool-result"].data


@pytest.mark.prefect
def test_an_error_comes_out_as_itself_and_no_other_job_starts(
    prefect_server: None, sequence: Any, config: RunConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    from flows.label_pool import run_flow

    error = InputError(Problem("t.toml", "a", "b", "c"))
    sequence({"train a": None, "train b": error, "train c": None})
    notes = Notes()
    with pytest.raises(InputError) as raised:
        run_flow(config, notes)
    assert raised.value is error
    assert notes.lines == ["train a", "train b"]
    run, states, _artifacts = recorded(config)
    assert run.state.name == "Failed"
    assert states == {"train a": "Completed", "train b": "Failed"}
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.prefect
def test_a_stop_cancels_the_run(prefect_server: None, sequence: Any, config: RunConfig) -> None:
    from flows.label_pool import run_flow

    sequence({"train a": None, "train b": None})
    notes = Notes(stop_at="train a")
    with pytest.raises(Interrupted, match="asked to stop"):
        run_flow(config, notes)
    assert notes.lines == ["train a"]
    assert recorded(config)[0].state.name == "Cancelled"
