"""The identity-initialised multilayer perceptron, whose layers can be read like its output."""

from xai_mimo.layers.identity_mlp.layer import IdentityMLP as IdentityMLP
