"""Runs on a cluster of two nodes, each a raylet of its own: same bytes, whatever dies."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.ray_workers import RayOptions, ray_workers
from pet.config import RunConfig
from pet.errors import InputError, PetError, Problem
from pet.inputs import Inputs, read_inputs
from pet.jobs import Job, Plainly
from pet.pipeline import label_pool
from pet.progress import SILENT, Observer
from tests.test_pipeline import Configure, results_of

pytest.importorskip("ray")
from ray.cluster_utils import Cluster


class Told(Observer):
    """Keeps what is said; calls back for every line."""

    def __init__(self, then: Callable[[str], None] = lambda line: None) -> None:
        self.lines: list[str] = []
        self._then = then

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._then(line)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that does no jobs, and two nodes with a CPU each."""
    here = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.getcwd()  # jobs are named by where they stand in our code
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    yield nodes
    nodes.shutdown()
    if here is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = here


def run_on(cluster: Cluster, config: RunConfig, observer: Observer) -> dict[str, Any]:
    with ray_workers(RayOptions(address=cluster.address), observer) as workers:
        assert workers.at_once == 2
        return label_pool(config, Plainly(workers), observer)


def test_a_node_that_dies_midway_costs_no_byte(
    cluster: Cluster, config_for: Configure, tiny_run: Path
) -> None:
    dying = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    killed: list[str] = []

    def kill(line: str) -> None:
        if "done on" in line and line.startswith("train") and not killed:
            killed.append(line)
            threading.Thread(
                target=cluster.remove_node, args=(dying,), kwargs={"allow_graceful": False}
            ).start()

    observer = Told(kill)
    config = config_for()
    with ray_workers(RayOptions(address=cluster.address), observer) as workers:
        report = label_pool(config, Plainly(workers), observer)
    assert killed
    assert report["labels"]["rows"] == 37
    assert results_of(Path(config.out)) == results_of(tiny_run)
