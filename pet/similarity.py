"""How alike two adapters are by their weights: measures of Su et al. (2022, arXiv 2111.06719).

Theirs are of soft prompts: token by token, and with all tokens as one vector. A prefix has keys and
values of all layers in each of its places, and is compared likewise. The two factors of LoRA can be
turned against each other without any effect, so what is compared is their product: the change.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from pet.adapters import damaged, read_backbone, read_settings, read_weights

# Per layer: A [rank, in], and B with the factor alpha / rank [out, rank].
Change = dict[str, tuple[Tensor, Tensor]]
Vectors = Tensor | Change  # of a prompt or a prefix: [length, width]


def read_vectors(folder: Path) -> Vectors:
    """Read what of an adapter is compared with another one of its kind.

    Raises:
        InputError: its weights cannot be read, or are of no kind that is known here.
    """
    weights = {name: value.double() for name, value in read_weights(folder).items()}
    tuning = read_backbone(folder).get("tuning")
    try:
        if tuning == "soft-prompt":
            return weights["prompt"]
        if tuning == "prefix":  # [heads, length, width] each
            layers = [weights[name].transpose(0, 1).flatten(1) for name in sorted(weights)]
            return torch.cat(layers, dim=1)
        settings = read_settings(folder)
        scale = float(settings["lora_alpha"]) / float(settings["r"])
        layers_of_a = [name for name in sorted(weights) if ".lora_A." in name]
        return {
            name: (weights[name], scale * weights[name.replace(".lora_A.", ".lora_B.")])
            for name in layers_of_a
        }
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise damaged(folder, f"weights that do not fit together: {error}") from error


def compare_vectors(one: Vectors, other: Vectors) -> dict[str, float]:
    """Return the measures that two adapters of one kind allow; none can be more than 1.

    As in the paper, a distance d is given as the similarity 1 / (1 + d).

    Returns:
        `cosine_concatenated`, `euclidean_concatenated`: of all places as one vector (C_concat and
            E_concat), where both have as many; of LoRA, of the changes to all weights.
        `cosine_average`, `euclidean_average`: the mean over each place of one with each place of
            the other (C_average; E_average, of the mean distance); not of LoRA.
    """
    found = {}
    if isinstance(one, dict) or isinstance(other, dict) or one.shape == other.shape:
        product, first, second = _inner(one, other), _inner(one, one), _inner(other, other)
        norms = (first * second) ** 0.5
        found["cosine_concatenated"] = product / norms if norms else 0.0
        found["euclidean_concatenated"] = 1 / (1 + max(0.0, first + second - 2 * product) ** 0.5)
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        cosines = functional.normalize(one, dim=1) @ functional.normalize(other, dim=1).T
        found["cosine_average"] = float(cosines.mean())
        found["euclidean_average"] = 1 / (1 + float(torch.cdist(one, other).mean()))
    return found


def _inner(one: Vectors, other: Vectors) -> float:
    """Multiply two adapters as vectors; of a change B A, without ever writing it out."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return float((one * other).sum())
    assert isinstance(one, dict), "a prompt is compared with prompts only"
    assert isinstance(other, dict), "LoRA is compared with LoRA only"
    # <B A, B' A'> is the trace of A^T B^T B' A'; layers that only one has are 0 in the other.
    return sum(
        float(((one[name][1].T @ other[name][1]) * (one[name][0] @ other[name][0].T)).sum())
        for name in one.keys() & other.keys()
    )
