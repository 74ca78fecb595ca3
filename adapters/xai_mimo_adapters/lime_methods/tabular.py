"""lime's tabular explainer: a linear model of the head around each row."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, MissingDependency
from xai_mimo.core.method import Attribution, Context, flag, one_of, positive, whole
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.players import Masker
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo_adapters.lime_methods.columns import Columns

_RIBEIRO = """@inproceedings{ribeiro2016why,
  title = {``{Why} Should {I} Trust You?'': Explaining the Predictions of Any Classifier},
  author = {Ribeiro, Marco Tulio and Singh, Sameer and Guestrin, Carlos},
  booktitle = {Proceedings of the 22nd ACM SIGKDD International Conference on Knowledge Discovery and Data Mining},
  pages = {1135--1144},
  year = {2016}
}"""

_DIAGNOSTICS = ("intercept", "local_r_squared", "local_prediction")


@dataclass(frozen=True)
class LimeTabular:
    """lime's ``LimeTabularExplainer``: a ridge regression on rows drawn like the background, near rows weighing more.

    f(x') ~ intercept + sum over i of w_i z_i(x'),  weights exp(-d(z, z(x))^2 / (2 width^2))

    z_i is 1 where x'_i lies in the quarter of the background (or is the category) that x_i is in, and 0 elsewhere; with
    ``discretize=False`` the z of numbers are their standardised values. lime explains every head as it is, probability
    or not, and all targets from the same drawn rows. Whole numbers, truth values, words and groups of features are
    categories, which are drawn from the values of the background; a category has one value for all its columns.

    The result has the diagnostics ``local_r_squared`` (how well the linear model answers as the head does near the row:
    where it is low, the values say little), ``local_prediction`` (what it says of the row) and ``intercept``;
    contributions and intercept sum to the local prediction, not to the head's.

    Attributes:
        samples: rows drawn for each row.
        values: "contributions", w_i z_i(x): what the present value does (numbers: beside the background's mean);
            "coefficients", for numbers that are not discretized: what one unit more of the feature does, w_i divided by
            its standard deviation, with the w_i of categories as they are.
        discretize: numbers into quarters of the background, as lime does by default.
        around_row: draw numbers around the row instead of around the background's mean; without ``discretize``.
        kernel_width: of the weights, in standard deviations or, of quarters and categories, square roots of how many
            differ; None for lime's own, 0.75 times the square root of the number of columns.
        most: features that keep a value, chosen by lime, all others are 0; None for all. lime's own default is 10.

    Source: Ribeiro et al. (2016), "Why Should I Trust You?": Explaining the Predictions of Any Classifier, Section 3.
    """

    samples: int = 5000
    values: Literal["contributions", "coefficients"] = "contributions"
    discretize: bool = True
    around_row: bool = False
    kernel_width: float | None = None
    most: int | None = None

    name: ClassVar[str] = "lime.tabular"
    reference: ClassVar[str] = "ribeiro2016why"
    bibtex: ClassVar[str] = _RIBEIRO
    speaks_of: ClassVar[SpeaksOf] = "attribution"  # of contributions; coefficients say their own
    packages: ClassVar[tuple[str, ...]] = ("lime",)

    def __post_init__(self) -> None:
        whole(self.samples, "samples")
        one_of(self.values, ("contributions", "coefficients"), "values")
        if self.values == "coefficients":
            object.__setattr__(self, "speaks_of", "sensitivity")
        flag(self.discretize, "discretize")
        flag(self.around_row, "around_row")
        if self.kernel_width is not None:
            positive(self.kernel_width, "kernel_width")
        if self.most is not None:
            whole(self.most, "most")
        if self.discretize and self.values == "coefficients":
            raise BadSetting(
                "values='coefficients' tell what one unit more does, and a number that is discretized has quarters and "
                "no units; take discretize=False, or values='contributions'."
            )
        if self.discretize and self.around_row:
            raise BadSetting(
                "around_row draws numbers around the row, and discretize draws quarters; take one of them."
            )

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same neighbourhood."""
        package = _lime()
        masker = Masker.of(inputs, "features", model.streams)
        names = list(masker.divisions)
        shown, background = ({name: rows[name] for name in names} for rows in (inputs, context.background))
        columns = Columns.of(masker, shown, background)
        _check_background(columns, background, context, int(self.samples))
        explainer, notes = self._explainer(package, columns, columns.read(background), context)
        rows = columns.read(shown)
        weights = np.zeros((len(selectors), len(rows), columns.count))
        diagnostics = {word: np.empty(weights.shape[:2]) for word in _DIAGNOSTICS}
        for row, values in enumerate(rows):
            notes.found.clear()
            with _without_warning():
                explainer.explain_instance(
                    values,
                    _predictor(model, columns, rows_of(selectors, np.array([row])), context),
                    labels=range(len(selectors)),
                    num_features=columns.count if self.most is None else min(int(self.most), columns.count),
                    num_samples=int(self.samples),
                )
            for target, (intercept, chosen, score, local) in enumerate(notes.found):
                for column, weight in chosen:
                    weights[target, row, column] = weight
                for word, value in zip(_DIAGNOSTICS, (intercept, score, local[0]), strict=True):
                    diagnostics[word][target, row] = value
            context.advance(1)
        return Attribution(
            values=masker.split(self._of_weights(weights, rows, columns, explainer.scaler)),
            prediction=take(model.predict(inputs), selectors),
            diagnostics=diagnostics,
        )

    def _explainer(self, package: Any, columns: Columns, table: Array, context: Context) -> tuple[Any, "_Notes"]:
        """lime's explainer of this background, and what its regressions note down."""
        explainer = package.LimeTabularExplainer(
            table,
            mode="classification",  # of several columns, each explained by itself; probabilities or not
            categorical_features=np.flatnonzero(columns.is_category).tolist(),
            kernel_width=self.kernel_width,
            feature_selection="none" if self.most is None else "auto",
            discretize_continuous=self.discretize and not columns.is_category.all(),
            sample_around_instance=self.around_row,
            random_state=np.random.RandomState(context.rng.integers(2**32)),
        )
        explainer.base = notes = _Notes(explainer.base)
        return explainer, notes

    def _of_weights(self, weights: Array, rows: Array, columns: Columns, scaler: Any) -> Array:
        """The weights of the regression as what this method tells, ``(target, row, column)``."""
        if self.discretize:
            return weights  # every z of the row itself is 1
        scale = np.where(columns.is_category, 1.0, scaler.scale_)
        if self.values == "coefficients":
            return weights / scale
        middle = np.where(columns.is_category, 0.0, scaler.mean_)
        return weights * np.where(columns.is_category, 1.0, (rows - middle) / scale)


class _Notes:
    """lime's regression, which forgets the R squared of all labels but the last, with a list of what it found.

    Attributes:
        found: ``(intercept, [(column, weight), ...], R squared, prediction of the row)`` of each label asked for.
    """

    def __init__(self, base: Any) -> None:
        self._base, self.found = base, list[Any]()

    def explain_instance_with_data(self, *args: Any, **kwargs: Any) -> Any:
        """As lime calls it."""
        answer = self._base.explain_instance_with_data(*args, **kwargs)
        self.found.append(answer)
        return answer


def _lime() -> Any:
    try:
        import lime.lime_tabular
    except ImportError as err:
        raise MissingDependency("method 'lime.tabular' needs lime: pip install 'xai-mimo[lime]'") from err
    return lime.lime_tabular


def _check_background(columns: Columns, background: Arrays, context: Context, samples: int) -> None:
    """Refuse a background that says nothing of how features scatter, and a neighbourhood that memory does not hold."""
    rows = count_rows(background)
    if rows < 2:
        raise BadSetting(
            "lime.tabular draws rows that scatter as the background does, and this background has 1 row; give at least "
            "2, explain(..., background=rows), better some hundred."
        )
    needed = samples * columns.count * 8 * 5
    if needed > context.max_memory:
        raise BadSetting(
            f"lime.tabular would hold {needed / 1e6:.0f} MB for the {samples} drawn rows of {columns.count} columns, "
            f"more than max_memory ({context.max_memory / 1e6:.0f} MB). Take fewer samples, or 'shapley' with "
            "players='variables'."
        )


def _predictor(model: Model, columns: Columns, selectors: Sequence[Selector], context: Context) -> Any:
    """The model as lime calls it: ``(row, column)`` to ``(row, target)``, in pieces."""
    at_once = context.chunk(24 * len(columns.player_of), at_most=2**20)

    def predict(table: Array) -> Array:
        answers = []
        for part in slices(len(table), at_once):
            rows = columns.write(table[part])
            same = rows_of(selectors, np.zeros(part.stop - part.start, dtype=np.int64))
            answers.append(take(model.predict(rows), same).T)
        return np.concatenate(answers).astype(np.float64)

    return predict


@contextlib.contextmanager
def _without_warning() -> Iterator[None]:
    """Leave out that heads side by side do not sum to 1 as probabilities would: nobody said they were."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Prediction probabilties do not sum to 1")
        yield
