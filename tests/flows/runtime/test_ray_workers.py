"""Runs on a cluster of nodes, each a raylet of its own: same bytes, whatever dies."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.runtime.ray_workers import RayOptions, ray_workers
from pet.config import RunConfig
from pet.errors import InputError, Interrupted
from pet.jobs import InProcess
from pet.pipeline import label_pool
from pet.progress import Observer
from tests.pet.test_pipeline import Configure, results_of

pytest.importorskip("ray")
from ray.cluster_utils import Cluster


class Listener(Observer):
    """Keeps the notes; calls back for every line."""

    def __init__(self, then: Callable[[str], None] = lambda line: None) -> None:
        self.lines: list[str] = []
        self.stop = False
        self._then = then

    def advance(self, amount: int) -> None:
        if self.stop:
            raise Interrupted("asked by the test")

    def note(self, line: str) -> None:
        self.lines.append(line)
        self._then(line)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that does no jobs, and a node with one CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.getcwd())  # where the nodes find what the jobs are made of
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        yield nodes
        nodes.shutdown()


def run_on(cluster: Cluster, config: RunConfig, observer: Observer) -> None:
    with ray_workers(RayOptions(address=cluster.address), observer) as workers:
        label_pool(config, InProcess(workers), observer)


@pytest.mark.timeout(600)
def test_a_stop_and_a_node_that_dies_cost_no_byte(
    cluster: Cluster, config_for: Configure, tiny_run: Path
) -> None:
    config = config_for()

    def stop(line: str) -> None:
        stopped.stop = stopped.stop or line.startswith("score untrained")

    stopped = Listener(stop)
    with pytest.raises(Interrupted):
        run_on(cluster, config, stopped)
    dying = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    killed: list[str] = []

    def kill(line: str) -> None:
        if line.startswith("train g0") and not killed:
            killed.append(line)
            threading.Thread(target=cluster.remove_node, args=(dying, False)).start()

    listener = Listener(kill)
    run_on(cluster, config, listener)
    assert killed
    assert any("calibration: 3 of 3 reused" in line for line in listener.lines)
    assert any(line.startswith("labels from file 0 on: done on") for line in listener.lines)
    assert results_of(Path(config.out)) == results_of(tiny_run)
    assert not list(Path(config.out).rglob(".pet-tmp-*"))


def test_jobs_that_no_node_can_hold_are_refused_before_anything_is_written(
    cluster: Cluster,
) -> None:
    options = RayOptions(address=cluster.address, gpus_per_job=8)
    with (
        pytest.raises(InputError, match=r"1 CPUs and 8 GPUs; nodes of .*1 CPUs and 0 GPUs"),
        ray_workers(options, Observer()),
    ):
        pass


def test_an_address_where_no_cluster_is_names_the_address() -> None:
    options = RayOptions(address="127.0.0.1:1")
    with (
        pytest.raises(InputError, match=r"--address 127\.0\.0\.1:1"),
        ray_workers(options, Observer()),
    ):
        pass
