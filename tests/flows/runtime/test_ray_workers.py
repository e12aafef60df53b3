"""Runs on a cluster of nodes, each a raylet of its own: same bytes, whatever dies.

On one disk that all share, and on nodes that share nothing but a bucket.
"""

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
from pet.storage.object_storage import file_system
from tests.conftest import s3_settings
from tests.pet.storage.test_mirrors import downloaded
from tests.pet.storage.test_object_storage import send
from tests.pet.test_pipeline import Configure, results_of
from tests.support import samples

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
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch disk for each node: folders in it."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def cluster(s3_server: str, scratch: Path) -> Iterator[Cluster]:
    """A head that does no jobs, and a node with one CPU; all know the S3 server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.getcwd())  # where the nodes find what the jobs are made of
        for name, value in s3_settings(s3_server).items():
            patch.setenv(name, value)
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        nodes.add_node(num_cpus=1, env_vars={"PET_SCRATCH": str(scratch / "one")})
        nodes.wait_for_nodes()
        yield nodes
        nodes.shutdown()


def run_on(cluster: Cluster, config: RunConfig, observer: Observer) -> None:
    with ray_workers(RayOptions(address=cluster.address), observer) as workers:
        label_pool(config, InProcess(workers), observer)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_stop_and_a_node_that_dies_cost_no_byte(
    cluster: Cluster, config_for: Configure, shipped_run: Path
) -> None:
    config = config_for(**samples.SHIPPED)

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
    assert results_of(Path(config.out)) == results_of(shipped_run)
    assert not list(Path(config.out).rglob(".pet-tmp-*"))


@pytest.mark.faults
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


def results_in(config: RunConfig, folder: Path) -> dict[str, bytes]:
    return results_of(downloaded(config.out, folder))


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_nodes_that_share_nothing_but_a_bucket_make_the_same_bytes(
    cluster: Cluster,
    scratch: Path,
    bucket: str,
    config_for: Configure,
    inputs_folder: Path,
    tiny_run: Path,
    tmp_path: Path,
) -> None:
    send(inputs_folder, f"{bucket}/in")
    config = config_for(out=f"{bucket}/news", pool=f"{bucket}/in/pool.parquet")
    dying = cluster.add_node(num_cpus=1, env_vars={"PET_SCRATCH": str(scratch / "two")})
    cluster.wait_for_nodes()
    killed: list[str] = []

    def kill(line: str) -> None:
        has_worked = any((scratch / "two").rglob("done.json"))
        if line.startswith("train g0") and has_worked and not killed:
            killed.append(line)
            threading.Thread(target=cluster.remove_node, args=(dying, False)).start()

    run_on(cluster, config, Listener(kill))
    assert killed
    assert results_in(config, tmp_path / "found") == results_of(tiny_run)
    assert any((scratch / "one").rglob("done.json"))
    file_system(bucket).rm_file(f"{config.out}/members/g0-last-r0/done.json")
    again = Listener()
    run_on(cluster, config, again)
    assert "generation 0: members: 2 of 3 reused, up to date" in again.lines
    assert results_in(config, tmp_path / "again") == results_of(tiny_run)
