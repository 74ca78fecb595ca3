"""MHEX: class maps of every block of residual networks and transformers."""

from xai_mimo.layers.mhex.head import MHEXHead as MHEXHead
