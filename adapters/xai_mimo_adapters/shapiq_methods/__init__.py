"""shapiq's approximators and exact indices on any model, all heads from the same coalitions.

``shared`` is what a coalition is worth, asked once; ``exact`` and ``sampled`` give an index of it.
"""

from xai_mimo_adapters.shapiq_methods.interactions import ShapiqInteractions

__all__ = ["ShapiqInteractions"]
