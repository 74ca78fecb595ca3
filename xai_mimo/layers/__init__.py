"""Keras 3 layers that explain themselves, a wing a system.

House rule: ``keras.ops`` only inside ``call``, so that TensorFlow, JAX and PyTorch give the same numbers. Maps are sown
(see ``xai_mimo.sowing``), never stored. Wings (``mail``, ``imv_lstm``, ``identity_mlp``, ``flint``, ``mhex``) do not
see each other; what they share stands beside them. ``__init__.pyi`` lists the public names; each is loaded when it is
first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
