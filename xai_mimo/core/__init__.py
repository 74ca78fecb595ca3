"""The nouns: errors, streams, models, targets, baselines, explanations, plugins.

House rule: NumPy, xarray and the standard library only. Nothing here knows a framework, a method or a metric,
and nothing here imports another room.
"""
