"""Keras 3 layers that explain themselves, a wing a system.

House rule: inside ``call``, ``keras.ops`` only, so that TensorFlow, JAX and PyTorch give the same numbers; maps are
sown (see ``xai_mimo.sowing``), never stored. What is read off a trained layer afterwards (each wing's ``summary``) is
NumPy in float64, and xarray where it has names. Three files go by backend: ``interception`` keeps PyTorch from
recording gradients, ``flint.maximisation`` takes gradients, for which ``keras.ops`` has no function, and ``precision``
has the operations that Keras does in float32 where float64 is given.

Wing law: ``mail``, ``imv_lstm``, ``identity_mlp``, ``flint`` and ``mhex`` do not see each other; what they share stands
beside them. ``__init__.pyi`` lists the public names; each is loaded when it is first used.

Saved models: ``keras.models.load_model`` finds the classes of a file once they are registered with Keras. All of ours
are registered together, and that happens when this package is imported after Keras, when the first of its layers is
used, in ``xai_mimo.load_model`` and in ``register()``. Importing this package before Keras, and then using none of it,
registers nothing, because it does not load Keras.
"""

import sys

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def register() -> None:
    """Register all layers, losses and models of this package with Keras, as the import of their modules does."""
    for name in __all__:
        _load(name)


def __getattr__(name: str) -> object:
    value = _load(name)
    if "keras" in sys.modules:
        register()
    return value


if "keras" in sys.modules:
    register()
