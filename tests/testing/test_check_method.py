"""The contract of methods holds for every one that is installed, and catches one broken in one clause at a time."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.tree import DecisionTreeRegressor

from tests.helpers import toys
from tests.helpers.attending import Attending
from tests.helpers.frameworks import needs
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Attribution
from xai_mimo.core.plugins import adapt, load_plugin, plugins
from xai_mimo.core.targets import take
from xai_mimo.explainers import (
    ExpectedGradients,
    IntegratedGradients,
    Interception,
    Occlusion,
    Shapley,
    SmoothGrad,
)
from xai_mimo.testing import check_method
from xai_mimo.testing.toy_model import ToyModel

pytestmark = pytest.mark.all_frameworks


def attention():
    model = toys.attention(raw=True)
    return {"model": model, "inputs": toys.rows(model), "zero_where_unused": False}


def attending():
    model = Attending()
    rows = np.random.default_rng(0).normal(size=(6, 4, 2)).astype("float32")
    return {"model": model, "inputs": {"series": rows}, "zero_where_unused": False}


def fitted(estimator, rule):
    """An estimator of two streams and two heads, of which one reads one stream alone."""
    rows = np.random.default_rng(0).normal(size=(60, 3))
    estimator.fit(rows, np.stack([rule(rows[:, 0], rows[:, 1]), rule(rows[:, 0], rows[:, 2])], axis=1))
    like = {"u": rows[:6, :2], "v": rows[:6, 2:]}
    return {"model": adapt(estimator, like=like), "inputs": like, "uses_background": True}


OPTIONS = {
    "gradient": {"uses_background": False},
    "input_x_gradient": {"uses_background": False},
    "integrated_gradients": {"uses_background": False},
    "captum.IntegratedGradients": {"uses_background": False, "tolerance": 1e-5},
    "captum.Saliency": {"uses_background": False},
    "captum.InputXGradient": {"uses_background": False},
    "captum.GradientShap": {"complete": None, "uses_background": True},
    "captum.NoiseTunnel": {"uses_background": False},
    "captum.FeatureAblation": {"uses_background": False},
    "captum.Occlusion": {"uses_background": False},
    "captum.FeaturePermutation": {"uses_background": True},
    "captum.ShapleyValues": {"uses_background": False},
    "captum.ShapleyValueSampling": {"uses_background": False},
    "captum.KernelShap": {"uses_background": False, "zero_where_unused": False},
    "captum.Lime": {"uses_background": False, "zero_where_unused": False},
    "occlusion": {"uses_background": False},
    "expected_gradients": {"complete": None, "uses_background": True},
    "shapley": {"uses_background": True},
    "shap.permutation": {"uses_background": True},
    "shap.kernel": {"uses_background": True},
    "shap.exact": {"uses_background": True},
    "shap.sampling": {"uses_background": True},
    "shap.partition": {"uses_background": True},
    "shap.coalition": {"uses_background": True},
    "shap.additive": {"complete": None},  # only of models that add up
    "shap.gradient": {"complete": None, "uses_background": True},
    "shap.tree": fitted(MultiOutputRegressor(DecisionTreeRegressor(max_depth=3)), lambda a, b: a * (b > 0)),
    "shap.linear": fitted(Ridge(), lambda a, b: a - 2 * b),
    "shapiq.KernelSHAP": {"uses_background": True},
    "shapiq.UnbiasedKernelSHAP": {"uses_background": True},
    "shapiq.SVARM": {"uses_background": True},
    "lime.tabular": {"complete": None, "zero_where_unused": False},
    "interception": attention(),
    "attention_map": attending(),
    "attention_rollout": attending(),
    "attention_flow": attending(),
}
"""What a method by its name is promised beyond the defaults."""
SMALL = {"shap.sampling": {"samples": 60}, "shap.gradient": {"samples": 8}, "lime.tabular": {"samples": 200}}
"""Settings of methods that take long with their own."""
ON_POSITIONS = {"grad_cam", "cam", "position_maps"}
"""Methods that need a model with positions: test_methods_on_positions.py."""
ON_DEVICES = {"shap.gpu_tree"}
"""Methods that need a device which need not be here: tests/adapters/shap_methods/test_tree.py sees the refusal."""
# fmt: off
OF_MODULES = {
    "captum.Deconvolution", "captum.DeepLift", "captum.DeepLiftShap", "captum.GuidedBackprop", "captum.GuidedGradCam",
    "captum.InternalInfluence", "captum.LRP", "captum.LayerConductance", "captum.LayerGradCam", "shap.deep",
}
# fmt: on
"""Methods that hook PyTorch modules: tests/adapters/{captum_methods,shap_methods} hold them to the contract."""


@needs("captum", "shap", "shapiq", "lime", "torch")
@pytest.mark.parametrize("name", sorted(set(plugins("xai_mimo.methods")) - ON_POSITIONS - ON_DEVICES - OF_MODULES))
def test_every_method_keeps_the_contract(name):
    method = load_plugin(plugins("xai_mimo.methods")[name])(**SMALL.get(name, {}))
    assert method.name == name
    check_method(method, **OPTIONS.get(name, {}))


OTHER_SETTINGS = {
    "background of gradients": (IntegratedGradients(steps=16, baseline="background"), {"uses_background": True}),
    "values as baseline": (
        IntegratedGradients(baseline={"u": [1.0, 0.0, -1.0], "v": [0.5, 0.5]}),
        {"uses_background": False},
    ),
    "streams occluded": (Occlusion(players="streams", baseline="background"), {"uses_background": True}),
    "streams as players": (Shapley(players="streams"), {"uses_background": True}),
    "few permutations": (Shapley(budget=20), {}),
    "few copies": (SmoothGrad(samples=4), {}),
    "few samples": (ExpectedGradients(samples=5), {"complete": None}),
    "contribution": (Interception(kind="contribution"), attention()),
    "contribution from background": (Interception(kind="contribution", baseline="background"), attention()),
    "attention x input": (Interception(kind="attention_x_input"), attention()),
}


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_settings_other_than_the_defaults_keep_it_too(name):
    method, options = OTHER_SETTINGS[name]
    check_method(method, **options)


@dataclass(frozen=True)
class Right:
    """Occlusion by the background's mean row, written slowly: what each broken method below is made of."""

    scale: float = 1.0

    name: ClassVar[str] = "right"
    reference: ClassVar[str] = "nobody2025right"
    bibtex: ClassVar[str] = "@misc{nobody2025right, title = {Right}}"

    def __call__(self, model, inputs, selectors, context):
        away = {name: x.mean(axis=0, keepdims=True) for name, x in context.background.items()}
        prediction = take(model.predict(inputs), selectors)
        values = {}
        for name, x in inputs.items():
            values[name] = np.zeros((len(selectors), *x.shape))
            for column in range(x.shape[1]):
                without = x.copy()
                without[:, column] = away[name][:, column]
                lost = prediction - take(model.predict({**inputs, name: without}), selectors)
                values[name][:, :, column] = self.scale * lost
        context.advance(len(prediction[0]))
        return self.changed(Attribution(values, prediction), inputs, context)

    def changed(self, answer, inputs, context):
        return answer


