"""``interactions``: what streams, features or named players do together, for each head."""

import time
import warnings
from collections.abc import Sequence
from typing import Any

import xarray as xr

from xai_mimo.core.engine import Serial
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.interactions import interactions_dataset
from xai_mimo.core.logit import On
from xai_mimo.core.players import Players
from xai_mimo.core.plugins import load_plugin, plugins
from xai_mimo.core.progress import Advance, bar, check_progress, counted
from xai_mimo.core.targets import AnyTarget
from xai_mimo.explainers.job import blocks_of, joined_blocks
from xai_mimo.explainers.read_job import read_job
from xai_mimo.explainers.run_warnings import lone_row_warning


def interactions(
    model: Any,
    x: Any,
    *,
    order: int = 2,
    index: str = "k-SII",
    players: Players = "streams",
    budget: int = 2048,
    approximator: str | None = None,
    targets: Sequence[AnyTarget] | None = None,
    labels: Any = None,
    background: Any = None,
    background_rows: int = 20,
    at: str | None = None,
    on: On = "output",
    seed: int = 0,
    max_memory: int = 2**29,
    rows_per_block: int = 1024,
    check: bool = True,
    progress: bool | Advance | None = None,
) -> xr.Dataset:
    """What players do together, beyond what each does alone, for every head and row.

    A coalition of players is worth v(S) = mean over b of f(x_S, b_rest): the head's value with the other players'
    values taken from the background. An index tells how this worth arises from single players, pairs and triples. Each
    coalition is asked once, for all heads.

    Args:
        model, x, targets, labels, background, at, on, seed, max_memory, rows_per_block, check, progress: as
            ``xai_mimo.explain`` takes them.
        order: 2 for pairs, 3 for triples too.
        index: "k-SII", Shapley interactions of which everything sums to the change f(x) - mean f(background); "STII",
            Shapley-Taylor, main effects against nobody and everything higher in the highest order; "FSII", the
            coefficients of the closest polynomial under the weights of Shapley values; these three sum to the change.
            "FBII", the same with all coalitions weighted alike, and "SII", Shapley values and their interactions, do
            not.
        players: "streams"; "features", every single value, a group of features together; "variables", "levels",
            "words", or players by name, as ``Shapley`` describes them.
        budget: coalitions asked of the model for each row, at most, each with every background row. Where all 2^P fit,
            they are enumerated and the index is exact.
        approximator: "exact" refuses to estimate; or which of shapiq's approximators is to: "KernelSHAPIQ", "SVARMIQ"
            or "SHAPIQ" for k-SII and SII, "PermutationSamplingSTII" or the last two for STII, "RegressionFSII" and
            "RegressionFBII" for their own. None enumerates where it can, and else takes the first of these. Coalitions
            are drawn with their complements, but in permutations. Estimates have no standard errors: ask with another
            ``seed`` for how much they scatter. Regressions ("KernelSHAPIQ", "RegressionFSII", "RegressionFBII") scatter
            least, and estimates of STII most.
        background_rows: how many rows of ``x`` are drawn where ``background`` is None.
    Returns:
        ``interaction``, ``(head, sample, player, other_player)``, symmetric, with main effects on the diagonal; of
        order 3 ``interaction_3``; predictions, and the gap to them where the index has efficiency. The layout is
        described in ``xai_mimo.core.interactions``. In the unit of the head.
    Raises:
        BadSetting: an order larger than the number of players, or more players than the budget or the memory is good
            for; the message says the budget that is. MissingDependency: shapiq is not installed. And what ``explain``
            raises for its arguments.

    Source: Grabisch and Roubens (1999), "An axiomatic approach to the concept of interaction among players in
    cooperative games"; Bordt and von Luxburg (2023), "From Shapley Values to Generalized Additive Models and back";
    Sundararajan et al. (2020), "The Shapley Taylor Interaction Index"; Tsai et al. (2023), "Faith-Shap"; Muschalik et
    al. (2024), "shapiq: Shapley Interactions for Machine Learning".

    Example:
        >>> import numpy as np
        >>> import xai_mimo as xm
        >>> def fit(a, b):
        ...     return {"product": a[:, 0] * b[:, 0], "sum": a[:, 0] + b[:, 0]}
        >>> model = xm.adapt(fit, streams={"a": 1, "b": 1}, heads={"product": 1, "sum": 1})
        >>> x, nothing = {"a": [[2.0]], "b": [[3.0]]}, {"a": [[0.0]], "b": [[0.0]]}
        >>> found = xm.interactions(model, x, background=nothing)
        >>> found["interaction"].sel(head="product")[0].values.tolist()
        [[0.0, 6.0], [6.0, 0.0]]
        >>> found["interaction"].sel(head="sum")[0].values.tolist()
        [[2.0, 0.0], [0.0, 3.0]]
    """
    check_progress(progress)
    method = _computation()(order=order, index=index, players=players, budget=budget, approximator=approximator)
    job = read_job(
        model,
        x,
        method,
        targets=targets,
        labels=labels,
        background=background,
        background_rows=background_rows,
        at=at,
        on=on,
        seed=seed,
        max_memory=max_memory,
        rows_per_block=rows_per_block,
        check=check,
        naming=interactions_dataset,
    )
    start = time.perf_counter()
    with bar(False if callable(progress) else progress, method.name) as shown:
        advance = progress if callable(progress) else counted(shown, method.name, job.rows)
        blocks = dict(blocks_of(job, Serial(), range(job.blocks), advance))
    result = joined_blocks([blocks[number] for number in range(job.blocks)])
    result.attrs["seconds"] = time.perf_counter() - start
    if background is None and job.rows == 1:
        warnings.warn(lone_row_warning(method.name), stacklevel=2)
    return result


def _computation() -> Any:
    """What computes interactions: the installed plugin of the group."""
    entries = plugins("xai_mimo.interactions")
    found = load_plugin(next(iter(entries.values()))) if entries else None
    if found is None:
        raise NotSupported(
            "nothing that computes interactions is installed and loads; see xai-mimo doctor, or install it again: pip "
            "install 'xai-mimo[shapiq]'."
        )
    return found
