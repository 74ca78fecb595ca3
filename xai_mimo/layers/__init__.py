"""Keras 3 layers that explain themselves, a wing a system.

House rule: inside ``call``, ``keras.ops`` only, so that TensorFlow, JAX and PyTorch give the same numbers; maps are
sown (see ``xai_mimo.sowing``), never stored. What is read off a trained layer afterwards (each wing's ``summary``) is
NumPy in float64, and xarray where it has names. Three files go by backend: ``interception`` keeps PyTorch from
recording gradients, ``flint.maximisation`` takes gradients, for which ``keras.ops`` has no function, and ``precision``
has the operations that Keras does in float32 where float64 is given.

Wing law: ``mail``, ``imv_lstm``, ``identity_mlp``, ``flint`` and ``mhex`` do not see each other; what they share stands
beside them.

Importing this package loads Keras, and with it the backend that ``KERAS_BACKEND`` names, and registers every class with
Keras: ``keras.models.load_model`` then finds the classes of any file that holds them. ``import xai_mimo`` alone loads
neither.
"""

from xai_mimo.layers.flint.interpreter import InterpreterHead
from xai_mimo.layers.flint.maximisation import Maximisation
from xai_mimo.layers.flint.model import FLINT
from xai_mimo.layers.flint.schedule import FlintSchedule
from xai_mimo.layers.flint.summary import maximum_activating_samples
from xai_mimo.layers.history import InterceptionHistory
from xai_mimo.layers.identity_mlp.layer import IdentityMLP
from xai_mimo.layers.identity_mlp.summary import read_layers
from xai_mimo.layers.imv_lstm.cells import IMVFullCell, IMVTensorCell
from xai_mimo.layers.imv_lstm.layer import IMVLSTM
from xai_mimo.layers.imv_lstm.losses import MixtureEM, MixtureMean, MixtureNLL, em_bound, mixture_posterior
from xai_mimo.layers.imv_lstm.summary import predictive_variance, temporal_importance, variable_importance
from xai_mimo.layers.mail.layer import MAIL
from xai_mimo.layers.mail.published import MIMOAttentionLayer
from xai_mimo.layers.mhex.blocks import residual_sums
from xai_mimo.layers.mhex.equip import add_mhex
from xai_mimo.layers.mhex.head import MHEX, MHEXHead
from xai_mimo.layers.mhex.networks import small_encoder, small_resnet
from xai_mimo.layers.mhex.summary import key_channels, read_saliency
from xai_mimo.layers.mhex.supervision import DeepSupervision
from xai_mimo.layers.summary import check_summary, summarise

__all__ = [
    "DeepSupervision",
    "FLINT",
    "FlintSchedule",
    "IMVFullCell",
    "IMVLSTM",
    "IMVTensorCell",
    "IdentityMLP",
    "InterceptionHistory",
    "InterpreterHead",
    "MAIL",
    "MHEX",
    "MHEXHead",
    "MIMOAttentionLayer",
    "Maximisation",
    "MixtureEM",
    "MixtureMean",
    "MixtureNLL",
    "add_mhex",
    "check_summary",
    "em_bound",
    "key_channels",
    "maximum_activating_samples",
    "mixture_posterior",
    "predictive_variance",
    "read_layers",
    "read_saliency",
    "residual_sums",
    "small_encoder",
    "small_resnet",
    "summarise",
    "temporal_importance",
    "variable_importance",
]