def test_a_right_method_keeps_the_contract():
    check_method(Right(), uses_background=None)


def with_values(answer, change):
    return replace(answer, values={name: change(v) for name, v in answer.values.items()})


@dataclass(frozen=True)
class Broken(Right):
    """Each subclass says in its docstring what the contract must answer."""


class Thawed:
    """Thawed is no dataclass"""

    name, reference = "thawed", ""


@dataclass
class NotFrozen:
    """NotFrozen is not frozen"""

    name: ClassVar[str] = "not_frozen"
    reference: ClassVar[str] = ""


@dataclass(frozen=True)
class NoReference(Broken):
    """NoReference.reference is None; expected text"""

    reference: ClassVar[Any] = None


@dataclass(frozen=True)
class NameIsASetting(Broken):
    """NameIsASetting.name is a setting; make it a ClassVar"""

    name: str = "settable"  # type: ignore[misc]


@dataclass(frozen=True)
class NoName(Broken):
    """NoName.name is empty"""

    name: ClassVar[str] = " "


@dataclass(frozen=True)
class EntryOfAnotherKey(Broken):
    """is no BibTeX entry of the key 'nobody2025right'"""

    bibtex: ClassVar[str] = "@misc{somebody2024, title = {Right}}"


@dataclass(frozen=True)
class KeyOfNothing(Broken):
    """reference is 'nobody2025right', which nothing describes; give KeyOfNothing.bibtex"""

    bibtex: ClassVar[str] = ""


@dataclass(frozen=True)
class SettingsOfFunctions(Broken):
    """settings of SettingsOfFunctions cannot be recorded as JSON"""

    rule: Any = max


