"""A run on nodes that share nothing but a bucket: same bytes, whatever dies."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pet.config import RunConfig
from pet.storage.object_storage import file_system
from tests.flows.runtime.test_ray_workers import Listener, run_on
from tests.pet.storage.test_mirrors import downloaded
from tests.pet.storage.test_object_storage import send
from tests.pet.test_pipeline import Configure, results_of

pytest.importorskip("ray")
from ray.cluster_utils import Cluster


@pytest.fixture
def nodes(bucket: str, tmp_path: Path) -> Iterator[Cluster]:
    """A head that does no jobs, and a node with a CPU and a scratch disk of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.getcwd())
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        cluster.add_node(num_cpus=1, env_vars={"PET_SCRATCH": str(tmp_path / "one")})
        cluster.wait_for_nodes()
        yield cluster
        cluster.shutdown()


def results_in(config: RunConfig, folder: Path) -> dict[str, bytes]:
    return results_of(downloaded(config.out, folder))


@pytest.mark.timeout(600)
def test_nodes_that_share_nothing_but_a_bucket_make_the_same_bytes(
    nodes: Cluster,
    bucket: str,
    config_for: Configure,
    inputs_folder: Path,
    tiny_run: Path,
    tmp_path: Path,
) -> None:
    send(inputs_folder, f"{bucket}/in")
    config = config_for(out=f"{bucket}/news", pool=f"{bucket}/in/pool.parquet")
    dying = nodes.add_node(num_cpus=1, env_vars={"PET_SCRATCH": str(tmp_path / "two")})
    nodes.wait_for_nodes()
    killed: list[str] = []

    def kill(line: str) -> None:
        has_worked = any((tmp_path / "two").rglob("done.json"))
        if line.startswith("train g0") and has_worked and not killed:
            killed.append(line)
            threading.Thread(target=nodes.remove_node, args=(dying, False)).start()

    run_on(nodes, config, Listener(kill))
    assert killed
    assert results_in(config, tmp_path / "found") == results_of(tiny_run)
    assert any((tmp_path / "one").rglob("done.json"))
    file_system(bucket).rm_file(f"{config.out}/members/g0-last-r0/done.json")
    again = Listener()
    run_on(nodes, config, again)
    assert "generation 0: members: 2 of 3 reused, up to date" in again.lines
    assert results_in(config, tmp_path / "again") == results_of(tiny_run)
