"""Every method of a comparison draws from a stream of its own, which a reader of the record can draw from again."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.request import method_seed
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.explanation import stream_names
from xai_mimo.core.method import Attribution
from xai_mimo.core.targets import take
from xai_mimo.explainers import ExpectedGradients, Shapley, SmoothGrad
from xai_mimo.metrics.robustness import MaxSensitivity

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]

FAST = Settings(resamples=200, steps=3, controls=1, ceilings=False)
SAMPLED = {"walks": Shapley(budget=24), "paths": ExpectedGradients(samples=5), "smooth": SmoothGrad(samples=5)}


@dataclass(frozen=True)
class Noise:
    """Random numbers in the place of a map."""

    name: ClassVar[str] = "noise"
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        values = {n: context.rng.standard_normal((len(selectors), *x.shape)) for n, x in inputs.items()}
        return Attribution(values, take(model.predict(inputs), selectors))


def maps_of(result, label):
    explanation = result.explanations.sel(explainer=label)
    return {name: explanation[name].values for name in stream_names(result.explanations)}


def test_two_methods_of_noise_agree_as_random_maps_do():
    model = toys.mlp()
    x = toys.rows(model, count=200)
    settings = Settings(resamples=200, steps=3, controls=1)
    result = xm.compare(model, x, {"one": Noise(), "two": Noise()}, metrics=["spearman"], settings=settings)
    for target in {s.head for s in result.record.scores}:
        by_role = {s.role: s for s in result.record.scores if s.head == target}
        # Five features, 200 rows: the mean of uncorrelated orders has a standard error of .035.
        assert abs(by_role["value"].estimate) < 0.12
        # The run again is another draw of each, and no first run of the other.
        assert abs(by_role["ceiling"].estimate) < 0.12


@pytest.mark.parametrize("rows", [30, 1100], ids=["one block", "two blocks"])
def test_explain_with_the_recorded_seed_gives_the_compared_map(rows):
    model = toys.mlp()
    x = toys.rows(model, count=rows)
    background = {name: values[:7] for name, values in x.items()}
    result = xm.compare(model, x, SAMPLED, metrics=["gini"], background=background, settings=FAST, seed=5)
    for row in result.record.methods:
        again = xm.explain(model, x, SAMPLED[row.label], background=background, seed=row.seed)
        for name, values in maps_of(result, row.label).items():
            np.testing.assert_array_equal(again[name].values, values)
        other = xm.explain(model, x, SAMPLED[row.label], background=background, seed=row.seed + 1)
        assert not np.array_equal(other["u"].values, maps_of(result, row.label)["u"])


def test_a_map_depends_on_the_label_and_not_on_the_other_methods():
    model = toys.mlp()
    x = toys.rows(model, count=20)

    def run(methods, seed=0):
        return xm.compare(model, x, methods, metrics=["gini"], settings=FAST, seed=seed)

    alone = maps_of(run({"walks": SAMPLED["walks"]}), "walks")
    beside = maps_of(run({"paths": SAMPLED["paths"], **SAMPLED}), "walks")
    np.testing.assert_array_equal(alone["u"], beside["u"])
    renamed = maps_of(run({"other": SAMPLED["walks"]}), "other")
    assert not np.array_equal(alone["u"], renamed["u"])
    assert not np.array_equal(alone["u"], maps_of(run({"walks": SAMPLED["walks"]}, seed=1), "walks")["u"])


def test_seeds_differ_by_label_run_and_seed():
    runs = ("methods", "methods again")
    # "plumless" and "buckeroo" have one CRC-32; a label is no other label's beginning.
    labels = ("a", "b", "ab", "a ", "ä", "plumless", "buckeroo", "shapley", "shapley 2")
    seeds = {(s, label, run): method_seed(s, label, run) for s in (0, 1, 2**40) for label in labels for run in runs}
    assert len(set(seeds.values())) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds.values())
    # They are written into records: no later version may draw others unawares.
    assert method_seed(0, "shapley", "methods") == 1000198408


@pytest.mark.parametrize("label", ["random", "permuted", "chance"])
def test_what_maps_are_held_against_is_no_label(label):
    model = toys.mlp()
    with pytest.raises(BadSetting, match=f"'{label}' is the name of a control, .*'my {label}'"):
        xm.compare(model, toys.rows(model), {label: Noise()}, settings=FAST)


def test_a_row_that_does_not_move_keeps_its_sampled_map():
    """Robustness explains with the random numbers of the first run: what moves a map is the row alone."""
    model = toys.mlp()
    x = toys.rows(model, count=12)
    still = {name: np.zeros_like(values) for name, values in x.items()}  # no feature has a step
    found = xm.compare(
        model,
        x,
        {**SAMPLED, "noise": Noise()},
        metrics=[MaxSensitivity(samples=2)],
        background=still,
        settings=FAST,
        seed=2,
    )
    assert {s.method for s in found.record.scores} == {*SAMPLED, "noise"}
    assert all(s.estimate == 0 for s in found.record.scores)
