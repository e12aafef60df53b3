"""How a pool is cut into blocks that are labeled side by side."""

from __future__ import annotations

import pytest

from pet.student.pool_labeling import cut_shards


@pytest.mark.parametrize(("shards", "workers"), [(1, 1), (1, 8), (3, 2), (100, 1), (100, 7)])
def test_no_shard_is_left_out_or_labeled_twice(shards: int, workers: int) -> None:
    blocks = cut_shards(shards, workers)
    assert [shard for block in blocks for shard in block] == list(range(shards))
    assert all(len(block) for block in blocks)
    assert len(blocks) == 1 or workers > 1


def test_an_empty_pool_still_has_a_folder_of_labels() -> None:
    assert cut_shards(0, 4) == [range(0, 0)]
