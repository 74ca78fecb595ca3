"""The contract of adapters holds for a right one, and catches one that is broken in one clause at a time."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.adapted_net import Net, NetAdapter, Top
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.streams import Head, Stream
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks


@pytest.fixture
def rows():
    rng = np.random.default_rng(4)
    return {"u": rng.standard_normal((6, 3)).astype("float32"), "v": rng.standard_normal((6, 2)).astype("float32")}


def check(kind, rows, net=None, **options):
    """The whole contract, with every option that the network has."""
    net = net or Net()

    def change_weights():
        net.weights["a"] = net.weights["a"] + 1
        net.weights["K"] = net.weights["K"][::-1].copy()

    options = {
        "state": net.state,
        "broken": net.broken,
        "limited": lambda memory: kind(net, rows=1),
        "passes": lambda: net.passes,
        "change_weights": change_weights,
        **options,
    }
    check_adapter(kind(net), rows, **options)


def test_a_right_adapter_keeps_the_contract(rows):
    check(NetAdapter, rows)


class Broken(NetAdapter):
    """Fails in one clause; each subclass says in its docstring what the contract must answer."""


class NoFingerprint(Broken):
    """fingerprint\\(\\) is None; expected hexadecimal digits"""

    def fingerprint(self):
        return None


class FingerprintIsProperty(Broken):
    """fingerprint is no method"""

    fingerprint = "00"


class NewFingerprintEachTime(Broken):
    """fingerprint\\(\\) differs between two calls"""

    calls = 0

    def fingerprint(self):
        self.calls += 1
        return str(self.calls)


class FingerprintInInferenceMode(Broken):
    """asking for members and the fingerprint changes training"""

    def fingerprint(self):
        self.net.training = False
        return super().fingerprint()


class FingerprintOfNothing(Broken):
    """fingerprint\\(\\) is the same after the weights changed"""

    def fingerprint(self):
        return "00" if self.size is None else "01"


class StreamsInAList(Broken):
    """streams is \\[.*expected a tuple of Stream objects"""

    streams = list(NetAdapter.streams)


class NoHeads(Broken):
    """heads is \\(\\); expected a tuple of Head objects, one or more"""

    heads = ()


class TwoHeadsOfOneName(Broken):
    """two heads share a name: level, level"""

    heads = (Head("level"), Head("level"))


class HalfSplittable(Broken):
    """has tail, activations, layer_streams and no layers: a capability is there as a whole \\(Splittable\\)"""

    layers = property()


class HeadsInAnotherOrder(Broken):
    """predict gives the heads \\['kind', 'level'\\]; expected \\['level', 'kind'\\]"""

    def predict(self, inputs):
        return dict(reversed(super().predict(inputs).items()))


class FlatHead(Broken):
    """head 'level' has shape \\(6,\\); expected \\(6, 1\\)"""

    def predict(self, inputs):
        outputs = super().predict(inputs)
        return outputs | {"level": outputs["level"][:, 0]}


class HeadsAsLists(Broken):
    """head 'level' is a list; expected an array"""

    def predict(self, inputs):
        return {name: y.tolist() for name, y in super().predict(inputs).items()}


class NarrowHeads(Broken):
    """head 'level' has dtype float16; expected float32 or float64"""

    def predict(self, inputs):
        return {name: y.astype("float16") for name, y in super().predict(inputs).items()}


class HeadsOfNaN(Broken):
    """head 'level' holds NaN or infinite values"""

    def predict(self, inputs):
        return {name: y * np.nan for name, y in super().predict(inputs).items()}


class InTrainingMode(Broken):
    """predict, called a second time, differs in 'level'"""

    def inference(self):
        return Net.broken(Net())  # a context that does nothing to this network


class RowsInfluenceEachOther(Broken):
    """predict on one row differs in 'level'"""

    def predict(self, inputs):
        outputs = super().predict(inputs)
        return outputs | {"level": outputs["level"] - outputs["level"].mean()}


class LosesAHeadOnOneRow(Broken):
    """predict on one row gives \\['level'\\]; expected \\['kind', 'level'\\]"""

    def predict(self, inputs):
        outputs = super().predict(inputs)
        return outputs if len(outputs["kind"]) > 1 else {"level": outputs["level"]}


class SixRowsAtMost(Broken):
    """predict on 13 rows gives shape \\(6, 1\\) for 'level'; expected \\(13, 1\\)"""

    def predict(self, inputs):
        return {name: y[:6] for name, y in super().predict(inputs).items()}


class ListsInReverse(Broken):
    """predict, given a list, fails with ShapeMismatch"""

    def read(self, inputs):
        return super().read(list(reversed(inputs)) if isinstance(inputs, list) else inputs)


class OrderOfTheCaller(Broken):
    """predict, given a mapping in another order, differs"""

    def predict(self, inputs):
        outputs = super().predict(inputs)
        return {n: y + (next(iter(inputs)) == "v" if isinstance(inputs, dict) else 0) for n, y in outputs.items()}


class NarrowInputsAreScaled(Broken):
    """predict, given float16 inputs, differs"""

    def predict(self, inputs):
        outputs = super().predict(inputs)
        narrow = isinstance(inputs, dict) and inputs["u"].dtype == "float16"
        return {name: y * (1 + narrow) for name, y in outputs.items()}


class ColumnsAsTheyCome(Broken):
    """predict, given data frames with their columns in another order, differs"""

    def read(self, inputs):
        if isinstance(inputs, dict):
            inputs = {name: np.asarray(x) for name, x in inputs.items()}
        return super().read(inputs)


class TakesNaN(Broken):
    """predict, given NaN in 'u', raises nothing; expected BadValues"""

    def read(self, inputs):
        clean = {n: np.nan_to_num(x) for n, x in inputs.items()} if isinstance(inputs, dict) else inputs
        return super().read(clean if isinstance(inputs, dict) and not hasattr(inputs["u"], "columns") else inputs)


class ErrorsOfNumPy(Broken):
    """predict, given 'u' without its batch axis, raises ValueError.*expected ShapeMismatch"""

    def read(self, inputs):
        if isinstance(inputs, dict) and np.ndim(inputs.get("u", 0)) == 1:
            raise ValueError("operands could not be broadcast")
        return super().read(inputs)


class ErrorsWithoutNames(Broken):
    """predict, given no 'u', raises UnknownName that does not name 'u'"""

    def read(self, inputs):
        if isinstance(inputs, dict) and "u" not in inputs:
            from xai_mimo.core.errors import UnknownName

            raise UnknownName("bad inpt")
        return super().read(inputs)


class ChangesTheInputs(Broken):
    """predict: it changes u"""

    def predict(self, inputs):
        outputs = super().predict(inputs)
        if isinstance(inputs, dict) and isinstance(inputs["u"], np.ndarray):
            inputs["u"] *= 1 + 1e-7 * (len(inputs["u"]) == 6)
        return outputs


class LeavesTheMode(Broken):
    """changes training; it must be left as it was"""

    def predict(self, inputs):
        outputs = super().predict(inputs)
        self.net.training = False
        return outputs


class LeavesTheModeAfterAnError(Broken):
    """an error inside the model changes training"""

    def inference(self):
        from contextlib import contextmanager

        @contextmanager
        def careless():
            mode, self.net.training = self.net.training, False
            yield
            self.net.training = mode

        return careless()


class SwallowsErrors(Broken):
    """predict swallows the error of a model that fails"""

    def predict(self, inputs):
        try:
            return super().predict(inputs)
        except RuntimeError:
            return {}


class KeepsOldOutputs(Broken):
    """predict gives the outputs of the old weights"""

    kept = None

    def predict(self, inputs):
        if len(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs[0]) != 6:
            return super().predict(inputs)
        made = super().predict(inputs)
        key = b"".join(np.asarray(x).tobytes() for x in (inputs.values() if isinstance(inputs, dict) else inputs))
        self.kept = self.kept or {}
        return self.kept.setdefault(key, made)


class Wrapped(Broken):
    """Changes what ``gradients`` gives."""

    def gradients(self, inputs, selectors, streams=None):
        return self.other(*super().gradients(inputs, selectors, streams), selectors)


class GradientsWithOtherOutputs(Wrapped):
    """gradients' own outputs against predict: it differs in 'level'"""

    def other(self, outputs, gradients, selectors):
        return outputs | {"level": outputs["level"] + 1}, gradients


class GradientsWithoutRows(Wrapped):
    """the gradient by 'u' has shape \\(5, 3\\); expected \\(5, 6, 3\\)"""

    def other(self, outputs, gradients, selectors):
        return outputs, {name: g.mean(axis=1) for name, g in gradients.items()}


class GradientsOfNaN(Wrapped):
    """the gradient by 'u' holds NaN"""

    def other(self, outputs, gradients, selectors):
        return outputs, {name: g * np.nan for name, g in gradients.items()}


class GradientsOfOneStreamAreOthers(Broken):
    """gradients\\(streams=\\['u'\\]\\) differs in 'u'"""

    def gradients(self, inputs, selectors, streams=None):
        outputs, gradients = super().gradients(inputs, selectors, streams)
        return outputs, {name: g * (2 if streams == ["u"] else 1) for name, g in gradients.items()}


class GradientsOfTheWrongSign(Wrapped):
    """the gradient of 'level:0' by 'u' differs by .* from differences of predictions"""

    def other(self, outputs, gradients, selectors):
        return outputs, {name: -g for name, g in gradients.items()}


class GradientsOfOneStreamOnly(Broken):
    """gradients gives the streams \\['u'\\]; expected \\['u', 'v'\\]"""

    def gradients(self, inputs, selectors, streams=None):
        return super().gradients(inputs, selectors, ["u"])


class StreamsAskedForAreForgotten(Broken):
    """gradients\\(streams=\\['u'\\]\\) gives \\['u', 'v'\\]"""

    def gradients(self, inputs, selectors, streams=None):
        return super().gradients(inputs, selectors)


class GradientsAreSummed(Wrapped):
    """the gradient of 'kind:0' alone differs"""

    def other(self, outputs, gradients, selectors):
        return outputs, {name: np.broadcast_to(g.sum(axis=0), g.shape) for name, g in gradients.items()}


class UnitOfTheFirstRow(Broken):
    """the gradient of head 'kind', a unit for each row, differs"""

    def gradients(self, inputs, selectors, streams=None):
        first = [s._replace(units=np.full_like(s.units, s.units[0])) for s in selectors]
        return super().gradients(inputs, first, streams)


class NearlyZero(Wrapped):
    """'kind:0' does not read 'v', and its gradient there is not exactly zero"""

    def other(self, outputs, gradients, selectors):
        return outputs, {name: g + np.float32(1e-9) for name, g in gradients.items()}


class AForwardForEachTarget(Broken):
    """5 targets take 5 forward passes and one takes 1: all heads share one"""

    def gradients(self, inputs, selectors, streams=None):
        each = [super(AForwardForEachTarget, self).gradients(inputs, [s], streams) for s in selectors]
        return each[0][0], {name: np.concatenate([g[name] for _, g in each]) for name in each[0][1]}


class RefusesItsGradients(Broken):
    """has gradients and refuses: not today. A model that cannot is of a class without gradients"""

    def gradients(self, inputs, selectors, streams=None):
        raise NotSupported("not today.")


class WithMap(Broken):
    """Changes the map that ``intercept`` gives."""

    def intercept(self, inputs):
        return {key: self.other(m) for key, m in super().intercept(inputs).items()}


class MapsOfAnotherName(WithMap):
    """a map is called 'net/code/size'; expected 'net/code/length'"""

    def other(self, interception):
        return replace(interception, name="length")


class MapsWithoutRows(WithMap):
    """map 'net/code/size' has shape \\(5,\\); expected \\(6, feature\\)"""

    def other(self, interception):
        return replace(interception, values=interception.values.mean(axis=0))


class MapsOfNaN(WithMap):
    """map 'net/code/size' holds NaN"""

    def other(self, interception):
        return replace(interception, values=interception.values * np.nan)


class MapsWithTooFewLabels(WithMap):
    """has 2 labels 'feature' for 5 entries"""

    def other(self, interception):
        return replace(interception, coords={"feature": ("a", "b")})


class MapsWithLabelsOfNoAxis(WithMap):
    """labels an axis 'token' that it does not have"""

    def other(self, interception):
        return replace(interception, coords={"token": ("a",)})


class MapsOverTheBatch(WithMap):
    """intercept on one row differs"""

    def other(self, interception):
        return replace(interception, values=interception.values - interception.values.mean(axis=0))


class Overriding(Broken):
    """Changes the model that ``override`` gives."""

    def override(self, maps):
        return self.other(super().override(maps), maps)


class OverrideByItsOwnMapChanges(Overriding):
    """override of 'net/code/size' by the layer's own map: predict differs in 'level'"""

    def other(self, model, maps):
        model.size = 2 * model.size
        return model


class OverrideIsNotShown(Overriding):
    """intercept, after override of 'net/code/size', differs"""

    def other(self, model, maps):
        model.intercept = self.intercept
        return model


class OverrideWithOtherHeads(Overriding):
    """override of 'net/code/size' gives a model of other heads"""

    def other(self, model, maps):
        model.heads = model.heads[::-1]
        return model


class OverrideIsNotMarked(Overriding):
    """override of 'net/code/size' leaves the fingerprint as it was"""

    def other(self, model, maps):
        model.fingerprint = self.fingerprint
        return model


class OverrideOfAnything(Broken):
    """override of a map 'no_layer/map', raises nothing; expected UnknownName"""

    def override(self, maps):
        return super().override({"net/code/size": next(iter(maps.values()))[:, :1] * np.ones(5)})


class OverrideOfAnyWidth(Broken):
    """override of 'net/code/size' by a map of a wrong width, raises nothing; expected ShapeMismatch"""

    def override(self, maps):
        return super().override({key: size[..., :5] if key[:3] == "net" else size for key, size in maps.items()})


class OverrideInPlace(Broken):
    """override changes the model itself; it must give another one"""

    def override(self, maps):
        other = super().override(maps)
        self.size = 0.5 * other.size
        return other


class AnotherTail(Broken):
    """tail\\('top'\\) on activations at 'top' differs in 'level'"""

    def activations(self, inputs, layer):
        read = super().activations(inputs, layer)
        return read | {"code": 2 * read["code"]}


class TailOverTheBatch(Broken):
    """the part behind 'top', given one row, differs in 'level'"""

    def tail(self, layer):
        tail = super().tail(layer)
        right = tail.predict
        tail.predict = lambda inputs: {n: y + (len(y) == 1) for n, y in right(inputs).items()}
        return tail


class TailWithOtherHeads(Broken):
    """the part behind 'top' has the heads"""

    def tail(self, layer):
        super().tail(layer)
        tail = Top(self.net)
        tail.heads = tail.heads[:1]
        return tail


class ActivationsOfOtherNames(Broken):
    """activations at 'top' are \\['u', 'code'\\]; tail reads \\['code', 'u'\\]"""

    def activations(self, inputs, layer):
        return dict(reversed(super().activations(inputs, layer).items()))


class SourcesOfOtherStreams(Broken):
    """layer_streams\\('top'\\) speaks of \\['code'\\]; tail reads \\['code', 'u'\\]"""

    def layer_streams(self, layer):
        return {"code": ("u", "v")}


class SourcesThatAreNoStreams(Broken):
    """layer_streams\\('top'\\) has 'code' depend on \\['w'\\]"""

    def layer_streams(self, layer):
        return {"code": ("w",), "u": ("u",)}


class RawByNameAlone(Broken):
    """at 'top' the stream 'u' has a model input's name and is not that raw input"""

    def layer_streams(self, layer):
        return {"code": ("u", "v"), "u": ("u", "v")}


class AnyLayerWillDo(Broken):
    """tail\\('no_layer'\\), raises nothing; expected UnknownName"""

    def tail(self, layer):
        return Top(self.net)


class RefusesItsLayers(Broken):
    """has tail and refuses: not here. A model that cannot is of a class without tail"""

    def tail(self, layer):
        raise NotSupported("not here.")


class RandomisedSomehow(Broken):
    """randomisation is 'thoroughly'; expected 'shuffled' or 'drawn'"""

    randomisation = "thoroughly"


class RandomisedInPlace(Broken):
    """randomised changes the model itself|cutting|randomised.* changes weights"""

    def randomised(self, rng, layers=None):
        self.net.weights = super().randomised(rng, layers).net.weights
        return NetAdapter(self.net)


class RandomisedNotAtAll(Broken):
    """a randomised copy gives the model's own outputs"""

    def randomised(self, rng, layers=None):
        return self


class RandomisedWithoutTheSeed(Broken):
    """randomised with the same seed differs"""

    def randomised(self, rng, layers=None):
        return super().randomised(np.random.default_rng(), layers)


class RandomisedWithOtherHeads(Broken):
    """a randomised copy has other heads than the model"""

    def randomised(self, rng, layers=None):
        copy = super().randomised(rng, layers)
        copy.heads = (*copy.heads[:1], replace(copy.heads[1], kind="multilabel"))
        return copy


class LosesTheLastChunk(Broken):
    """predict, with memory for a row at a time, gives shape \\(12, 1\\) for 'level'; expected \\(13, 1\\)"""

    def predict(self, inputs):
        outputs = super().predict(inputs)
        return outputs if self.rows > 1 else {name: y[:-1] for name, y in outputs.items()}


def leaves(kind):
    under = kind.__subclasses__()
    return [leaf for sub in under for leaf in leaves(sub)] if under else [kind]


@pytest.mark.parametrize("kind", leaves(Broken), ids=lambda kind: kind.__name__)
def test_a_broken_adapter_is_caught(kind, rows):
    with pytest.raises(AssertionError, match=kind.__doc__):
        check(kind, rows)


def test_a_capability_that_is_not_there_is_not_asked_for(rows):
    check_adapter(Plain(Net()), rows)


def test_a_model_that_lacks_a_member_is_named(rows):
    class Nothing:
        streams = (Stream("u", (3,)),)

    with pytest.raises(AssertionError, match="Nothing has no 'heads', which every adapter has"):
        check_adapter(Nothing(), rows)


class Plain:
    """Predicts, and nothing more."""

    streams, heads = NetAdapter.streams, NetAdapter.heads

    def __init__(self, net):
        adapter = NetAdapter(net)
        self.fingerprint, self.predict = adapter.fingerprint, adapter.predict


def test_fewer_capabilities_with_little_memory_are_caught(rows):
    with pytest.raises(AssertionError, match="with little memory the model can 'predict'; else 'activations', "):
        check(NetAdapter, rows, limited=lambda memory: Plain(Net()))


def test_a_counter_that_stands_still_is_caught(rows):
    with pytest.raises(AssertionError, match=r"passes\(\) does not count: a gradient was taken and the number stayed"):
        check(NetAdapter, rows, passes=lambda: 3)


def test_a_model_that_is_randomised_in_place_is_caught_without_its_state(rows):
    with pytest.raises(AssertionError, match="randomised changes the model itself; it must work on a copy"):
        check_adapter(RandomisedInPlace(Net()), rows)


class Words:
    """y = 2 age + sum of the ids; the ids have no gradient."""

    streams = (Stream("words", (3,), dtype="int32", axes=("token",)), Stream("age", (1,), dtype="float64"))
    heads = (Head("y"),)

    def fingerprint(self):
        return "2a"

    def predict(self, inputs):
        x = check_inputs(inputs, self.streams)
        return {"y": 2 * x["age"] + x["words"].sum(axis=1, keepdims=True)}

    def gradients(self, inputs, selectors, streams=None):
        x = check_inputs(inputs, self.streams)
        if streams is None or "words" in streams:
            raise NotSupported("input stream 'words' holds integers.")
        return self.predict(x), {name: np.full((len(selectors), *x[name].shape), 2.0) for name in streams}


class GradientsOfIds(Words):
    """gradients are given by a stream of whole numbers; expected NotSupported"""

    def gradients(self, inputs, selectors, streams=None):
        x = check_inputs(inputs, self.streams)
        return self.predict(x), {n: np.full((len(selectors), *x[n].shape), 2.0) for n in streams or x}


class RefusesWithoutAName(Words):
    """gradients by a stream of whole numbers is refused without its name"""

    def gradients(self, inputs, selectors, streams=None):
        try:
            return super().gradients(inputs, selectors, streams)
        except NotSupported:
            raise NotSupported("integers.") from None


def test_streams_of_whole_numbers_are_held_or_refused_by_name():
    rows = {"words": np.arange(12).reshape(4, 3), "age": np.linspace(0, 1, 4)[:, None]}
    check_adapter(Words(), rows)
    for kind in (GradientsOfIds, RefusesWithoutAName):
        with pytest.raises(AssertionError, match=kind.__doc__):
            check_adapter(kind(), rows)


def test_one_row_is_too_little_to_check(rows):
    with pytest.raises(AssertionError, match="needs inputs of two rows or more"):
        check_adapter(NetAdapter(Net()), {name: x[:1] for name, x in rows.items()})
