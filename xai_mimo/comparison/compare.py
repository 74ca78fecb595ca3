"""``compare``: several methods on one model, scored per head, in one space."""

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from xai_mimo.comparison.exhibits.words import Vocabulary
from xai_mimo.comparison.explained import explain_all
from xai_mimo.comparison.explanations import AnyMethod
from xai_mimo.comparison.request import read_request
from xai_mimo.comparison.result import Comparison
from xai_mimo.comparison.score import score
from xai_mimo.comparison.settings import Settings
from xai_mimo.comparison.truth import Truth
from xai_mimo.comparison.write_record import write_record
from xai_mimo.core.logit import On
from xai_mimo.core.method import flag
from xai_mimo.core.named_players import NamedPlayers
from xai_mimo.core.progress import bar, steps
from xai_mimo.core.targets import AnyTarget
from xai_mimo.metrics.metric import Metric
from xai_mimo.record.results import TaskRow


def compare(
    model: Any,
    x: Any,
    methods: Sequence[AnyMethod] | Mapping[str, AnyMethod] | xr.Dataset | None = None,
    *,
    metrics: Sequence[str | Metric] | None = None,
    labels: Any = None,
    task: Sequence[TaskRow | Mapping[str, Any]] | None = None,
    truth: Truth | None = None,
    vocabulary: Vocabulary | None = None,
    targets: Sequence[AnyTarget] | None = None,
    background: Any = None,
    at: str | None = None,
    on: On = "output",
    space: str | None = None,
    players: NamedPlayers | None = None,
    rows: int | None = None,
    seed: int = 0,
    settings: Settings | None = None,
    title: str = "",
    command: str = "",
    check: bool = True,
    progress: bool | None = None,
) -> Comparison:
    """Explain a model with several methods and score them, head by head, in one space.

    Args:
        model: anything ``adapt`` takes.
        x: rows to explain, in any form that ``explain`` takes; those of a loader are read once, and stay in memory,
            since a comparison needs them all at once.
        methods: names or settings objects (``xai_mimo.methods()`` lists what there is); a mapping gives them labels of
            your own. None follows the model: "interception" where a layer explains itself (by its attention, else its
            contributions), "integrated_gradients" where there are gradients, "shapley" (or "occlusion", where there
            are more values than its budget is enough for); ``record.settings["methods"]`` says what was chosen and
            what was left out. A map that is there already may stand among them, of ``explain`` (also loaded from a file
            or a store), ``from_shap`` or ``from_captum``: ``{"mine": explanation, "shapley": "shapley"}``. It must be
            of this model, these rows and these targets, and in the space of the comparison. It is scored like any
            other, but for what would need its method again: it has no ceiling, robustness and randomisation.
        metrics: names or settings objects (``xai_mimo.metrics()`` lists what there is, what it needs and which
            direction is better). None runs every metric that applies, but for those that explain all rows again, and
            so cost as much as the methods many times over: "max_sensitivity", "local_lipschitz" and
            "parameter_randomisation" run only when they are named. Verdicts rest on "symmetric_gain",
            "deletion_area" and "insertion_area" (order), "effect_overlap", "idle_mass" and "uniformity" (shares),
            "signed_gain" (sign), and those of the ground truth; what did not run stays untested.
        labels: true values, ``{head: (sample, ...)}`` for some heads or a list with all; shown beside examples and
            needed for targets with unit "label". They also say how well the model does each head, over all rows of
            ``x``: of a head that it has not learnt the verdict is "undecided" (see ``task_scores.LEARNT``).
        task: how well this model does its heads, where you know it better than these rows can tell (they were picked,
            say, or it was trained on them): ``TaskRow(model=..., head=..., metric=..., estimate=..., chance=...,
            ...)`` each, or mappings. ``chance`` is what guessing gives; the first row of a head that has it decides
            whether the head has been learnt.
        truth: features known to matter, ``{head: {stream: [feature, ...]}}`` or ``{head: [stream, ...]}``; or, where
            they differ from row to row, regions: ``{head: {stream: booleans (sample, *positions)}}``, each row of x.
        vocabulary: words of the ids that a stream of tokens holds, ``{stream: ("<pad>", "good", ...)}``, id 0 first;
            shown in the report in place of the ids.
        targets: what to explain; by default every head.
        background: rows that stand for "nothing known"; by default 100 rows drawn from ``x``.
        at: path of the layer at whose inputs to compare; by default found (see ``spaces.choose_space``).
        on: "logit" compares on the logits of heads of probabilities, before their final sigmoid or softmax where the
            model can be cut there, as log-odds elsewhere; see ``explain``. How well the model does its heads is still
            told by what it gives.
        space: "variables" to take every entry of a stream's last axis as a whole (a series over all its steps, a
            channel); "streams" to compare shares of whole streams; "inputs" to insist on the model's inputs.
        players: groups of values by name, which may span streams, ``{"engine": {"table": ["rpm", "torque"]}, "others":
            "rest"}`` (see ``core.named_players``). Methods that take players get these, the maps of all others are
            summed over them, and scores replace the values of a player together. By default those that a method of the
            list was given, e.g. ``Shapley(players=...)``.
        rows: explain at most this many rows, drawn with the seed; None explains all.
        seed: of everything random. Every method draws from a stream of its own, made of this seed and its label
            (``record.methods`` has the seed for ``explain``), and every metric from one of its name: what one draws
            does not depend on which others run.
        settings: of the scores.
        title, command: written into the record.
        check: refuse a model that does not do what explanations assume, see ``explain``; it is asked once.
        progress: show a progress bar; None does on a terminal, of work longer than a second.
    Returns:
        A ``Comparison``: the explanations, and the record with these tables, each a data frame under the same name;
        what each of their columns means stands with the attribute (``help(Comparison.scores)``).

        - ``verdicts``: what may be concluded for each head and method. Read this first, and its evidence.
        - ``differences``: who is better, paired over rows: the one table to rank methods by, and to see whether a map
          is better than chance. In the metric's unit, positive where the first is better; distrust what is not below
          0.05 in ``p_corrected``, which is corrected (Holm) over all tests of one method against its controls for one
          head, and over all pairs of methods for one head.
        - ``scores``: every metric of every method (or pair), with its floors, ceiling and control; ``metrics`` says
          which direction is better, and between which bounds values lie. By family:

          agreement (no unit): how alike two maps are. Neither direction is better: maps that agree may all be wrong.
          Worth nothing below its floors, and cannot be expected to pass its ceiling.

          faithfulness: areas, comprehensiveness and sufficiency in the head's unit, so never compare them over heads;
          drops in per cent of the probability; violation and deletion accuracy as shares of rows. Rows with replaced
          features may lie off the data, and a model may react to that alone: read them against the control.

          ground_truth (shares and AUROC, larger is better): as good as the truth that was given, which is of the
          data's rule, while a map speaks of the model. Beside them stands chance.

          complexity (numbers of features, and the Gini index; neither is better): a sharp map is not a right one.

          completeness (relative gap, smaller is better): says that a method was computed well, not that it is right.

          robustness (smaller is better): a map that ignores its row is perfectly robust. randomisation (smaller is
          better): near 1, a map does not depend on what the model has learned.
        - ``shares``, ``features``, ``curves``, ``gaps``, ``examples``: what the methods say, without a judgement.
    Raises:
        UnknownName: a method, metric, head, stream, feature or layer that there is not; the nearest name is given.
        DuplicateName: a method, a metric or a true feature twice.
        BadSetting: a setting out of range, a space that there is not or that contradicts ``at``, or several layers that
            explain themselves and none named.
        NotSupported: the model does not do what explanations assume (see ``check``), or has not what a method needs;
            the methods have no common space; or a metric that was named does not apply (each says why).
        ShapeMismatch, BadValues: rows, labels, truth or background that do not fit the model or each other.
        NotFinite: the model answers NaN or infinity.
        EmptyData: no rows, or an empty list of methods.
        SchemaError: two methods divide a stream differently, so their maps cannot be laid side by side.
        MetricFailed: a metric raised an error, or gave what is no quantity; it is named.
    Warns:
        UnusedStreamWarning: a head gave exact zeros on a whole stream. NotConvergedWarning: rows missed a method's
        tolerance. PluginWarning: a plugin cannot be loaded and is left out.

    Example:
        >>> import numpy as np
        >>> import xai_mimo as xm
        >>> def wear(sensors, age):
        ...     return {"wear": sensors @ [3.0, -1.0, 0.0] + 0.5 * age[:, 0]}
        >>> model = xm.adapt(wear, streams={"sensors": ["heat", "load", "noise"], "age": 1}, heads={"wear": 1})
        >>> rng = np.random.default_rng(0)
        >>> x = {"sensors": rng.normal(size=(60, 3)), "age": rng.normal(size=(60, 1))}
        >>> truth = {"wear": {"sensors": ["heat", "load"], "age": ["0"]}}
        >>> result = xm.compare(model, x, ["occlusion", "shapley"], truth=truth)
        >>> print(result.verdicts[["head", "method", "verdict"]].to_string(index=False))
        head    method   verdict
        wear occlusion supported
        wear   shapley supported
        >>> scores = result.scores.query("metric == 'share' and role == 'value'")
        >>> print(scores[["method", "estimate"]].round(2).to_string(index=False))
           method  estimate
        occlusion       1.0
          shapley       1.0
    """
    flag(check, "check")
    if progress is not None:
        flag(progress, "progress")
    request = read_request(
        model,
        x,
        methods,
        metrics=metrics,
        labels=labels,
        task=task,
        truth=truth,
        vocabulary=vocabulary,
        targets=targets,
        background=background,
        at=at,
        on=on,
        space=space,
        players=players,
        rows=rows,
        seed=seed,
        settings=settings,
        title=title,
        command=command,
        check=check,
    )
    with bar(progress, "compare") as shown:
        step = steps(shown, "compare", request.steps)
        explained = explain_all(request, step)
        scores = score(request, explained, step)
    return Comparison(explained.joined, write_record(request, explained, scores))
