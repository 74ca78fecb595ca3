import pandas

from . import comparison as comparison
from . import core as core
from . import datasets as datasets
from . import explainers as explainers
from . import layers as layers
from . import record as record
from . import reports as reports
from . import testing as testing
from .comparison.compare import compare as compare
from .comparison.result import Comparison as Comparison
from .comparison.settings import Settings as Settings
from .core.by_players import by_players as by_players
from .core.by_step import by_step as by_step
from .core.by_token import by_token as by_token
from .core.dummies import groups_of_dummies as groups_of_dummies
from .core.explanation import stream_shares as stream_shares
from .core.loading import load_model as load_model
from .core.plugins import adapt as adapt
from .core.saved import load as load
from .core.saved import save as save
from .core.streams import Head as Head
from .core.streams import Stream as Stream
from .core.targets import Target as Target
from .explainers.exchange.from_captum import from_captum as from_captum
from .explainers.exchange.from_shap import from_shap as from_shap
from .explainers.exchange.to_shap import to_shap as to_shap
from .explainers.explain import explain as explain
from .explainers.frame import to_dataframe as to_dataframe
from .explainers.installed import methods as methods
from .explainers.interactions.interactions import interactions as interactions
from .explainers.interception.interception import intercept as intercept

__version__: str

def metrics() -> pandas.DataFrame:
    """The installed metrics, see ``xai_mimo.metrics.installed.metrics``; the room of the same name answers the call."""