@dataclass(frozen=True)
class SettingsOfNaN(Broken):
    """cannot be recorded as JSON"""

    limit: float = float("nan")


@dataclass(frozen=True)
class SettingsThatMove(Broken):
    """\\(\\*\\*its own settings\\) has other settings"""

    steps: int = 1

    def __post_init__(self):
        object.__setattr__(self, "steps", self.steps + 1)


@dataclass(frozen=True)
class GivesADictionary(Broken):
    """gives a dict; expected core.method.Attribution"""

    def changed(self, answer, inputs, context):
        return answer.values


@dataclass(frozen=True)
class ForgetsAStream(Broken):
    """values are of \\['u'\\]; the streams are \\['u', 'v'\\]"""

    def changed(self, answer, inputs, context):
        return replace(answer, values={"u": answer.values["u"]})


@dataclass(frozen=True)
class SampleFirst(Broken):
    """values of 'u' have shape \\(6, 5, 3\\); expected one of"""

    def changed(self, answer, inputs, context):
        return with_values(answer, lambda v: v.swapaxes(0, 1))


@dataclass(frozen=True)
class ValuesOfNaN(Broken):
    """values of 'u' holds NaN"""

    def changed(self, answer, inputs, context):
        return with_values(answer, lambda v: v * np.nan)


@dataclass(frozen=True)
class ValuesInLists(Broken):
    """values of 'u' is ndarray of object; expected numbers"""

    def changed(self, answer, inputs, context):
        return with_values(answer, lambda v: v.astype(object))


@dataclass(frozen=True)
class NegativeErrors(Broken):
    """standard_error of 'u' holds negative numbers"""

    def changed(self, answer, inputs, context):
        return replace(answer, standard_error={name: 0 * v - 1 for name, v in answer.values.items()})


@dataclass(frozen=True)
class DrawsWithoutErrors(Broken):
    """draws are given without the standard errors that they are of"""

    def changed(self, answer, inputs, context):
        return replace(answer, draws=np.full(answer.prediction.shape, 4), standard_error=None)


@dataclass(frozen=True)
class OneDraw(Broken):
    """draws are not whole numbers of at least 2"""

    def changed(self, answer, inputs, context):
        error = {name: np.abs(v) for name, v in answer.values.items()}
        return replace(answer, draws=np.ones(answer.prediction.shape, dtype=int), standard_error=error)


@dataclass(frozen=True)
class DrawsPerRow(Broken):
    """draws has shape \\(6,\\); expected \\(target, sample\\)"""

    def changed(self, answer, inputs, context):
        error = {name: np.abs(v) for name, v in answer.values.items()}
        return replace(answer, draws=np.full(answer.prediction.shape[1], 4), standard_error=error)


@dataclass(frozen=True)
class ErrorsOfOneStream(Broken):
    """standard_error of 'v' has not the shape of its values"""

    def changed(self, answer, inputs, context):
        return replace(answer, standard_error={"u": 0 * answer.values["u"]})


@dataclass(frozen=True)
class DiagnosticsPerRow(Broken):
    """evaluations has shape \\(6,\\); expected \\(target, sample\\)"""

    def changed(self, answer, inputs, context):
        return replace(answer, diagnostics={"evaluations": np.ones(answer.prediction.shape[1])})


@dataclass(frozen=True)
class OtherPredictions(Broken):
    """the method's answer differs in 'prediction'"""

    def changed(self, answer, inputs, context):
        return replace(answer, prediction=answer.prediction + 1)


@dataclass(frozen=True)
class UnexplainedWithValues(Broken):
    """'u' is called unexplained and has values"""

    def changed(self, answer, inputs, context):
        return replace(answer, unexplained=("u",))


@dataclass(frozen=True)
class UnexplainedOfNothing(Broken):
    """unexplained names \\['w'\\], which are no streams"""

    def changed(self, answer, inputs, context):
        return replace(answer, unexplained=("w",))


@dataclass(frozen=True)
class RandomOfItsOwn(Broken):
    """a second run with the same seed differs"""

    def changed(self, answer, inputs, context):
        return with_values(answer, lambda v: v * np.random.default_rng().random())


@dataclass(frozen=True)
class TouchesTheGlobalGenerator(Broken):
    """changes NumPy's global generator"""

    def changed(self, answer, inputs, context):
        np.random.random()  # noqa: NPY002
        return answer


@dataclass(frozen=True)
class ChangesTheInputs(Broken):
    """changes the inputs"""

    def changed(self, answer, inputs, context):
        inputs["u"][0, 0] += 1e-9
        return answer


