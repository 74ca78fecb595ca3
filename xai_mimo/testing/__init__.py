"""Contracts that anyone who writes a plugin can run against it.

House rule: a contract takes the thing and raises ``AssertionError`` with a sentence that says what it broke; it needs
no test framework.
"""

from xai_mimo.testing.backends import check_backends
from xai_mimo.testing.layer_contract import check_layer

__all__ = ["check_backends", "check_layer"]
