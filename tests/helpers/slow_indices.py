"""Interaction indices as their papers define them, written slowly: one set of players at a time.

A game is ``worth(frozenset of players) -> number``.
"""

from itertools import chain, combinations
from math import comb, factorial

import numpy as np


def subsets(players, least=0, most=None):
    players = sorted(players)
    most = len(players) if most is None else most
    return [frozenset(s) for s in chain.from_iterable(combinations(players, k) for k in range(least, most + 1))]


def derivative(worth, together, known):
    """Grabisch and Roubens (1999): what the players of a set change together, when some others are known."""
    return sum((-1) ** (len(together) - len(part)) * worth(known | part) for part in subsets(together))


def sii(worth, count, order):
    """Grabisch and Roubens (1999), Equation 3: the mean of the derivative over the others, sizes weighted alike."""
    found = {}
    for together in subsets(range(count), 1, order):
        s = len(together)
        found[together] = sum(
            factorial(len(known)) * factorial(count - len(known) - s) / factorial(count - s + 1)
            * derivative(worth, together, known)
            for known in subsets(set(range(count)) - together)
        )  # fmt: skip
    return found


def k_sii(worth, count, order):
    """Bordt and von Luxburg (2023), Definition 5, a recursion from 1 to the order with Bernoulli numbers."""
    bernoulli = {1: -1 / 2, 2: 1 / 6}
    base = sii(worth, count, order)
    found = {s: v for s, v in base.items() if len(s) == 1}
    for n in range(2, order + 1):
        new = {}
        for s in subsets(range(count), 1, n):
            if len(s) == n:
                new[s] = base[s]
                continue
            more = subsets(set(range(count)) - s, n - len(s), n - len(s))
            new[s] = found[s] + bernoulli[n - len(s)] * sum(base[s | k] for k in more)
        found = new
    return found


def stii(worth, count, order):
    """Sundararajan et al. (2020), Definition 1."""
    found = {}
    for together in subsets(range(count), 1, order):
        if len(together) < order:
            found[together] = derivative(worth, together, frozenset())
            continue
        others = subsets(set(range(count)) - together)
        found[together] = order / count * sum(
            derivative(worth, together, known) / comb(count - 1, len(known)) for known in others
        )  # fmt: skip
    return found


def dividends(worth, count):
    """Moebius transform, Harsanyi dividends."""
    return {s: derivative(worth, s, frozenset()) for s in subsets(range(count))}


def fsii(worth, count, order):
    """Tsai et al. (2023), Theorem 19: the faithful Shapley interaction index by the Moebius transform."""
    a, found = dividends(worth, count), {}
    for together in subsets(range(count), 1, order):
        s = len(together)
        higher = [t for t in subsets(range(count), order + 1) if together < t]
        found[together] = a[together] + (-1) ** (order - s) * s / (order + s) * comb(order, s) * sum(
            comb(len(t) - 1, order) / comb(len(t) + order - 1, order + s) * a[t] for t in higher
        )
    return found


def fbii(worth, count, order):
    """Tsai et al. (2023), Theorem 17: the closest polynomial of all coalitions, each counted once."""
    sets, terms = subsets(range(count)), subsets(range(count), 0, order)
    columns = np.array([[float(term <= known) for term in terms] for known in sets])
    solution = np.linalg.solve(columns.T @ columns, columns.T @ np.array([worth(known) for known in sets]))
    return {term: value for term, value in zip(terms, solution, strict=True) if term}


SLOW = {"SII": sii, "k-SII": k_sii, "STII": stii, "FSII": fsii, "FBII": fbii}
