"""What maps speak of: a fact of every method, and signs that are held against each other within one kind alone."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.explanation import join
from xai_mimo.core.plugins import plugins
from xai_mimo.core.saved import load, save
from xai_mimo.core.speaks_of import meaning, speaks_of
from xai_mimo.explainers import InputXGradient
from xai_mimo.record.check import check
from xai_mimo.record.row import plain
from xai_mimo.testing import check_method
from xai_mimo.testing.toy_model import ToyModel

pytestmark = pytest.mark.all_frameworks
FAST = Settings(resamples=200, steps=3, controls=1)


@dataclass(frozen=True)
class Silent:
    """A method of somebody else that says nothing of the matter."""

    name: ClassVar[str] = "silent"
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        return InputXGradient()(model, inputs, selectors, context)


class Riddle(Silent):
    name = "riddle"
    speaks_of = "importance"


@pytest.fixture
def planes():
    """f = 3a - 2b + c, with its gradient."""
    weights = np.array([3.0, -2.0, 1.0])

    class Plane:
        streams = (xm.Stream("x", (3,), features=("a", "b", "c"), dtype="float64"),)
        heads = (xm.Head("y"),)

        def fingerprint(self):
            return "0" * 16

        def predict(self, inputs):
            return {"y": np.asarray(inputs["x"]) @ weights[:, None]}

        def gradients(self, inputs, selectors, streams=None):
            rows = np.broadcast_to(weights, (len(selectors), *np.shape(inputs["x"])))
            return self.predict(inputs), {"x": rows.copy()}

    return Plane()


def test_every_method_of_ours_declares_what_its_maps_speak_of():
    kinds = {name: entry.load() for name, entry in plugins("xai_mimo.methods").items()}
    ours = {name: kind for name, kind in kinds.items() if kind.__module__.startswith("xai_mimo")}
    assert len(ours) > 10
    assert [name for name, kind in ours.items() if not hasattr(kind, "speaks_of")] == []
    of_growth = {name for name, kind in ours.items() if speaks_of(kind) == "sensitivity"}
    captums = ("Deconvolution", "GuidedBackprop", "GuidedGradCam", "InternalInfluence", "NoiseTunnel", "Saliency")
    assert of_growth == {"gradient", "smoothgrad", *(f"captum.{name}" for name in captums)}
    assert set(xm.methods().query("speaks_of == 'sensitivity'").index) == of_growth


def test_a_method_that_says_nothing_speaks_of_attribution_and_one_that_says_else_is_refused(planes):
    x = {"x": np.ones((4, 3))}
    assert xm.explain(planes, x, Silent()).attrs["speaks_of"] == "attribution"
    with pytest.raises(BadSetting, match=r"'riddle' declares speaks_of = 'importance'.*attribution, sensitivity"):
        xm.explain(planes, x, Riddle())
    with pytest.raises(AssertionError, match="'riddle' declares speaks_of"):
        check_method(Riddle(), ToyModel())


def test_the_contract_refuses_what_is_a_setting_instead_of_a_fact():
    @dataclass(frozen=True)
    class Set(Silent):
        speaks_of: str = "sensitivity"

    with pytest.raises(AssertionError, match=r"Set\.speaks_of is a setting; make it a ClassVar"):
        check_method(Set())


def test_files_keep_it_and_older_ones_are_read_without(planes, tmp_path):
    x = {"x": np.ones((4, 3))}
    found = xm.explain(planes, x, "gradient")
    assert load(save(found, tmp_path / "map.nc")).attrs["speaks_of"] == "sensitivity"
    older = found.copy()
    del older.attrs["speaks_of"]
    read = load(save(join({"one": older, "two": found}), tmp_path / "older.nc"))
    assert '"two": {"method": "gradient"' in read.attrs["methods"]
    assert read.attrs["methods"].count("speaks_of") == 1


def test_exact_maps_of_two_kinds_get_no_agreement_of_signs(planes, rng):
    """On f = 3a - 2b + c both are right, and their signs differ wherever a value is negative."""
    x = {"x": rng.standard_normal((30, 3))}
    names = ("gradient", "smoothgrad", "integrated_gradients", "input_x_gradient")
    zero = {"x": np.zeros((2, 3))}
    record = xm.compare(planes, x, names, background=zero, settings=FAST).record
    assert {m.label: m.speaks_of for m in record.methods} == {
        "gradient": "sensitivity",
        "smoothgrad": "sensitivity",
        "integrated_gradients": "attribution",
        "input_x_gradient": "attribution",
    }
    signs = [s for s in record.scores if s.metric in ("sign_agreement", "signed_rank_agreement")]
    of_growth = {"gradient", "smoothgrad"}
    for score in signs:
        if (score.method in of_growth) == (score.other in of_growth):
            assert score.role != "value" or score.estimate == 1.0
        else:
            assert score.estimate is None
    (note,) = {s.note for s in signs if (s.method, s.other) == ("gradient", "integrated_gradients")}
    assert note == (
        "not defined: gradient speaks of sensitivity (what happens when a feature grows) and integrated_gradients of "
        "attribution (what a feature's present value did)"
    )
    # What no sign enters into is measured as ever.
    assert all(s.estimate is not None for s in record.scores if s.metric == "feature_agreement" and s.role == "value")


def test_the_sign_of_a_sensitivity_is_no_violation(planes, rng):
    x = {"x": rng.standard_normal((30, 3))}
    record = xm.compare(planes, x, ["gradient", "integrated_gradients"], metrics=["violation"], settings=FAST).record
    of = {s.method: s for s in record.scores}
    assert of["integrated_gradients"].estimate == 0
    assert of["gradient"].estimate is None
    assert of["gradient"].note == f"not defined: the map speaks of {meaning('sensitivity')}"


def test_records_say_it_and_older_ones_are_read_without(planes, rng):
    x = {"x": rng.standard_normal((12, 3))}
    written = xm.compare(planes, x, ["gradient"], metrics=["gini"], settings=FAST).to_dict()
    assert written["methods"][0]["speaks_of"] == "sensitivity"
    del written["methods"][0]["speaks_of"]
    assert check(written).methods[0].speaks_of is None
    assert "speaks_of" not in plain(check(written))["methods"][0]
    written["methods"][0]["speaks_of"] = "importance"
    with pytest.raises(ValueError, match="speaks_of"):
        check(written)
