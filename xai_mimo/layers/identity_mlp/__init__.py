"""The identity-initialised multilayer perceptron, whose layers can be read like its output.

``layer`` (what users build) stands on ``states`` (the arithmetic of all layers and its decompositions) and ``maps``
(what is sown). Read afterwards: ``summary``.

Wing law: imports what stands beside the wings in ``xai_mimo.layers``, ``core`` and ``sowing``, and no other wing.
"""

from xai_mimo.layers.identity_mlp.layer import IdentityMLP as IdentityMLP
