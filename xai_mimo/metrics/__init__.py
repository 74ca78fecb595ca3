"""Numbers about maps, a family of metrics a file.

House rule: metrics take arrays and return arrays per row, and never see a model: those that must predict or explain
again receive a function. No file here writes a row of the record.
"""
