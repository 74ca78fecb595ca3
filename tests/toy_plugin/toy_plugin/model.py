"""The model of another framework: it knows nothing of xai_mimo."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Scorecard:
    """Points for each value of each table, and a logistic curve over their sum.

    Attributes:
        points: ``{output: {table: (feature,)}}``.
    """

    points: dict[str, dict[str, np.ndarray]]

    def score(self, tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """``{output: (row,)}`` between 0 and 1."""
        return {
            output: 1 / (1 + np.exp(-sum(tables[name] @ w for name, w in of_tables.items())))
            for output, of_tables in self.points.items()
        }
