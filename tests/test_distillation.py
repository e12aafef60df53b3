"""The student's loss, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pet.student.distillation import distillation_loss


def test_the_loss_is_kl_of_the_tempered_student_times_temperature_squared() -> None:
    # Student logits [2, 0] at T = 2 are [1, 0]: p = e / (e + 1). Teacher q = [0.25, 0.75].
    p = math.e / (math.e + 1)
    kl = 0.25 * math.log(0.25 / p) + 0.75 * math.log(0.75 / (1 - p))
    loss = distillation_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.25, 0.75]]), 2.0)
    assert float(loss) == pytest.approx(kl * 4)


def test_the_loss_is_summed_over_rows() -> None:
    scores, soft = torch.tensor([[2.0, 0.0]] * 3), torch.tensor([[0.25, 0.75]] * 3)
    one = distillation_loss(scores[:1], soft[:1], 2.0)
    assert float(distillation_loss(scores, soft, 2.0)) == pytest.approx(3 * float(one))


def test_a_student_that_says_what_the_teacher_says_has_no_loss() -> None:
    scores = torch.tensor([[1.0, -2.0, 0.5]])
    soft = torch.softmax(scores / 3, dim=-1)
    assert float(distillation_loss(scores, soft, 3.0)) == pytest.approx(0, abs=1e-6)


def test_a_hard_soft_label_of_zero_is_no_nan() -> None:
    loss = distillation_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]), 1.0)
    assert float(loss) == pytest.approx(math.log(2))


def test_targets_of_another_shape_are_refused() -> None:
    """A narrower target broadcasts and trains the student toward nothing at a plausible loss."""
    with pytest.raises(AssertionError, match="broadcast"):
        distillation_loss(torch.zeros(2, 3), torch.ones(2, 1), 2.0)
