"""Figures drawn from the record."""
