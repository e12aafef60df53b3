"""A new classification head is fitted first, on frozen features, before all weights learn.

Linear probing, then fine-tuning (Kumar et al. 2022, arXiv 2202.10054): from a random head, the
first steps of training change a pretrained model by what is noise.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Linear, Module

from pet.method.outcomes import ONE, Outcome
from pet.models.batching import MEMORY_ERRORS, Rows, halved, split_by_tokens
from pet.models.model import Classifier, Texts
from pet.models.scoring import CPU_TOKENS
from pet.models.window_pooling import by_windows
from pet.tasks.encoding import Encoder

PROBED = 1000  # rows, which cost as much as 20 steps of 16 rows

PENALTY = 10.0  # C of scikit-learn


def fit_head_first(
    model: Classifier,
    encoder: Encoder,
    texts: Texts,
    rows: Rows,
    targets: NDArray[np.floating],
    temperature: float,
    rng: np.random.Generator,
    outcome: Outcome = ONE,
) -> bool:
    """Set the last linear layer of a fresh classifier to the minimum of its own loss.

    Args:
        rows: the rows of `texts` to learn from; some of them are drawn.
        targets: probabilities of every row of `texts`, softened. [texts, labels]
        temperature: the classifier's logits are divided by it before they are compared.

    Returns:
        Whether there was such a layer: of a model that scores every token (a causal one) there
        is none.
    """
    layer = _last_linear(model)
    if layer is None:
        return False
    some = np.sort(rng.choice(rows, min(PROBED, len(rows)), replace=False))
    features = _inputs_of(layer, model, encoder, texts, some)
    if features is None:
        return False
    head = outcome.fit_head(features, targets[some], PENALTY)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight.T * temperature))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(head.bias * temperature))
    return True


def _last_linear(model: Classifier) -> Linear | None:
    """Find the layer of the new head that gives a number per label."""
    labels = int(model.module.config.num_labels)
    found = None
    for name, module in model.module.named_modules():
        is_new = f"{name}.weight" in model.drawn
        if is_new and isinstance(module, Linear) and module.out_features == labels:
            found = module
    return found


def _inputs_of(
    layer: Module, model: Classifier, encoder: Encoder, texts: Texts, rows: Rows
) -> NDArray[np.float32] | None:
    """Return what the layer reads of each row; None if it reads every token. [rows, width]"""
    caught: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].float()))

    def reads_rows() -> bool:
        return bool(caught) and caught[-1].ndim == 2

    def read(texts: Texts, rows: Rows) -> Tensor:
        caught.clear()
        model.outputs(encoder, texts, rows)
        return caught[-1] if reads_rows() else torch.zeros(len(rows), 1)

    lengths, size = encoder.lengths(texts, rows), CPU_TOKENS
    batches = split_by_tokens(rows, lengths, size)
    features: dict[int, NDArray[np.float32]] = {}
    model.module.eval()
    try:
        with torch.inference_mode():
            while batches:
                try:
                    found = by_windows(read, encoder, texts, batches[0])
                except MEMORY_ERRORS as error:
                    rest = np.sort(np.concatenate(batches))
                    own = lengths[np.searchsorted(rows, rest)]
                    size = halved(error, size, int(own.max()))
                    batches = split_by_tokens(rest, own, size)
                    continue
                if not reads_rows():
                    return None
                vectors = found.cpu().numpy()
                features |= dict(zip(batches.pop(0).tolist(), vectors, strict=True))
    finally:
        hook.remove()
    return np.stack([features[row] for row in rows.tolist()])
