"""FLINT: an interpreter over learned attributes beside a predictor."""

from xai_mimo.layers.flint.model import FLINT as FLINT
