"""A machine of two streams and three heads that can be solved by hand, and forty rows of it."""

import pytest

from tests.helpers import toys


@pytest.fixture
def model():
    return toys.machine()


@pytest.fixture
def data(rng):
    return {"thermal": rng.standard_normal((40, 3)), "wear": rng.standard_normal((40, 2))}
