"""A digest of a program of JAX and of the weights that it reads."""

import hashlib
import re
from typing import Any

import jax
import numpy as np
from jax.extend import core

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def fingerprint(program: core.ClosedJaxpr, weights: Any) -> str:
    """SHA-256 over the operations of a program, its constants, also of the programs inside it, and weights.

    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256(_ADDRESS.sub("", str(program)).encode())
    _add_constants(sha, program)
    for path, leaf in jax.tree_util.tree_flatten_with_path(weights)[0]:
        sha.update(jax.tree_util.keystr(path).encode())
        _add(sha, leaf)
    return sha.hexdigest()


def _add_constants(sha: Any, program: core.ClosedJaxpr) -> None:
    for constant in program.consts:
        _add(sha, constant)
    _add_those_inside(sha, program.jaxpr)


def _add_those_inside(sha: Any, jaxpr: core.Jaxpr) -> None:
    for step in jaxpr.eqns:
        for read in step.invars:
            if isinstance(read, core.Literal) and np.ndim(read.val):  # its text may be shortened
                _add(sha, read.val)
        for value in step.params.values():
            for each in value if isinstance(value, tuple | list) else (value,):
                if isinstance(each, core.ClosedJaxpr):
                    _add_constants(sha, each)
                elif isinstance(each, core.Jaxpr):
                    _add_those_inside(sha, each)


def _add(sha: Any, value: Any) -> None:
    if jax.dtypes.issubdtype(getattr(value, "dtype", np.dtype(object)), jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    sha.update(f"{array.dtype}:{array.shape};".encode())
    sha.update(np.ascontiguousarray(array).tobytes())
