"""Numbers about maps, a family a file.

House rule: arrays in, one value per row out; no file here writes a row of the record.
"""
