"""Ways to explain, a family a folder: each turns a model and rows into attributions, for every framework.

House rule: values in, values out. Methods are frozen settings (see ``xai_mimo.core.method``); they know ``core`` only,
never a framework, a metric or a report. ``__init__.pyi`` lists the public names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
