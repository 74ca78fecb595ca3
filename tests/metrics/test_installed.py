"""The metrics that are installed: their facts, how they are named and listed, and what is refused."""

from dataclasses import dataclass
from typing import ClassVar, get_args

import pytest

import xai_mimo as xm
from xai_mimo.core.errors import BadSetting, DuplicateName, PluginWarning, UnknownName
from xai_mimo.core.plugins import plugins
from xai_mimo.metrics.complexity import Gini
from xai_mimo.metrics.installed import check_facts, default_metrics, find_metrics
from xai_mimo.metrics.metric import Metric
from xai_mimo.metrics.robustness import MaxSensitivity
from xai_mimo.record.words import Family

pytestmark = pytest.mark.all_frameworks


@dataclass(frozen=True)
class Foreign:
    """A metric as somebody else may write it, with the facts that there must be and no others."""

    name: ClassVar[str] = "foreign"
    family: ClassVar[str] = "complexity"
    title: ClassVar[str] = "a foreign metric"
    better: ClassVar[str] = "larger"
    bounds: ClassVar[tuple[float | None, float | None]] = (None, None)
    reference: ClassVar[str] = ""

    def __call__(self, scene, rng):
        return []


def test_every_entry_point_is_a_metric_of_that_name():
    for name, entry in plugins("xai_mimo.metrics").items():
        metric = check_facts(entry.load()())
        assert isinstance(metric, Metric)
        assert metric.name == name
        low, high = metric.bounds
        assert low is None or high is None or low < high


def test_they_are_listed_with_what_they_need_by_the_room_itself():
    table = xm.metrics()
    assert set(table.index) == set(plugins("xai_mimo.metrics"))
    assert list(table.columns) == ["family", "title", "better", "bounds", "needs", "default", "reference"]
    assert table.loc["share", "needs"] == "truth"
    assert table.loc["deletion_area", "better"] == "larger"
    assert table.loc["insertion_area", "better"] == "smaller"
    assert list(dict.fromkeys(table.family)) == [f for f in get_args(Family) if f in set(table.family)]
    from xai_mimo.metrics.complexity import gini  # importing a file of the room leaves the call as it is

    assert gini is not None
    assert len(xm.metrics()) == len(table)


def test_what_explains_again_does_not_run_unasked():
    table = xm.metrics()
    expensive = set(table.index[~table.default])
    assert expensive == {"max_sensitivity", "local_lipschitz", "parameter_randomisation"}
    assert expensive.isdisjoint(m.name for m in default_metrics())


def test_names_and_objects_are_put_in_order():
    chosen = find_metrics([MaxSensitivity(samples=2), "gini", Foreign(), "spearman"])
    assert [m.name for m in chosen] == ["spearman", "gini", "foreign", "max_sensitivity"]
    assert chosen[-1].samples == 2
    assert find_metrics("gini") == (Gini(),)


def test_what_is_no_metric_is_refused():
    with pytest.raises(UnknownName, match=r"no metric is called 'ginni'.*Did you mean 'gini'"):
        find_metrics(["ginni"])
    with pytest.raises(DuplicateName, match="gini"):
        find_metrics(["gini", Gini()])
    with pytest.raises(BadSetting, match=r"Gini is not a metric: it is a class; give an object, Gini\(\)"):
        find_metrics([Gini])
    with pytest.raises(BadSetting, match="int is not a metric: it lacks the facts name, family"):
        find_metrics([3])

    class Family(Foreign):
        family = "beauty"

    with pytest.raises(BadSetting, match="metric 'foreign' has the family 'beauty', which is not one of agreement"):
        check_facts(Family())

    class Undirected(Foreign):
        better = "neither"
        tested = True

    with pytest.raises(BadSetting, match="metric 'foreign' is tested and has no direction"):
        check_facts(Undirected())

    class Needy(Foreign):
        needs = ("luck",)

    with pytest.raises(BadSetting, match="metric 'foreign' needs 'luck', which is not one of 'two methods'"):
        check_facts(Needy())


