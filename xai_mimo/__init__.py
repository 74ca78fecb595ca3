"""Explain models with several inputs and several heads.

``import xai_mimo as xm`` loads no framework: ``__init__.pyi`` lists the public names, and each is loaded when it is
first used.
"""

import lazy_loader

from xai_mimo import metrics as metrics  # the room, which answers ``xm.metrics()`` and imports nothing

__version__ = "0.1.0"

__getattr__, _dir, _ = lazy_loader.attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    return [*_dir(), "metrics"]