@dataclass(frozen=True)
class ChangesTheBackground(Broken):
    """changes the background"""

    def changed(self, answer, inputs, context):
        context.background["u"] += 1e-9
        return answer


@dataclass(frozen=True)
class ScaledByTheBlock(Broken):
    """one row, explained without the others, differs"""

    def changed(self, answer, inputs, context):
        return with_values(answer, lambda v: v / (1e-9 + np.abs(v).max()))


@dataclass(frozen=True)
class OneRowBecomesNone(Broken):
    """one row.* gives shape"""

    def changed(self, answer, inputs, context):
        return with_values(answer, lambda v: v.squeeze(axis=1) if v.shape[1] == 1 else v)


@dataclass(frozen=True)
class PredictionOfOneRowIsFlat(Broken):
    """one row does not give one prediction per target"""

    def changed(self, answer, inputs, context):
        prediction = answer.prediction
        return replace(answer, prediction=prediction[:, 0] if prediction.shape[1] == 1 else prediction)


@dataclass(frozen=True)
class UnitOfTheFirstRow(Broken):
    """head 'kind', with a unit for each row, differs"""

    def __call__(self, model, inputs, selectors, context):
        first = [s._replace(units=np.full_like(s.units, s.units[0])) for s in selectors]
        answer = super().__call__(model, inputs, first, context)
        return replace(answer, prediction=take(model.predict(inputs), selectors))


@dataclass(frozen=True)
class SilentProgress(Broken):
    """context.advance was told of 0 rows; there are 6"""

    def __call__(self, model, inputs, selectors, context):
        return super().__call__(model, inputs, selectors, replace(context, advance=lambda rows: None))


@dataclass(frozen=True)
class KeepsAMemory(Broken):
    """a block, explained before another one, differs"""

    seen: ClassVar[list] = []

    def changed(self, answer, inputs, context):
        self.seen.append(len(inputs["u"]))
        return with_values(answer, lambda v: v * (1 + (self.seen[-2:] == [1, 5])))


@dataclass(frozen=True)
class SumsToSomethingElse(Broken):
    """values miss f\\(x\\) - baseline_prediction by up to"""

    def changed(self, answer, inputs, context):
        return replace(answer, baseline_prediction=answer.prediction - 1)


@dataclass(frozen=True)
class SomethingEverywhere(Broken):
    """'still:0' does not read 'u', and is given"""

    def changed(self, answer, inputs, context):
        return with_values(answer, lambda v: v + 1e-8)


@dataclass(frozen=True)
class NumPysErrors(Broken):
    """a model that only predicts is refused with AttributeError .* expected NotSupported"""

    def changed(self, answer, inputs, context):
        return answer

    def __call__(self, model, inputs, selectors, context):
        model.gradients  # noqa: B018
        return super().__call__(model, inputs, selectors, context)


@dataclass(frozen=True)
class AnotherOfOurErrors(Broken):
    """a model that only predicts is refused with BadSetting; expected NotSupported"""

    def __call__(self, model, inputs, selectors, context):
        if not hasattr(model, "gradients"):
            raise BadSetting("no.")
        return super().__call__(model, inputs, selectors, context)


@pytest.mark.parametrize("kind", [Thawed, NotFrozen, *Broken.__subclasses__()], ids=lambda kind: kind.__name__)
def test_a_broken_method_is_caught(kind):
    with pytest.raises(AssertionError, match=kind.__doc__):
        check_method(kind())


@dataclass(frozen=True)
class FromZero(Right):
    """Answers as if the background were zeros."""

    def __call__(self, model, inputs, selectors, context):
        zeros = {name: 0 * x for name, x in context.background.items()}
        return super().__call__(model, inputs, selectors, replace(context, background=zeros))


@pytest.mark.parametrize(
    ("method", "uses", "text"),
    [
        (FromZero(), True, "another background gives the same values"),
        (Right(), False, "another background gives other values"),
        (SmoothGrad(samples=2), True, "a row that equals the background is given"),
    ],
    ids=repr,
)
def test_a_background_that_is_not_used_as_promised_is_caught(method, uses, text):
    with pytest.raises(AssertionError, match=text):
        check_method(method, uses_background=uses)


def test_a_model_needs_its_rows():
    with pytest.raises(AssertionError, match="needs inputs of four rows or more; got 3"):
        check_method(Right(), ToyModel(), {"u": np.ones((3, 3)), "v": np.ones((3, 2))})