FACTS = {
    "auroc": ("ground_truth", "larger", (0.0, 1.0)),
    "auroc_mean_map": ("ground_truth", "larger", (0.0, 1.0)),
    "average_drop": ("faithfulness", "smaller", (0.0, 100.0)),
    "comprehensiveness": ("faithfulness", "larger", (0.0, None)),
    "conditional_symmetric_gain": ("faithfulness", "larger", (None, None)),
    "deletion_accuracy": ("faithfulness", "smaller", (0.0, 1.0)),
    "deletion_area": ("faithfulness", "larger", (0.0, None)),
    "effective_features": ("complexity", "neither", (1.0, None)),
    "feature_agreement": ("agreement", "neither", (0.0, 1.0)),
    "gini": ("complexity", "neither", (0.0, 1.0)),
    "insertion_area": ("faithfulness", "smaller", (0.0, None)),
    "kendall": ("agreement", "neither", (-1.0, 1.0)),
    "local_lipschitz": ("robustness", "smaller", (0.0, None)),
    "mass_in_region": ("ground_truth", "larger", (0.0, 1.0)),
    "max_sensitivity": ("robustness", "smaller", (0.0, None)),
    "pairwise_rank_agreement": ("agreement", "neither", (0.0, 1.0)),
    "parameter_randomisation": ("randomisation", "smaller", (-1.0, 1.0)),
    "permutation_agreement": ("faithfulness", "larger", (-1.0, 1.0)),
    "pointing_game": ("ground_truth", "larger", (0.0, 1.0)),
    "rank_agreement": ("agreement", "neither", (0.0, 1.0)),
    "relative_gap": ("completeness", "smaller", (0.0, None)),
    "share": ("ground_truth", "larger", (0.0, 1.0)),
    "sign_agreement": ("agreement", "neither", (0.0, 1.0)),
    "signed_average_drop": ("faithfulness", "smaller", (None, 100.0)),
    "signed_rank_agreement": ("agreement", "neither", (0.0, 1.0)),
    "spearman": ("agreement", "neither", (-1.0, 1.0)),
    "effect_overlap": ("faithfulness", "larger", (0.0, 1.0)),
    "idle_mass": ("faithfulness", "smaller", (None, 1.0)),
    "signed_gain": ("faithfulness", "larger", (None, None)),
    "symmetric_gain": ("faithfulness", "larger", (None, None)),
    "sufficiency": ("faithfulness", "smaller", (0.0, None)),
    "uniformity": ("complexity", "neither", (0.0, 1.0)),
    "violation": ("faithfulness", "smaller", (0.0, 1.0)),
}
"""Of each article's own definition: curves of |f(x) - v| as this package draws them, drops in percent."""


def test_the_direction_and_the_bounds_of_every_metric():
    table = xm.metrics()
    facts = {name: (row.family, row.better, row.bounds) for name, row in table.iterrows()}
    assert facts == FACTS


class LacksAFact(Foreign):
    name = "lacks"
    family = "no_such_family"


class CannotBeMade:
    def __init__(self):
        raise RuntimeError("no licence")


@pytest.mark.parametrize(("kind", "says"), [(LacksAFact, "no_such_family"), (CannotBeMade, "no licence")])
def test_a_plugin_that_cannot_be_used_warns_stops_nobody_and_is_refused_by_name(kind, says, monkeypatch):
    ours = plugins("xai_mimo.metrics")

    class Broken:
        name, value = "broken", "somebody.metrics:Broken"

        def load(self):
            return kind

    monkeypatch.setattr("xai_mimo.metrics.installed.plugins", lambda group: {**ours, "broken": Broken()})
    with pytest.warns(PluginWarning, match=f"'broken'.*{says}"):
        assert set(xm.metrics().index) == set(ours)
    with pytest.warns(PluginWarning, match="'broken'"):
        assert "deletion_area" in {m.name for m in default_metrics()}
    with pytest.raises((BadSetting, RuntimeError), match=says):
        find_metrics(["broken"])


@pytest.mark.parametrize(
    ("fact", "value", "words"),
    [
        ("name", 3, "Wrong.name is 3; expected text"),
        ("name", " ", "Wrong.name is ' '; expected text"),
        ("title", None, "Wrong.title is None; expected text"),
        ("reference", None, "Wrong.reference is None; expected text"),
        ("bounds", 1.0, r"metric 'foreign': bounds is 1\.0; expected the smallest and the largest value"),
        ("bounds", (0.0, float("inf")), r"metric 'foreign': bounds is \(0\.0, inf\); expected the smallest"),
        ("bounds", ("a", None), "metric 'foreign': bounds is .*expected the smallest"),
        ("bounds", (1.0, 0.0), "metric 'foreign': bounds is .*the first must be below the second"),
        ("needs", "truth", r"metric 'foreign' has the needs 'truth'; expected a tuple, e\.g\. \('truth',\)"),
        ("needs", 3, "metric 'foreign' has the needs 3; expected a tuple"),
    ],
)
def test_a_fact_that_is_none_is_refused_when_the_metric_is_read(fact, value, words):
    wrong = type("Wrong", (Foreign,), {fact: value})
    with pytest.raises(BadSetting, match=words):
        find_metrics([wrong()])
