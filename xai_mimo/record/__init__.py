"""The comparison record: what a comparison writes and all that a report reads.

House rule: plain values and their layout; nothing here computes a score or draws.
"""
