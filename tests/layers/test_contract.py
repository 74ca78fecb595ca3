"""Every layer of ours passes the contract; a layer that breaks it in one way fails with a sentence about that way."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.helpers.frameworks import needs
from xai_mimo.layers import MAIL, MIMOAttentionLayer
from xai_mimo.sowing import sow
from xai_mimo.testing import backends, check_backends, check_layer
from xai_mimo.testing.layer_contract import DTYPES

MAPS = {"attention": ("head", "feature"), "context": ("head", "feature"), "contribution": ("target", "feature")}


def inputs(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


@pytest.mark.parametrize("scoring", ["dense", "stream", "local", "additive", "static"])
def test_mail_keeps_the_contract(scoring):
    streams = {"u": inputs(4, 3), "v": inputs(4, 2)}
    check_layer(
        lambda: MAIL({"a": 1, "b": 2}, hidden_units=3, scoring=scoring, streams="hierarchical"),
        streams,
        maps={**MAPS, "stream_attention": ("head", "stream")},
        dtypes=DTYPES if scoring == "dense" else ("mixed_float16",),
    )


def test_the_published_layer_keeps_the_contract():
    check_layer(lambda: MIMOAttentionLayer(2, [1, 2], 3), [inputs(4, 3), inputs(4, 2)], maps=MAPS, dtypes=())


@needs("jax", "tensorflow", "torch")
@pytest.mark.all_frameworks
def test_mail_gives_the_same_numbers_on_three_backends():
    layer = MAIL([2, 1], scoring="dense", rescale=True, streams="hierarchical", normalizer="sparsemax")
    streams = [inputs(5, 3), inputs(5, 4)]
    layer([ops.convert_to_tensor(x) for x in streams])
    check_backends(layer, streams)


@keras.saving.register_keras_serializable(package="xai_mimo_tests")
class Gate(keras.layers.Layer):
    """A small layer that keeps the contract, and breaks it in the way it is told to."""

    def __init__(self, flaw="", **kwargs):
        super().__init__(**kwargs)
        self.flaw = flaw

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1],), initializer="ones", name="kernel")
        if self.flaw == "idle":
            self.idle = self.add_weight(shape=(1,), initializer="ones", name="idle")

    def call(self, x):
        if self.flaw == "narrow output":
            x = ops.cast(ops.cast(x, "float32"), x.dtype)
        gate = ops.sigmoid(x * self.kernel)
        if self.flaw == "narrow map":
            gate = ops.cast(gate, "float32")
        if self.flaw == "nan map":
            gate = gate * float("nan")
        axes = ("time",) if self.flaw == "axes" else ("feature",)
        labels = ["only one"] if self.flaw == "labels" else [str(i) for i in range(x.shape[-1])]
        if self.flaw != "silent":
            sow(self, "gate", gate, axes=axes, coords={axes[0]: labels})
        if self.flaw == "hoards":
            object.__setattr__(self, "last", gate)
        kernel = ops.cast(ops.cast(self.kernel, "float32"), x.dtype) if self.flaw == "narrow weight" else self.kernel
        y = x * ops.sigmoid(x * kernel)
        if self.flaw == "idle":
            y = y + 0.0 * self.idle
        return ops.cast(y, "float32") if self.flaw == "dtype" else y

    def compute_output_shape(self, shape):
        return (*shape[:-1], 1) if self.flaw == "shape" else shape

    def get_config(self):
        return {**super().get_config(), "flaw": self.flaw, **({"extra": id(self)} if self.flaw == "config" else {})}

    @classmethod
    def from_config(cls, config):
        config.pop("extra", None)
        return cls(**config)


def check(flaw):
    check_layer(lambda: Gate(flaw), inputs(4, 3), maps={"gate": ("feature",)}, dtypes=("mixed_float16",))


def test_a_good_layer_passes():
    check("")


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("config", "config 'extra' is"),
        ("shape", r"compute_output_shape promises \(4, 1\); the outputs have \(4, 3\)"),
        ("silent", r"the layer sows the maps \[\]; expected \['gate'\]"),
        ("nan map", "map 'gate' holds NaN"),
        ("axes", r"map 'gate' has the axes \('time',\)"),
        ("labels", "map 'gate' has 1 labels 'feature' for 3 entries"),
        ("dtype", "policy mixed_float16 gives an output of float32"),
        ("idle", "three training steps leave the weight 'idle'"),
        ("hoards", "keeps a tensor in its attribute 'last'"),
    ],
)
def test_a_broken_layer_fails(flaw, message):
    with pytest.raises(AssertionError, match=message):
        check(flaw)


def test_float64_is_checked_as_such_and_leaves_no_64_bit_mode_behind(monkeypatch):
    seen, call = set(), Gate.call

    def watched(self, x):
        seen.add(keras.backend.standardize_dtype(x.dtype))
        return call(self, x)

    monkeypatch.setattr(Gate, "call", watched)
    check_layer(Gate, inputs(4, 3), maps={"gate": ("feature",)}, dtypes=("float64",))
    assert seen == {"float32", "float64"}
    if keras.backend.backend() == "jax":
        import jax

        assert not jax.config.jax_enable_x64


@pytest.mark.parametrize(
    ("flaw", "what"), [("narrow output", "output 0"), ("narrow weight", "output 0"), ("narrow map", "map 'gate'")]
)
def test_a_layer_of_float64_that_rounds_to_float32_on_the_way_fails(flaw, what):
    with pytest.raises(AssertionError, match=rf"policy float64 gives {what} with rounding of .*, as of float32"):
        check_layer(lambda: Gate(flaw), inputs(4, 3), maps={"gate": ("feature",)}, dtypes=("float64",))


def test_a_backend_that_differs_is_named():
    here = keras.backend.backend()
    other = "torch" if here != "torch" else "jax"
    ours, theirs = {"output 0": np.ones(3)}, {"output 0": np.array([1.0, 1.0, 1.1])}
    with pytest.raises(AssertionError, match=rf"output 0 differs by 0.1 between '{here}' and '{other}'"):
        backends._compare(ours, theirs, other, 1e-5)
    with pytest.raises(AssertionError, match=rf"backend '{other}' gives \['output 0'\]; '{here}' gives \[\]"):
        backends._compare({}, theirs, other, 1e-5)
    with pytest.raises(AssertionError, match="output 0 differs by nan"):
        backends._compare({"output 0": np.full(3, np.nan)}, theirs, other, 1e-5)


def test_a_function_or_a_shared_layer_is_refused():
    shared = Gate()
    with pytest.raises(AssertionError, match="gives the same layer twice"):
        check_layer(lambda: shared, inputs(4, 3), maps={})
    with pytest.raises(AssertionError, match="not a Keras layer"):
        check_layer(lambda: ops.sigmoid, inputs(4, 3), maps={})
