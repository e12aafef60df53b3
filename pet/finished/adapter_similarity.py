"""Similarity of two adapters by their weights: measures of Su et al. (2022, arXiv 2111.06719).

Theirs are of soft prompts: token by token, and with all tokens as one vector. A prefix has keys and
values of all layers in each of its places, and is compared likewise. The two factors of LoRA can be
turned against each other without any effect, so what is compared is their product: the change. Of
other kinds only the neurons that they activate are compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Module, functional
from transformers.activations import ACT2CLS

from pet.models.adapter import damaged, read_backbone, read_settings, read_weights
from pet.models.cloze_model import ClozeModel
from pet.models.encoder_decoder import EncoderDecoderModel
from pet.tasks.encoding import SpecialTokens, mask_token

_CLASSES: Any = tuple(own[0] if isinstance(own, tuple) else own for own in ACT2CLS.values())


def active_neurons(model: ClozeModel) -> NDArray[np.bool_] | None:
    """Return for every feed-forward neuron whether it is active at the place of the prediction.

    There is no text: the input is the adapter's prompt and a mask, with the tokens that every text
    has around it; for a causal model the prompt alone, of which the last place counts; of a model
    of encoder and decoder the decoder counts, at the place that gives the word. A neuron is
    active where its activation function gives more than 0: of ReLU the paper's own measure, of
    GELU and SiLU the same half of the inputs; of a gated layer that is the gate.

    Returns:
        [neurons] of all layers; None where a model's activation functions are no modules.
    """
    ids, column = _question(model)
    read = torch.tensor([ids], device=model.device)
    inputs, part = {"input_ids": read, "attention_mask": torch.ones_like(read)}, model.module
    places = len(ids)
    if isinstance(model, EncoderDecoderModel):
        inputs["decoder_input_ids"], part = model.decoder_start[None], part.get_decoder()
        places, column = len(model.decoder_start), -1
    model.module.eval()
    with torch.inference_mode(), _recording(part.base_model) as outputs:
        model.forward(inputs)
    if not outputs:
        return None
    # Some models have no dimension for the rows here: with one row that makes no difference.
    active = [layer.reshape(places, -1)[column] > 0 for layer in outputs]
    return torch.cat(active).cpu().numpy()


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the cosine of two activation states, each 0 or 1 per neuron: the measure ON."""
    both = float((one & other).sum())
    norms = (float(one.sum()) * float(other.sum())) ** 0.5
    return both / norms if norms else 0.0


def _question(model: ClozeModel) -> tuple[list[int], int]:
    """Return token ids, and the column of the prediction."""
    tokenizer = model.tokenizer
    special = SpecialTokens.of(tokenizer, model.reading, pair=False)
    length = 0 if model.adapter is None else model.adapter.prompt_length
    before = special.before.tolist()
    if model.reading == "causal":
        # Without a prompt and a first token of its own, it is asked what comes after anything.
        ids = [*before, *[tokenizer.pad_token_id] * length] or [tokenizer.pad_token_id]
        return ids, len(ids) - 1
    mask = mask_token(tokenizer, model.reading)
    word = [] if model.reading == "end" else [mask]
    stand_in = tokenizer.pad_token_id if tokenizer.mask_token_id is None else mask
    ids = [*before, *[stand_in] * length, *word, *special.after.tolist()]
    return ids, len(before) + length


@contextlib.contextmanager
def _recording(backbone: Module) -> Iterator[list[Tensor]]:
    """Collect the outputs of all activation functions, in the order of the layers."""
    outputs: list[Tensor] = []

    def record(_layer: Any, _inputs: Any, output: Tensor) -> None:
        outputs.append(output.detach())

    layers = [layer for layer in backbone.modules() if isinstance(layer, _CLASSES)]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


# Per layer: A [rank, in], and B with the factor alpha / rank [out, rank].
Change = dict[str, tuple[Tensor, Tensor]]

Vectors = Tensor | Change  # of a prompt or a prefix: [length, width]


def read_vectors(folder: Path) -> Vectors | None:
    """Read what of an adapter is compared with another one of its kind; None: nothing is.

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
        if tuning != "lora":
            return None
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
        for name in sorted(one.keys() & other.keys())
    )
