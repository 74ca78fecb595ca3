"""Which Keras backend a command runs on, chosen before Keras is imported; and how quiet it is."""

import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from xai_mimo.core import errors
from xai_mimo.core.errors import BadSetting, MissingDependency
from xai_mimo.core.terminal import printable

BACKENDS = ("jax", "torch", "tensorflow")
"""From the lightest to install to the heaviest."""


def installed() -> list[str]:
    """Backends that can be imported here, lightest first; none is imported to find out."""
    return [name for name in BACKENDS if importlib.util.find_spec(name) is not None]


def use_backend(name: str | None) -> str:
    """Choose the backend and keep it from chattering.

    Args:
        name: one of ``BACKENDS``; None for $KERAS_BACKEND, else the lightest that is installed.
    Returns:
        The backend in use.
    Raises:
        BadSetting: no such backend, or Keras runs on another one already. MissingDependency: it is not installed.
    """
    at_hand = installed()
    backend = name or os.environ.get("KERAS_BACKEND") or (at_hand[0] if at_hand else None)
    if backend is None:
        raise MissingDependency("no Keras backend is installed: pip install 'xai-mimo[jax]' (or torch, or tensorflow).")
    if backend not in BACKENDS:
        raise BadSetting(f"backend '{backend}' is not one of {', '.join(BACKENDS)}.")
    if backend not in at_hand:
        raise MissingDependency(
            f"backend '{backend}' is not installed: pip install 'xai-mimo[{backend}]'; "
            f"installed: {', '.join(at_hand) or 'none'}."
        )
    if "keras" in sys.modules and sys.modules["keras"].backend.backend() != backend:
        raise BadSetting(
            f"Keras runs on {sys.modules['keras'].backend.backend()} already; start again to use {backend}."
        )
    os.environ["KERAS_BACKEND"] = backend
    # Keras loads TensorFlow where it is installed, whatever the backend; it greets unless both are set.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("MPLBACKEND", "agg")
    for noisy in ("absl", "jax", "tensorflow", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    return backend


@contextmanager
def quiet_warnings(stream: TextIO) -> Iterator[None]:
    """Show this package's warnings, each once and in one line; leave out those of the frameworks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in _own_warnings():
            warnings.simplefilter("once", kind)
        warnings.showwarning = lambda message, *_, **__: print(f"warning: {printable(message)}", file=stream)
        yield


def _own_warnings() -> list[type[Warning]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Warning)]
