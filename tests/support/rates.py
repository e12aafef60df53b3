"""Rates of a small model, so that a test times nothing."""

from __future__ import annotations

from pet.checking.rates import Rates

FAST = Rates(
    tokenized=0.0,
    scored=1e-3,
    together=1e-3,
    member_step=0.05,
    student_scored=1e-3,
    student_step=0.1,
    encoded=0.0,
    loaded=0.1,
    student_loaded=0.1,
    teacher_bytes=10**7,
    student_bytes=10**7,
)
