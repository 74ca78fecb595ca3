"""Data with known truth: loaders with checksums and generators with rules.

House rule: a loader returns the same ``Data`` whatever the source; nothing is downloaded at import.
"""
