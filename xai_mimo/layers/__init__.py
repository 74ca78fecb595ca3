"""Keras 3 layers that explain themselves.

House rule: ``keras`` and nothing of ours; ``keras.ops`` only, so that TensorFlow, JAX and PyTorch give the same
numbers. Maps are sown (see ``interception``), never stored. Names are loaded when they are first used, so that a
reader of ``interception`` alone loads no framework.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "FLINT": "xai_mimo.layers.flint",
    "FlintSchedule": "xai_mimo.layers.flint_schedule",
    "InterpreterHead": "xai_mimo.layers.flint_head",
    "Maximisation": "xai_mimo.layers.flint_activation",
    "maximum_activating_samples": "xai_mimo.layers.flint_reading",
    "IdentityMLP": "xai_mimo.layers.identity_mlp",
    "read_layers": "xai_mimo.layers.identity_reading",
    "IMVLSTM": "xai_mimo.layers.imv_lstm",
    "IMVTensorCell": "xai_mimo.layers.imv_cells",
    "IMVFullCell": "xai_mimo.layers.imv_cells",
    "MixtureNLL": "xai_mimo.layers.imv_losses",
    "MixtureEM": "xai_mimo.layers.imv_losses",
    "MixtureMean": "xai_mimo.layers.imv_losses",
    "em_bound": "xai_mimo.layers.imv_losses",
    "mixture_posterior": "xai_mimo.layers.imv_losses",
    "variable_importance": "xai_mimo.layers.imv_reading",
    "temporal_importance": "xai_mimo.layers.imv_reading",
    "predictive_variance": "xai_mimo.layers.imv_reading",
    "MAIL": "xai_mimo.layers.mail",
    "MIMOAttentionLayer": "xai_mimo.layers.mimo_attention",
    "MHEXHead": "xai_mimo.layers.mhex",
    "MHEX": "xai_mimo.layers.mhex",
    "add_mhex": "xai_mimo.layers.mhex_equip",
    "DeepSupervision": "xai_mimo.layers.mhex_supervision",
    "residual_sums": "xai_mimo.layers.mhex_blocks",
    "read_saliency": "xai_mimo.layers.mhex_reading",
    "key_channels": "xai_mimo.layers.mhex_reading",
    "small_resnet": "xai_mimo.layers.mhex_networks",
    "small_encoder": "xai_mimo.layers.mhex_networks",
    "InterceptionHistory": "xai_mimo.layers.history",
}

__all__ = [
    "add_mhex",
    "DeepSupervision",
    "em_bound",
    "FLINT",
    "FlintSchedule",
    "IdentityMLP",
    "IMVFullCell",
    "IMVLSTM",
    "IMVTensorCell",
    "InterceptionHistory",
    "InterpreterHead",
    "key_channels",
    "MAIL",
    "Maximisation",
    "maximum_activating_samples",
    "MHEX",
    "MHEXHead",
    "MIMOAttentionLayer",
    "mixture_posterior",
    "MixtureEM",
    "MixtureMean",
    "MixtureNLL",
    "predictive_variance",
    "read_layers",
    "read_saliency",
    "residual_sums",
    "small_encoder",
    "small_resnet",
    "temporal_importance",
    "variable_importance",
]

if TYPE_CHECKING:
    from xai_mimo.layers.flint import FLINT
    from xai_mimo.layers.flint_activation import Maximisation
    from xai_mimo.layers.flint_head import InterpreterHead
    from xai_mimo.layers.flint_reading import maximum_activating_samples
    from xai_mimo.layers.flint_schedule import FlintSchedule
    from xai_mimo.layers.history import InterceptionHistory
    from xai_mimo.layers.identity_mlp import IdentityMLP
    from xai_mimo.layers.identity_reading import read_layers
    from xai_mimo.layers.imv_cells import IMVFullCell, IMVTensorCell
    from xai_mimo.layers.imv_losses import MixtureEM, MixtureMean, MixtureNLL, em_bound, mixture_posterior
    from xai_mimo.layers.imv_lstm import IMVLSTM
    from xai_mimo.layers.imv_reading import predictive_variance, temporal_importance, variable_importance
    from xai_mimo.layers.mail import MAIL
    from xai_mimo.layers.mhex import MHEX, MHEXHead
    from xai_mimo.layers.mhex_blocks import residual_sums
    from xai_mimo.layers.mhex_equip import add_mhex
    from xai_mimo.layers.mhex_networks import small_encoder, small_resnet
    from xai_mimo.layers.mhex_reading import key_channels, read_saliency
    from xai_mimo.layers.mhex_supervision import DeepSupervision
    from xai_mimo.layers.mimo_attention import MIMOAttentionLayer


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'xai_mimo.layers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
