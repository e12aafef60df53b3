"""What the student learns from: the ensemble's soft labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def distillation_loss(scores: Tensor, soft_labels: Tensor, temperature: float) -> Tensor:
    """Return KL(q || softmax(s / T)) * T^2, summed over the rows.

    The student is tempered like its teachers, and T^2 keeps the gradients' size (Hinton et al.
    2015; section 3.3 of the PET paper, with T = 2).

    Args:
        scores: the student's logits. [rows, labels]
        soft_labels: q, already softened at T. [rows, labels]
    """
    assert scores.shape == soft_labels.shape, "a narrower target would broadcast without a word"
    logs = functional.log_softmax(scores / temperature, dim=-1)
    return functional.kl_div(logs, soft_labels, reduction="sum") * temperature**2
