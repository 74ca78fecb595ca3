"""Figures drawn from the record; and ``interactions``, drawn from the dataset of that name."""
