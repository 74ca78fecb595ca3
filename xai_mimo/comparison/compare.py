"""``compare``: several methods on one model, scored per head, in one space."""

from collections.abc import Mapping, Sequence
from typing import Any

from xai_mimo.comparison.exhibits.words import Vocabulary
from xai_mimo.comparison.explained import explain_all
from xai_mimo.comparison.request import read_request
from xai_mimo.comparison.result import Comparison
from xai_mimo.comparison.score import score
from xai_mimo.comparison.settings import Settings
from xai_mimo.comparison.truth import Truth
from xai_mimo.comparison.write_record import write_record
from xai_mimo.core.method import Method
from xai_mimo.core.progress import bar, steps
from xai_mimo.core.targets import AnyTarget
from xai_mimo.metrics.metric import Metric


def compare(
    model: Any,
    x: Any,
    methods: Sequence[str | Method] | Mapping[str, str | Method] | None = None,
    *,
    metrics: Sequence[str | Metric] | None = None,
    labels: Any = None,
    truth: Truth | None = None,
    vocabulary: Vocabulary | None = None,
    targets: Sequence[AnyTarget] | None = None,
    background: Any = None,
    at: str | None = None,
    space: str | None = None,
    rows: int | None = None,
    seed: int = 0,
    settings: Settings | None = None,
    title: str = "",
    command: str = "",
    progress: bool = False,
) -> Comparison:
    """Explain a model with several methods and score them, head by head.

    Args:
        model: anything ``adapt`` takes.
        x: rows to explain, as ``check_inputs`` takes them.
        methods: names or settings objects; a mapping gives them labels of your own.
        labels: true values, ``{head: (sample, ...)}`` for some heads or a list with all; shown beside examples and
            needed for targets with unit "label".
        truth: features known to matter, ``{head: {stream: [feature, ...]}}`` or ``{head: [stream, ...]}``; or, where
            they differ from row to row, regions: ``{head: {stream: booleans (sample, *positions)}}``, each row of x.
        vocabulary: words of the ids that a stream of tokens holds, ``{stream: ("<pad>", "good", ...)}``, id 0 first;
            shown in the report in place of the ids.
        targets: what to explain; by default every head.
        background: rows that stand for "nothing known"; by default 100 rows drawn from ``x``.
        at: path of the layer at whose inputs to compare; by default found (see ``spaces.choose_space``).
        space: "variables" to take every entry of a stream's last axis as a whole (a series over all its steps, a
            channel); "streams" to compare shares of whole streams; "inputs" to insist on the model's inputs.
        rows: explain at most this many rows, drawn with the seed; None explains all.
        seed: of everything random.
        settings: of the scores.
        title, command: written into the record.
        progress: show a progress bar.
    Returns:
        Explanations, scores with intervals, and verdicts.
    Raises:
        BadSetting, NotSupported, UnknownName, ShapeMismatch, EmptyData, BadValues: see the functions named above.
    """
    request = read_request(
        model,
        x,
        methods,
        metrics=metrics,
        labels=labels,
        truth=truth,
        vocabulary=vocabulary,
        targets=targets,
        background=background,
        at=at,
        space=space,
        rows=rows,
        seed=seed,
        settings=settings,
        title=title,
        command=command,
    )
    with bar(progress, "compare") as shown:
        step = steps(shown, "compare", request.steps)
        explained = explain_all(request, step)
        scores = score(request, explained, step)
    return Comparison(explained.joined, write_record(request, explained, scores))
