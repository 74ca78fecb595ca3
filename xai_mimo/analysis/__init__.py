"""Numbers about explanations, one family of metrics a file; ``comparison`` joins methods, heads and metrics.

House rule: metrics take arrays and return arrays per row, and never see a model: those that must predict or explain
again receive a function. Only ``comparison`` may import other rooms.
"""
