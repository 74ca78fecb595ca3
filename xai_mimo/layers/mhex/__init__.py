"""MHEX: class maps of every block of residual networks and transformers.

``head`` (the layer in a block) is put into networks by ``equip``, which finds the ``blocks``, and trained with
``supervision``; ``networks`` has two small ones to start from. Read afterwards: ``summary`` with ``fusion``.

Wing law: imports what stands beside the wings in ``xai_mimo.layers``, ``core`` and ``sowing``, and no other wing.
"""

from xai_mimo.layers.mhex.head import MHEXHead as MHEXHead
