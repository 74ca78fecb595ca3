"""Contracts that anyone who writes a plugin can run against it.

House rule: a contract takes the thing and raises ``AssertionError`` with a sentence that says what it broke; it needs
no test framework. It runs the thing as its users would, through the rooms below, and so stands above them.
``__init__.pyi`` lists the contracts; each is loaded when it is first used, so that one for methods loads no framework.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
