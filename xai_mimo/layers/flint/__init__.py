"""FLINT: an interpreter over learned attributes beside a predictor.

``model`` (what users build, train and save) is made by ``graph`` of ``predictor`` (the user's network, read),
``networks`` (default dictionary and decoder), ``interpreter`` (the linear head) and ``losses``; ``schedule`` says when
each term of the loss begins. Read afterwards: ``summary`` with ``answers``, and ``maximisation``, pictures of
attributes.

Wing law: imports what stands beside the wings in ``xai_mimo.layers``, ``core`` and ``sowing``, and no other wing.
"""

from xai_mimo.layers.flint.model import FLINT as FLINT
