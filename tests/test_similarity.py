"""How alike adapters are by their weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pet.errors import InputError
from pet.finished.adapter_similarity import compare_vectors, read_vectors
from pet.inputs.warm_start import adapters_of

Runs = dict[str, Path]
ONE = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("tuning", ["lora", "prefix", "soft-prompt"])
def test_an_adapter_is_most_like_itself(adapted_runs: Runs, tuning: str) -> None:
    own, other = (read_vectors(path) for path in adapters_of(adapted_runs[tuning])[:2])
    same, apart = compare_vectors(own, own), compare_vectors(own, other)
    for measure in ("cosine_concatenated", "euclidean_concatenated"):
        assert same[measure] == pytest.approx(1, abs=1e-6)
        assert apart[measure] < 0.9999
    assert ("cosine_average" in apart) == (tuning != "lora")


def test_averages_are_over_every_place_of_one_with_every_place_of_the_other() -> None:
    """Prompts of one set of vectors in another order are not told apart, unlike concatenated."""
    found = compare_vectors(ONE, ONE.flip(0))
    assert found["cosine_average"] == pytest.approx(0.5)
    assert found["euclidean_average"] == pytest.approx(1 / (1 + 2**0.5 / 2))
    assert found["cosine_concatenated"] == 0
    assert found["euclidean_concatenated"] == pytest.approx(1 / 3)


def test_prompts_of_two_lengths_have_averages_only() -> None:
    found = compare_vectors(ONE, ONE[:1])
    assert found["cosine_average"] == pytest.approx(0.5)
    assert set(found) == {"cosine_average", "euclidean_average"}


def test_lora_is_compared_by_the_change_that_it_makes(adapted_runs: Runs) -> None:
    """Turned factors, and another rank, are the same change: as written out, so compared."""
    paths = adapters_of(adapted_runs["lora"])
    one, other = read_vectors(paths[0]), read_vectors(paths[1])
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    turned = {name: (torch.cat([2 * a, a]), torch.cat([b / 4, b / 2], 1))
              for name, (a, b) in one.items()}  # fmt: skip
    assert compare_vectors(turned, other) == pytest.approx(compare_vectors(one, other))
    whole = [torch.cat([(b @ a).flatten() for a, b in of.values()]) for of in (one, other)]
    assert compare_vectors(one, other)["cosine_concatenated"] == pytest.approx(
        float(torch.cosine_similarity(*whole, dim=0))
    )


def test_a_layer_that_one_adapter_leaves_alone_counts_as_no_change() -> None:
    a, b = torch.ones(1, 2).double(), torch.ones(2, 1).double()
    both, first = {"x": (a, b), "y": (a, b)}, {"x": (a, b)}
    assert compare_vectors(both, first)["cosine_concatenated"] == pytest.approx(0.5**0.5)


def test_weights_of_another_kind_are_one_screen(adapted_runs: Runs, tmp_path: Path) -> None:
    folder = tmp_path / "member"
    folder.mkdir()
    for name in ("adapter_config.json", "backbone.json"):
        source = adapters_of(adapted_runs["soft-prompt"])[0] / name
        (folder / name).write_text(source.read_text())
    save_file({"other": torch.ones(2)}, folder / "adapter_model.safetensors")
    with pytest.raises(InputError, match="do not fit together"):
        read_vectors(folder)
