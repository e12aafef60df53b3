"""Cases of a parametrized test that `make test` leaves out."""

from __future__ import annotations

from typing import Any

import pytest


def thorough(*cases: Any) -> list[Any]:
    """Return cases for `make test-thorough` alone: values, or tuples of them."""
    of_tuples = (case if isinstance(case, tuple) else (case,) for case in cases)
    return [pytest.param(*case, marks=pytest.mark.thorough) for case in of_tuples]
