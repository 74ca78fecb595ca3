"""Captum's methods, for several heads and on models of every framework."""

from xai_mimo_adapters.captum_methods.path import CaptumIntegratedGradients

__all__ = ["CaptumIntegratedGradients"]
