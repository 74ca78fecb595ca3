"""Explanations out to other packages and in from them.

House rule: nothing is computed that was not there. What another package needs and an explanation has not is given by
the caller and checked, or left out and said. No package is imported before one of these functions is called.
"""
