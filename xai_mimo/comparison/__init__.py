"""Methods x heads x metrics -> record.

House rule: the one room that joins explainers, metrics and the record.
"""
