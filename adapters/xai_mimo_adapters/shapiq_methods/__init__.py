"""shapiq's approximators and exact indices on any model, all heads from the same coalitions.

``shared`` is what a coalition is worth, asked once; ``exact`` and ``sampled`` give an index of it; ``interactions`` is
what ``xai_mimo.interactions`` calls, ``values`` are methods of explanations.
"""

from xai_mimo_adapters.shapiq_methods.interactions import ShapiqInteractions
from xai_mimo_adapters.shapiq_methods.values import ShapiqKernelSHAP, ShapiqSVARM, ShapiqUnbiasedKernelSHAP

__all__ = ["ShapiqInteractions", "ShapiqKernelSHAP", "ShapiqSVARM", "ShapiqUnbiasedKernelSHAP"]
