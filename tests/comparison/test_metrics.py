"""Metrics as plugs of ``compare``: chosen by name, refused with a reason, brought by others, and failing by name."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.request import _rng
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting, MetricFailed, NotSupported
from xai_mimo.explainers import InputXGradient
from xai_mimo.metrics.metric import Quantity
from xai_mimo.metrics.robustness import LocalLipschitz, MaxSensitivity, nearby
from xai_mimo.record.check import check
from xai_mimo.record.results import Score
from xai_mimo.record.row import plain

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]

METHODS = ("gradient", "input_x_gradient")
FAST = Settings(resamples=200, steps=3, controls=1)
ENTRY = "@misc{somebody2026,\n  title = {The mean map}\n}"


@dataclass(frozen=True)
class MeanMagnitude:
    """A metric as somebody else writes it."""

    times: float = 1.0

    name: ClassVar[str] = "mean_magnitude"
    family: ClassVar[str] = "complexity"
    title: ClassVar[str] = "mean magnitude"
    better: ClassVar[str] = "smaller"
    bounds: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    reference: ClassVar[str] = "somebody2026"
    bibtex: ClassVar[str] = ENTRY

    def __call__(self, scene, rng):
        for label, maps in scene.maps.maps.items():
            for target, values in zip(scene.maps.heads, maps, strict=True):
                yield Quantity(method=label, target=target, values=self.times * np.abs(values).mean(axis=1))


def test_metrics_are_picked_by_name_and_the_record_says_what_they_mean(model, data):
    result = xm.compare(model, data, METHODS, metrics=["gini", "spearman"], settings=FAST)
    check(result.to_dict())
    assert {s.metric for s in result.record.scores} == {"gini", "spearman"}
    assert [(m.name, m.better, m.bounds) for m in result.record.metrics] == [
        ("spearman", "neither", (-1.0, 1.0)),
        ("gini", "neither", (0.0, 1.0)),
    ]
    assert result.record.curves == result.record.differences == ()
    assert {"hurley2009comparing", "krishna2024disagreement"} <= set(result.record.references)
    assert "samek2017evaluating" not in result.record.references
    for verdict in result.record.verdicts:
        assert "not among the metrics: deletion_area, insertion_area, symmetric_gain." in verdict.text


@pytest.mark.parametrize("names", [["spearman"], ["insertion_area"], ["deletion_area", "insertion_area"]])
def test_what_a_metric_gives_does_not_depend_on_which_others_run(model, data, names):
    every = xm.compare(model, data, METHODS, settings=FAST, seed=5).record
    alone = xm.compare(model, data, METHODS, metrics=names, settings=FAST, seed=5).record
    assert alone.scores == tuple(s for s in every.scores if s.metric in names)
    without_correction = [dataclasses.replace(d, p_corrected=d.p) for d in every.differences if d.metric in names]
    assert [dataclasses.replace(d, p_corrected=d.p) for d in alone.differences] == without_correction
    if "deletion_area" in names:
        assert alone.curves == every.curves


def test_what_does_not_apply_is_left_out_or_refused_with_the_reason(model, data):
    result = xm.compare(model, data, ["gradient"], settings=FAST)
    assert not {"spearman", "auroc", "average_drop", "relative_gap"} & {m.name for m in result.record.metrics}
    for name, reason in {
        "auroc": r"no features are known to matter; give truth=\{head",
        "mass_in_region": "no regions are known to matter",
        "spearman": "two methods against each other; give two",
        "average_drop": "single values of streams with positions",
        "relative_gap": "no method starts from a baseline",
        "parameter_randomisation": "weights cannot be made random",
    }.items():
        with pytest.raises(NotSupported, match=f"metric '{name}' does not apply here: .*{reason}"):
            xm.compare(model, data, ["gradient"], metrics=["gini", name], settings=FAST)


def test_whole_numbers_cannot_be_moved():
    model = xm.adapt(
        lambda words: {"y": words.sum(axis=1)}, streams={"words": xm.Stream("words", (3,), "int64")}, heads={"y": 1}
    )
    rows = np.arange(12).reshape(4, 3)
    with pytest.raises(
        NotSupported, match="'max_sensitivity' does not apply here: all streams hold whole numbers or words"
    ):
        xm.compare(model, rows, ["occlusion"], metrics=["max_sensitivity"], settings=FAST)


def test_a_metric_of_somebody_else_is_scored_and_cited(model, data):
    result = xm.compare(model, data, METHODS, metrics=["gini", MeanMagnitude(times=2)], settings=FAST)
    check(result.to_dict())
    row = next(
        s for s in result.record.scores if (s.metric, s.method, s.head) == ("mean_magnitude", "gradient", "risk")
    )
    np.testing.assert_allclose(row.estimate, 2 * 9 / 5)
    assert result.record.references["somebody2026"] == ENTRY
    assert result.record.metrics[-1].title == "mean magnitude"


def test_a_method_of_somebody_else_is_cited(model, data):
    class Own(InputXGradient):
        name = "own"
        reference = "somebody2026"
        bibtex = ENTRY

    references = xm.compare(model, data, [Own()], metrics=["gini"], settings=FAST).record.references
    assert references["somebody2026"] == ENTRY


def broken(give, *, tested=False):
    class Broken(MeanMagnitude):
        name = "broken"

        def __call__(self, scene, rng):
            return give(scene)

    Broken.tested = tested
    return Broken()


def test_a_metric_that_fails_names_itself(model, data):
    def run(give):
        xm.compare(model, data, METHODS, metrics=[broken(give)], settings=FAST)

    def quantity(**changed):
        return lambda scene: [Quantity(**{"method": "gradient", "target": "risk", "values": np.zeros(40)} | changed)]

    with pytest.raises(MetricFailed, match="metric 'broken' failed: ZeroDivisionError: division by zero"):
        run(lambda scene: 1 / 0)
    with pytest.raises(BadSetting, match="metric 'broken': no such luck"):
        run(lambda scene: (_ for _ in ()).throw(BadSetting("no such luck")))
    with pytest.raises(MetricFailed, match="metric 'broken' gave a float, not a Quantity"):
        run(lambda scene: [1.0])
    with pytest.raises(MetricFailed, match=r"values of shape \(3,\); expected one value for each of the 40 rows"):
        run(quantity(values=np.zeros(3)))
    with pytest.raises(MetricFailed, match="of the method 'grad', which is none of gradient, input_x_gradient"):
        run(quantity(method="grad"))
    with pytest.raises(MetricFailed, match="of the target 'rsk', which is none of risk, life, dead"):
        run(quantity(target="rsk"))
    with pytest.raises(MetricFailed, match="without values and without a note"):
        run(quantity(values=None))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"role": "valu"}, "gave the role 'valu', which is none of value, floor_random"),
        ({"k": 2.5}, r"gave k=2\.5; expected a whole number"),
        ({"k": True}, "gave k=True; expected a whole number"),
        ({"note": None}, "gave the note None; expected text"),
        ({"values": np.array(["a"] * 40)}, "gave values of type <U1 for 'gradient' for 'risk' .*real numbers"),
        ({"values": np.zeros(40, complex)}, "gave values of type complex128 .*real numbers"),
        ({"values": np.array([None] * 40)}, "gave values of type object .*real numbers"),
        ({"values": np.full(40, np.inf)}, "gave values that are infinite for 'gradient' for 'risk' .*NaN says"),
        ({"values": np.full(40, -0.5)}, r"gave values from -0\.5 to -0\.5 .*its bounds are \(0\.0, None\)"),
        ({"values": np.ones((40, 2)), "of_mean": lambda m: m.sum(1) / 0.0}, "gave a number that is infinite"),
    ],
)
def test_what_is_no_quantity_is_refused_by_the_name_of_its_metric(model, data, changed, words):
    arguments = {"method": "gradient", "target": "risk", "values": np.zeros(40)} | changed
    metric = broken(lambda scene: [Quantity(**arguments)])
    with np.errstate(divide="ignore"), pytest.raises(MetricFailed, match=f"metric 'broken' {words}"):
        xm.compare(model, data, METHODS, metrics=[metric], settings=FAST)


OWN_TEST = {"p": 0.2, "note": "tested over features"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (OWN_TEST | {"p": 1.5}, r"gave the p-value 1\.5 of 'gradient' for 'risk' .*from 0 to 1"),
        (OWN_TEST | {"p": True}, "gave the p-value True"),
        (OWN_TEST | {"p": float("nan")}, "gave the p-value nan"),
        (OWN_TEST | {"note": ""}, "gave a p-value of 'gradient' .*with a note on what it tests"),
        (OWN_TEST | {"role": "ceiling"}, "gave a p-value of 'gradient' .*only a method's own value has"),
        (OWN_TEST | {"other": "input_x_gradient"}, "gave a p-value of 'gradient' .*only a method's own value has"),
        (OWN_TEST | {"values": np.full(40, np.nan)}, "gave a p-value of 'gradient' .*no value in any row"),
        (OWN_TEST, "gave a p-value of 'gradient' .*without an exact floor_random"),
        ({"k": 3}, "gave 'gradient' for 'risk' .*k=3.*though it is tested"),
        ({"values": np.ones((40, 2)), "of_mean": lambda m: m.sum(1)}, "gave 'gradient' .*give its p-value"),
    ],
)
def test_a_test_that_cannot_be_recorded_is_refused(model, data, changed, words):
    arguments = {"method": "gradient", "target": "risk", "values": np.zeros(40)} | changed
    metric = broken(lambda scene: [Quantity(**arguments)], tested=("controls",))
    with pytest.raises(MetricFailed, match=f"metric 'broken' {words}"):
        xm.compare(model, data, METHODS, metrics=[metric], settings=FAST)


def test_a_p_value_needs_chance_that_is_known(model, data):
    def give(scene):
        yield Quantity(method="gradient", target="risk", values=np.ones(40), **OWN_TEST)
        yield Quantity(method="gradient", target="risk", values=np.zeros(40), role="floor_random")

    with pytest.raises(MetricFailed, match="without an exact floor_random"):
        xm.compare(model, data, METHODS, metrics=[broken(give, tested=("controls",))], settings=FAST)


def test_a_p_value_of_a_metric_that_is_not_tested_is_refused(model, data):
    metric = broken(lambda scene: [Quantity(method="gradient", target="risk", values=np.zeros(40), **OWN_TEST)])
    with pytest.raises(MetricFailed, match="is not tested against 'controls', so that it would be lost"):
        xm.compare(model, data, METHODS, metrics=[metric], settings=FAST)


def test_a_metric_that_brings_its_p_value_has_no_interval_over_rows(model, data):
    def give(scene):
        for label in METHODS:
            values = np.ones((40, 2)) * [1.0, 3.0]
            own = {"values": values, "of_mean": lambda m: m.max(axis=1), "p": np.float32(0.25), "note": "by features"}
            yield Quantity(method=label, target="risk", **own)
            yield Quantity(method=label, target="risk", values=np.ones(40), role="floor_random", exact=True)

    record = xm.compare(model, data, METHODS, metrics=[broken(give, tested=("controls",))], settings=FAST).record
    check(plain(record))
    value = next(s for s in record.scores if s.role == "value")
    assert (value.estimate, value.low, value.high, value.rows, value.note) == (3.0, None, None, 40, "by features")
    row = record.differences[0]
    assert (row.method, row.other, row.estimate, row.p, row.p_corrected) == ("gradient", "chance", -2.0, 0.25, 0.25)


def test_shares_of_hits_have_exact_intervals(model, data):
    class Hits(MeanMagnitude):
        name, bounds = "hits", (0.0, 1.0)

        def __call__(self, scene, rng):
            yield Quantity(method="gradient", target="risk", values=np.ones(40))

    (row,) = xm.compare(model, data, METHODS, metrics=[Hits()], settings=FAST).record.scores
    assert (row.estimate, row.high) == (1.0, 1.0)
    assert row.low == pytest.approx(0.025 ** (1 / 40))


def test_quantities_that_cannot_be_read_are_refused_by_the_name_of_their_metric(model, data):
    ragged = [[0.0]] * 39 + [[0.0, 1.0]]
    for changed in ({"values": ragged}, {"values": np.ones((40, 2)), "of_mean": lambda m: m["a"]}):
        arguments = {"method": "gradient", "target": "risk"} | changed
        metric = broken(lambda scene, arguments=arguments: [Quantity(**arguments)])
        with pytest.raises(MetricFailed, match="metric 'broken' gave quantities that cannot be read"):
            xm.compare(model, data, METHODS, metrics=[metric], settings=FAST)


def test_a_quantity_is_given_once_and_numbers_of_numpy_are_taken(model, data):
    def give(scene):
        for k in (np.int64(1), np.int32(2)):
            yield Quantity(method="gradient", target="risk", values=[1] * 39 + [float("nan")], k=k)

    record = xm.compare(model, data, METHODS, metrics=[broken(give)], settings=FAST).record
    assert [(type(s.k), s.k, s.rows) for s in record.scores] == [(int, 1, 39), (int, 2, 39)]
    twice = broken(lambda scene: [q for _ in range(2) for q in give(scene)])
    with pytest.raises(MetricFailed, match=r"gave two quantities of 'gradient' for 'risk' \(role 'value', k=1\)"):
        xm.compare(model, data, METHODS, metrics=[twice], settings=FAST)


def test_differences_follow_the_direction_of_the_metric(model, data):
    values = {"gradient": np.arange(40.0), "input_x_gradient": np.zeros(40)}

    def give(scene):
        return [Quantity(method=m, target="risk", values=v) for m, v in values.items()]

    result = xm.compare(model, data, METHODS, metrics=[broken(give, tested=True)], settings=FAST)
    (row,) = result.record.differences
    assert (row.method, row.other, row.family) == ("gradient", "input_x_gradient", "complexity")
    assert row.estimate == -19.5  # smaller is better, and the first is larger
    assert row.p_corrected == row.p < 0.01


def test_maps_that_do_not_move_are_robust_and_those_that_do_are_measured(model, data):
    metrics = [MaxSensitivity(radius=0.1, samples=3), LocalLipschitz(radius=0.1, samples=3)]
    result = xm.compare(model, data, METHODS, metrics=metrics, targets=["risk"], background=data, settings=FAST)
    found = {(s.metric, s.method): s.estimate for s in result.record.scores}
    assert found["max_sensitivity", "gradient"] == found["local_lipschitz", "gradient"] == 0
    rng, scale = _rng(0, "max_sensitivity"), {n: x.std(axis=0) for n, x in data.items()}
    own, slow = np.random.default_rng(int(rng.integers(2**63))), np.zeros(40)
    weights = {"thermal": np.array([4.0, -3, 2]), "wear": np.zeros(2)}
    before = np.concatenate([data[s] * weights[s] for s in data], axis=1)
    for _ in range(3):
        moved = nearby(data, scale, 0.1, own)
        after = np.concatenate([moved[s] * weights[s] for s in data], axis=1)
        slow = np.maximum(slow, np.linalg.norm(after - before, axis=1) / np.linalg.norm(before, axis=1))
    np.testing.assert_allclose(found["max_sensitivity", "input_x_gradient"], slow.mean())


@pytest.mark.parametrize("space", [None, "streams", "variables"])
def test_explaining_again_gives_what_was_explained(space):
    """With the same rows and the same model, every method repeats itself bit by bit, in every space."""
    model = toys.mlp()
    seen = []

    def give(scene):
        for label, maps in scene.maps.maps.items():
            seen.append(label)
            np.testing.assert_array_equal(scene.explain_again(label), maps)
            np.testing.assert_array_equal(scene.explain_again(label, inputs=scene.perturbed.inputs), maps)
            np.testing.assert_array_equal(scene.explain_again(label, model=scene.whole), maps)
        return []

    methods = ["gradient", "smoothgrad", "shapley", "expected_gradients"]
    xm.compare(model, toys.rows(model), methods, metrics=[broken(give)], space=space, settings=FAST)
    assert seen == methods


def test_replaced_features_are_averaged_over_the_rows_of_the_background(model, data, rng):
    """By hand: where all is replaced, the change is f(x) less the mean of f over the first rows of the background."""
    background = {"thermal": rng.standard_normal((9, 3)), "wear": rng.standard_normal((9, 2))}
    for count in (1, 4):
        settings = Settings(resamples=200, ceilings=False, replacement="background", replacement_rows=count)
        result = xm.compare(model, data, ["gradient"], background=background, settings=settings)
        first = {name: x[:count] for name, x in background.items()}
        for head in ("risk", "life"):
            change = np.abs(model.predict(data)[head] - model.predict(first)[head].mean())
            curve = next(
                c for c in result.record.curves if (c.method, c.head, c.kind) == ("gradient", head, "deletion")
            )
            np.testing.assert_allclose(curve.mean[-1], change.mean())
    # One feature replaced at a time, the most important first: risk reads air most.
    settings = Settings(resamples=200, ceilings=False, replacement="background", replacement_rows=3)
    result = xm.compare(model, data, ["gradient"], background=background, settings=settings)
    curve = next(c for c in result.record.curves if (c.method, c.head, c.kind) == ("gradient", "risk", "deletion"))
    by_hand = np.abs(4 * (data["thermal"][:, 0] - background["thermal"][:3, 0].mean()))
    np.testing.assert_allclose(curve.mean[1], by_hand.mean())


def test_replaced_features_can_come_from_the_nearest_rows_of_the_whole_background(model, data, rng):
    """By hand: without the top feature of risk, the row of the background that is nearest in the other four."""
    background = {"thermal": rng.standard_normal((9, 3)), "wear": rng.standard_normal((9, 2))}
    settings = Settings(resamples=200, ceilings=False, replacement="nearest", replacement_rows=1)
    result = xm.compare(model, data, ["gradient"], background=background, settings=settings)
    assert result.record.settings["replacement"] == "nearest"
    curve = next(c for c in result.record.curves if (c.method, c.head, c.kind) == ("gradient", "risk", "deletion"))
    x, b = (np.concatenate([rows["thermal"], rows["wear"]], axis=1) for rows in (data, background))
    far = (((x[:, None, 1:] - b[None, :, 1:]) / b[:, 1:].std(axis=0)) ** 2).sum(axis=2)
    by_hand = np.abs(4 * (x[:, 0] - b[far.argmin(axis=1), 0]))
    np.testing.assert_allclose(curve.mean[1], by_hand.mean())
    change = np.abs(model.predict(data)["risk"] - model.predict(background)["risk"].mean())
    np.testing.assert_allclose(curve.mean[-1], change.mean())


def test_scores_have_the_types_of_the_record(model, data):
    result = xm.compare(model, data, METHODS, metrics=["gini"], settings=FAST)
    assert all(isinstance(s, Score) for s in result.record.scores)


def test_every_purpose_has_random_numbers_of_its_own():
    # share and curve: names that are not ours may be of equal length
    whats = ("rows", "curves", "agreement", "regions", "differences", "metric share", "metric curve")
    first = {what: _rng(3, what).random() for what in whats}
    assert len(set(first.values())) == len(first)
    assert first == {what: _rng(3, what).random() for what in first}
    assert first["curves"] != _rng(4, "curves").random()
