"""What a reader of a FLINT must know before its explanations are believed: when it does not speak of f, or is poor.

What counts as little is ours; the article says only that faithfulness is to be checked.
"""

from collections.abc import Sequence

import numpy as np

from xai_mimo.layers.flint.answers import Answer

LEAST_FIDELITY = 0.9
"""Share of rows with one answer of f and g, and R squared of quantities, below which a reading warns."""

_FEWEST_ROWS = 50
"""Rows from which a silent attribute is called dead. In fewer, one that speaks for a class may rightly be silent."""

_FEWEST_FOR_A_SHARE = 10
"""Rows from which a share of them, or of their variance, says something."""

_NOTHING = 1e-6
"""A relevance below which an attribute takes no part."""


def cautions(explained: Sequence[Answer], relevance: np.ndarray) -> list[str]:
    """Sentences, each with numbers and how to mend it; none where nothing is wrong.

    Args:
        explained: answers of all heads.
        relevance: r, ``(head, row, attribute)``.
    """
    rows, attributes = relevance.shape[1:]
    answers = explained if rows >= _FEWEST_FOR_A_SHARE else ()
    sentences = [sentence for answer in answers if (sentence := _unfaithful(answer))]
    dead = np.flatnonzero(np.abs(relevance).max(axis=(0, 1)) <= _NOTHING)
    if rows >= _FEWEST_ROWS and len(dead):
        sentences.append(
            f"{len(dead)} of {attributes} attributes are dead, of relevance 0 in all {rows} rows: "
            f"{', '.join(map(str, dead))}. What is left has to carry every answer. Make the model again with "
            "standardise=True or attribute_activation='leaky_relu', which keep attributes alive, with less weight of "
            "'sparsity', or with a smaller `num_attributes`."
        )
    return sentences


def _unfaithful(answer: Answer) -> str | None:
    """What is wrong with one explained scalar."""
    mends = "Train for more epochs, with more weight of 'fidelity', with more attributes, or tap another layer."
    if answer.side is None:
        if not answer.r_squared < LEAST_FIDELITY:  # NaN where f does not vary
            return None
        found = (
            f"The interpreter explains {answer.r_squared:.3f} of the variance of head '{answer.name}' (R squared) in "
            f"{len(answer.agrees)} rows"
        )
        mends += " Give f a quantity of mean near 0 and standard deviation near 1, where an interpreter begins."
    else:
        fidelity = float(answer.agrees.mean())
        if fidelity >= LEAST_FIDELITY:
            return None
        found = (
            f"The interpreter gives the predictor's answer of head '{answer.name}' in {int(answer.agrees.sum())} of "
            f"{len(answer.agrees)} rows (fidelity {fidelity:.3f})"
        )
    return (
        f"{found}, less than {LEAST_FIDELITY}. Relevances explain the interpreter, and the predictor only where "
        f"`agrees` holds. {mends}"
    )
