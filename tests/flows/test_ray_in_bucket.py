"""A run on nodes that share nothing but a bucket: same bytes as on one machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pet.config import RunConfig
from pet.object_storage import file_system
from tests.flows.test_ray_workers import Told, run_on
from tests.test_mirrors import downloaded
from tests.test_object_storage import send
from tests.test_pipeline import Configure, results_of

pytest.importorskip("ray")
from ray.cluster_utils import Cluster


@pytest.fixture
def nodes(bucket: str, tmp_path: Path) -> Iterator[Cluster]:
    """A head that does no jobs, and two nodes with a CPU and a scratch disk of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.getcwd())
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for name in ("one", "two"):
            cluster.add_node(num_cpus=1, env_vars={"PET_SCRATCH": str(tmp_path / name)})
        cluster.wait_for_nodes()
        yield cluster
        cluster.shutdown()


def results_in(config: RunConfig, folder: Path) -> dict[str, bytes]:
    return results_of(downloaded(config.out, folder))


@pytest.mark.timeout(600)
def test_nodes_that_share_nothing_but_a_bucket_make_the_same_bytes(
    nodes: Cluster, bucket: str, config_for: Configure, inputs_folder: Path, tiny_run: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    send(inputs_folder, f"{bucket}/in")
    config = config_for(out=f"{bucket}/news", pool=f"{bucket}/in/pool.parquet")
    told = Told()
    run_on(nodes, config, told)
    assert any(line.startswith("train g0-last-r0: done on") for line in told.lines)
    assert results_in(config, tmp_path / "found") == results_of(tiny_run)
    for name in ("one", "two", "scratch"):
        assert list((tmp_path / name).rglob("done.json")), name
    file_system(bucket).rm_file(f"{config.out}/members/g0-last-r0/done.json")
    again = Told()
    run_on(nodes, config, again)
    assert "generation 0: members: 2 of 3 reused, up to date" in again.lines
    assert results_in(config, tmp_path / "again") == results_of(tiny_run)
