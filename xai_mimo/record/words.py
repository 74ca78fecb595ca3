"""The words of the record, each of which has one meaning in every table."""

from typing import Literal

RANDOM = "random"
"""The control that stands in the place of a method: an order, or a map, of random numbers."""

PERMUTED = "permuted"
"""What a method's own map scores when its values change places within each row."""

CHANCE = "chance"
"""What a map that says nothing scores, where that is known without drawing."""

CONTROLS = (RANDOM, PERMUTED, CHANCE)
"""All that a map is held against that is no other method; no method can be called so."""

Family = Literal[
    "agreement", "faithfulness", "ground_truth", "complexity", "completeness", "robustness", "randomisation"
]

Role = Literal["value", "floor_random", "floor_permuted", "ceiling", "control_random"]

Better = Literal["larger", "smaller", "neither"]

VerdictWord = Literal["supported", "doubtful", "misleading", "undecided"]

CurveKind = Literal["deletion", "insertion"]
