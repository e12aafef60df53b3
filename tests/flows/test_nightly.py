"""The nightly flow: its form, its record in Prefect, its events; a schedule that fires."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.nightly.nightly_config import DriftConfig, NightlyConfig
from tests.support.nights import arrive, night_settings


def test_settings_are_a_form_with_descriptions(prefect_home: Path) -> None:
    from flows.nightly import nightly

    definitions = nightly.parameters.definitions
    for model in (NightlyConfig, DriftConfig):
        form = definitions[model.__name__]["properties"]
        assert len(form) == len(model.model_fields)
        for name, field in model.model_fields.items():
            assert field.description
            assert form[name]["description"] == field.description
    assert set(nightly.parameters.properties) == {"config"}


@pytest.fixture
def config(tmp_path: Path, tiny_run: Path, inputs_folder: Path) -> NightlyConfig:
    store = tmp_path / f"store-{tmp_path.name}"  # by which a test finds its flow run
    return night_settings(tmp_path, tiny_run, inputs_folder / "labeled.csv", out=str(store))


def artifacts_of(client: Any, run: Any) -> dict[str, Any]:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return {a.key: a for a in client.read_artifacts(artifact_filter=chosen) if a.key}


def runs_of(client: Any, config: NightlyConfig) -> list[Any]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    name = FlowRunFilterName(any_=[Path(config.out).name])
    return list(client.read_flow_runs(flow_run_filter=FlowRunFilter(name=name)))


FILESYSTEM = "prefect.server.concurrency.lease_storage.filesystem"  # as the guide says


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch, prefect_home: Path) -> list[tuple[str, dict[str, Any]]]:
    """The events that are emitted, instead of a server's streams."""
    from flows.runtime import hooks, night_artifacts

    events: list[tuple[str, dict[str, Any]]] = []
    for module in (hooks, night_artifacts):
        monkeypatch.setattr(
            module, "emit_event", lambda event, resource, payload: events.append((event, payload))
        )
    return events


@pytest.mark.prefect
def test_a_night_is_recorded_with_its_artifacts_and_events(
    prefect_server: None, config: NightlyConfig, events: list[tuple[str, dict[str, Any]]]
) -> None:
    from prefect.client.orchestration import get_client

    from flows.nightly import run_flow

    pool = Path(config.pool)
    arrive(pool, "a|b.csv", 60, text="trade of the market and a stock price " * 4)
    (pool / "bad.csv").write_text("id,other\n1,2\n")
    found = run_flow(config)
    assert found["rows"] == 60
    with get_client(sync_client=True) as client:
        [run] = runs_of(client, config)
        shown = artifacts_of(client, run)
    assert run.state.name == "Completed"
    assert set(shown) == {
        "nightly-progress",
        "nightly-result",
        "nightly-drift",
        "nightly-warnings",
        "nightly-report",
    }
    assert "| a\\|b\\.csv | 60 | 0 |" in shown["nightly-result"].data
    assert "bad\\.csv is not labeled" in shown["nightly-warnings"].data
    assert "drift of words" in shown["nightly-warnings"].data
    assert "report." in shown["nightly-report"].data
    assert [event for event, _ in events] == ["pet.drift", "pet.model.renewed"]
    assert "words" in events[0][1]["of"]


def test_drift_that_renews_the_model_is_an_event_as_well(
    config: NightlyConfig, events: list[tuple[str, dict[str, Any]]]
) -> None:
    """With settings as they are shipped: the model's own nights begin anew when it comes."""
    from flows.runtime.night_artifacts import _emit
    from pet.nightly.night import label_new

    renewing = config.model_copy(update={"retrain_on_drift": True})
    arrive(Path(config.pool), "a.csv", 60, text="trade of the market and a stock price " * 4)
    found = label_new(renewing)
    assert found["came_into_use"]["version"] == 2
    _emit(found)
    assert [event for event, _ in events] == ["pet.drift", "pet.model.renewed"]
    assert "words" in events[0][1]["of"]


@pytest.mark.prefect
def test_a_night_that_fails_is_an_event_with_the_reason(
    prefect_server: None, config: NightlyConfig, events: list[tuple[str, dict[str, Any]]]
) -> None:
    from flows.nightly import run_flow

    Path(config.pool).rmdir()
    with pytest.raises(InputError, match="mount it"):
        run_flow(config)
    [(event, payload)] = events
    assert event == "pet.run.failed"
    assert "mount it" in payload["message"]
    assert payload["out"] == config.out


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start programs that have a Prefect server of their own; all end with the test."""
    port = free_port()
    env = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "home"),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": FILESYSTEM,
    }
    started = []

    def begin(*words: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{len(started)}.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", *words],
                    env=env,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        return started[-1]

    begin.url = env["PREFECT_API_URL"]  # type: ignore[attr-defined]
    yield begin
    for process in reversed(started):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    for process in started:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(what: Callable[[], Any], seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := what():
                return found
        except OSError:
            pass  # the server is not up yet, or restarts
        time.sleep(1)
    raise AssertionError(f"it did not happen within {seconds:.0f} s")


def is_up(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
        return bool(answer.status == 200)


def ended(url: str, config: NightlyConfig) -> bool:
    from prefect.client.orchestration import get_client
    from prefect.settings import temporary_settings

    with temporary_settings({"api.url": url}), get_client(sync_client=True) as client:
        return any(run.state.name == "Completed" for run in runs_of(client, config))


@pytest.mark.faults
@pytest.mark.prefect
@pytest.mark.timeout(600)
def test_a_schedule_fires_and_goes_on_after_the_server_was_started_anew(
    start: Any, config: NightlyConfig, tmp_path: Path
) -> None:
    """What nobody would notice for weeks: a schedule that is there and never fires."""
    from prefect.client.orchestration import get_client
    from prefect.settings import temporary_settings

    assert version("sqlalchemy") < "2.1", "with 2.1 Prefect schedules nothing: see constraints.txt"
    file = tmp_path / "nightly.json"
    file.write_text(config.model_dump_json())
    arrive(Path(config.pool), "a.csv", 6)
    server = start("prefect", "server", "start")
    wait_for(lambda: is_up(start.url))
    start("flows.serve", str(file), "--cron", "* * * * *")
    labels = Path(config.out) / "labels" / "v0001"
    wait_for(lambda: list(labels.glob("a.csv-*/.done.json")))
    # A server that ends before a night has given its slots back leaves them to their leases, which
    # last for minutes.
    wait_for(lambda: ended(start.url, config))
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(30)
    arrive(Path(config.pool), "b.csv", 3)
    start("prefect", "server", "start")
    wait_for(lambda: is_up(start.url))
    wait_for(lambda: list(labels.glob("b.csv-*/.done.json")))
    with temporary_settings({"api.url": start.url}), get_client(sync_client=True) as client:

        def completed() -> list[Any]:
            runs = [run for run in runs_of(client, config) if run.state.name == "Completed"]
            return runs if len(runs) >= 2 else []

        runs = wait_for(completed)
        shown = [artifacts_of(client, run) for run in runs]
        limits = [limit.name for limit in client.read_global_concurrency_limits(10, 0)]
    assert all(run.auto_scheduled and run.deployment_id for run in runs)
    results = " ".join(keys["nightly-result"].data for keys in shown)
    assert "| a\\.csv | 6 |" in results
    assert "| b\\.csv | 3 |" in results
    assert f"pet-{socket.gethostname()}" in limits
