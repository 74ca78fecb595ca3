"""Everything that touches a foreign framework or library, one a file.

House rule: an adapter knows ``xai_mimo.core`` only; NumPy at the border; what it switches on a model it puts back.
"""
