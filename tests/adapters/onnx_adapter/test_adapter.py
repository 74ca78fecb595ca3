"""Models in ONNX: graphs made by hand against onnx's own evaluator, fixed batches, kinds of heads, refusals."""

import importlib.util
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import xai_mimo as xm
from xai_mimo.core.errors import (
    BadValues,
    FileProblem,
    LeftOutWarning,
    MissingDependency,
    NotSupported,
    ShapeMismatch,
    UnusedStreamWarning,
)
from xai_mimo.core.model import Differentiable
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks

FLOAT, INT64, DOUBLE = TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE


def tensor(name, values, dtype="float32"):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def model_of(nodes, inputs, outputs, weights=(), opset=17):
    """A model from nodes, ``{name: (type, shape)}`` and weights."""
    made = [
        [helper.make_tensor_value_info(name, kind, shape) if shape is not None else kind for name, (kind, shape) in i]
        for i in (inputs.items(), outputs.items())
    ]
    graph = helper.make_graph(list(nodes), "made_by_hand", *made, list(weights))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def network(batch, seed=0):
    """Two streams and one that nothing reads; a binary, a multiclass and a quantity without a unit axis."""
    rng = np.random.default_rng(seed)
    nodes = [
        helper.make_node("MatMul", ["table", "a"], ["mixed"]),
        helper.make_node("Tanh", ["mixed"], ["hidden"]),
        helper.make_node("Gather", ["vectors", "ids"], ["looked_up"]),
        helper.make_node("ReduceMean", ["looked_up"], ["of_words"], axes=[1], keepdims=0),
        helper.make_node("Concat", ["hidden", "of_words"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "b"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["risk"]),
        helper.make_node("MatMul", ["both", "c"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["fault"]),
        helper.make_node("ReduceSum", ["hidden", "one"], ["hours"], keepdims=0),
    ]
    weights = [
        tensor("a", rng.normal(size=(4, 5))),
        tensor("vectors", rng.normal(size=(7, 3))),
        tensor("b", rng.normal(size=(8, 1))),
        tensor("c", rng.normal(size=(8, 3))),
        tensor("one", [1], "int64"),
    ]
    inputs = {"table": (FLOAT, [batch, 4]), "ids": (INT64, [batch, 6]), "idle": (FLOAT, [batch, 2])}
    outputs = {"risk": (FLOAT, [batch, 1]), "fault": (FLOAT, [batch, 3]), "hours": (FLOAT, [batch])}
    return model_of(nodes, inputs, outputs, weights)


@pytest.fixture
def rows(rng):
    return {
        "table": rng.normal(size=(5, 4)).astype("float32"),
        "ids": rng.integers(0, 7, (5, 6)),
        "idle": rng.normal(size=(5, 2)).astype("float32"),
    }


def adapt_bytes(model, **options):
    return xm.adapt(model.SerializeToString(), **options)


@pytest.mark.parametrize("batch", ["batch", None, 1, 4], ids=["free", "nameless", "one", "four"])
def test_the_contract_holds_whatever_the_batch(batch, rows):
    model = network(batch)
    check_adapter(xm.adapt(model), rows, limited=lambda size: xm.adapt(model, max_memory=size))


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_outputs_are_those_of_the_reference_evaluator(batch, rows):
    model = network(batch)
    ours = xm.adapt(model).predict(rows)
    expected = ReferenceEvaluator(network("batch")).run(None, rows)
    for values, wanted in zip(ours.values(), expected, strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-6)


def test_names_shapes_dtypes_and_kinds_are_read_off_the_model():
    model = xm.adapt(network("batch"), streams={"table": ["oil", "rpm", "load", "age"]})
    assert [(s.name, s.shape, s.dtype) for s in model.streams] == [
        ("table", (4,), "float32"),
        ("ids", (6,), "int64"),
        ("idle", (2,), "float32"),
    ]
    assert model.streams[0].features == ("oil", "rpm", "load", "age")
    assert [(h.name, h.shape, h.kind, h.unit) for h in model.heads] == [
        ("risk", (1,), "binary", "probability"),
        ("fault", (3,), "multiclass", "probability"),
        ("hours", (), "regression", ""),
    ]
    assert (model.backend, model.name) == ("onnx", "made_by_hand")
    assert not isinstance(model, Differentiable)


def test_shapley_values_of_a_linear_model_are_its_terms(tmp_path, rng):
    weights = rng.normal(size=(4, 1)).astype("float32")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    model = model_of(nodes, {"x": (FLOAT, ["n", 4])}, {"y": (FLOAT, ["n", 1])}, [tensor("w", weights)])
    x, background = rng.normal(size=(6, 4)), rng.normal(size=(9, 4))
    explained = xm.explain(model, x, method="shapley", background=background)
    terms = (x - background.mean(axis=0)) * weights[:, 0]
    np.testing.assert_allclose(explained["x"].values[0], terms, atol=1e-5)
    assert explained.attrs["backend"] == "onnx"


def saved(model, path):
    onnx.save(model, path)
    return path


def test_a_path_or_bytes_are_a_model(tmp_path, rows):
    model = network("batch")
    path = saved(model, tmp_path / "Net.ONNX")
    data = path.read_bytes()
    expected = xm.adapt(model).predict(rows)
    for given in (str(path), path, data, bytearray(data), memoryview(data)):
        np.testing.assert_array_equal(xm.adapt(given).predict(rows)["fault"], expected["fault"])
    assert xm.adapt(path).name == "Net"
    assert xm.adapt(path).fingerprint() == xm.adapt(data).fingerprint()
    assert xm.adapt(path).fingerprint() != xm.adapt(network("batch", seed=1)).fingerprint()
    with pytest.warns(UnusedStreamWarning, match="'idle'"):
        explained = xm.explain(path, rows, method="occlusion", targets=["risk"])
    assert explained["table"].shape == (1, 5, 4)


def test_weights_in_a_file_beside_the_model_are_read_and_take_part_in_the_fingerprint(tmp_path, rows):
    marks = {}
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        onnx.save_model(
            network("batch", seed), folder / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=60
        )
        model = xm.adapt(folder / "net.onnx")
        np.testing.assert_allclose(
            model.predict(rows)["risk"], xm.adapt(network("batch", seed)).predict(rows)["risk"], rtol=1e-6
        )
        marks[seed] = model.fingerprint()
    assert (tmp_path / "0" / "net.onnx").read_bytes() == (tmp_path / "1" / "net.onnx").read_bytes()
    assert marks[0] != marks[1]
    (tmp_path / "0" / "w.bin").unlink()
    with pytest.raises(FileProblem, match=r"keeps weights in 'w\.bin' beside it, which cannot be read: No such file"):
        xm.adapt(tmp_path / "0" / "net.onnx")


def test_a_session_is_told_from_another_by_its_answers(rows):
    sessions = [
        onnxruntime.InferenceSession(network("batch", seed).SerializeToString(), providers=["CPUExecutionProvider"])
        for seed in (0, 0, 1)
    ]
    check_adapter(xm.adapt(sessions[0]), rows)
    one, same, other = (xm.adapt(session).fingerprint() for session in sessions)
    assert one == same != other
    assert {h.kind for h in xm.adapt(sessions[0]).heads} == {"regression"}  # a session does not tell its operators


def test_without_onnx_a_model_runs_and_its_kinds_are_not_known(monkeypatch, rows):
    data, expected = network("batch").SerializeToString(), xm.adapt(network("batch")).predict(rows)
    monkeypatch.setitem(sys.modules, "onnx", None)
    model = xm.adapt(data)
    assert {h.kind for h in model.heads} == {"regression"}
    np.testing.assert_array_equal(model.predict(rows)["risk"], expected["risk"])


def test_without_onnxruntime_the_command_that_installs_it_is_named(monkeypatch):
    import xai_mimo_adapters.onnx_adapter.loading as loading

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    spec = importlib.util.spec_from_file_location("loaded_once_more", loading.__file__)
    with pytest.raises(MissingDependency, match=r"run by onnxruntime: pip install 'xai-mimo\[onnx\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.INT32, "int32"),
        (TensorProto.FLOAT16, "float16"),
        (TensorProto.BOOL, "bool"),
        (DOUBLE, "float64"),
        (TensorProto.UINT8, "uint8"),
    ],
)
def test_streams_have_the_dtypes_of_the_inputs(kind, dtype, rng):
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=FLOAT)]
    model = xm.adapt(model_of(nodes, {"x": (kind, ["n", 3])}, {"y": (FLOAT, ["n", 3])}))
    assert model.streams[0].dtype == dtype
    x = rng.integers(0, 2, (4, 3)).astype(dtype)
    np.testing.assert_array_equal(model.predict(x)["y"], x.astype("float32"))
    check_adapter(model, x)


def test_heads_of_half_precision_leave_as_float32(rng):
    half = TensorProto.FLOAT16
    nodes = [helper.make_node("Sigmoid", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    model = xm.adapt(model_of(nodes, {"x": (half, ["n", 3])}, {"y": (half, ["n", 3])}))
    assert (model.heads[0].kind, model.precision) == ("multilabel", "float16")
    assert model.predict(rng.normal(size=(2, 3)))["y"].dtype == np.float32


def classifier(labels, *, zipmap, transform="LOGISTIC"):
    """As scikit-learn's exporter writes logistic regression."""
    of = {"classlabels_strings": labels} if isinstance(labels[0], str) else {"classlabels_ints": labels}
    ml = {"domain": "ai.onnx.ml"}
    nodes = [
        helper.make_node(
            "LinearClassifier", ["x"], ["label", "raw"], coefficients=[1.0, 0.0, 0.0, 2.0, -1.0, 1.0],
            intercepts=[0.0, 0.5, -0.5], post_transform=transform, **of, **ml,
        ),
        helper.make_node("Normalizer", ["raw"], ["probabilities"], norm="L1", **ml),
    ]  # fmt: skip
    kind = TensorProto.STRING if isinstance(labels[0], str) else INT64
    outputs = {"label": (kind, ["n"]), "probabilities": (FLOAT, ["n", 3])}
    if zipmap:
        names = {key.replace("ints", "int64s"): value for key, value in of.items()}
        nodes.append(helper.make_node("ZipMap", ["probabilities"], ["by_class"], **names, **ml))
        value = helper.make_sequence_type_proto(
            helper.make_map_type_proto(kind, helper.make_tensor_type_proto(FLOAT, []))
        )
        outputs = {"label": (kind, ["n"]), "by_class": (helper.make_value_info("by_class", value), None)}
    return model_of(nodes, {"x": (FLOAT, ["n", 2])}, outputs)


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("labels", [["ok", "worn", "broken"], [3, 5, 7]])
def test_a_classifier_of_scikit_learn_has_a_unit_for_each_class(labels, zipmap, rng):
    with pytest.warns(LeftOutWarning, match=r"output 'label' of .* whose differences mean nothing, and is left out"):
        model = xm.adapt(classifier(labels, zipmap=zipmap))
    head = model.heads[0]
    assert (head.kind, head.unit, head.units) == ("multiclass", "probability", tuple(map(str, labels)))
    x = rng.normal(size=(4, 2)).astype("float32")
    odds = 1 / (1 + np.exp(-(x @ np.array([[1.0, 0, -1], [0, 2, 1]]) + [0, 0.5, -0.5])))
    np.testing.assert_allclose(model.predict(x)[head.name], odds / odds.sum(axis=1, keepdims=True), rtol=1e-5)
    check_adapter(model, x)


def test_scores_of_classes_are_probabilities_where_they_are_made_to_sum_to_one():
    with pytest.warns(LeftOutWarning, match="'label'"):
        head = xm.adapt(classifier([0, 1, 2], zipmap=False, transform="NONE")).heads[0]
    assert (head.kind, head.unit, head.kind_from) == ("multiclass", "probability", "classes of LinearClassifier")


def test_a_label_that_is_named_is_kept(rng):
    model = xm.adapt(classifier([3, 5, 7], zipmap=False), heads={"label": "regression"})
    assert [h.name for h in model.heads] == ["label", "probabilities"]
    assert set(model.predict(rng.normal(size=(9, 2)))["label"].ravel()) <= {3, 5, 7}


def per_step(kind=FLOAT, steps="time"):
    nodes = [helper.make_node("Softmax", ["x"], ["y"])]
    return model_of(nodes, {"x": (kind, ["n", steps, 3])}, {"y": (kind, ["n", steps, 3])})


def test_a_length_that_follows_the_input_is_read_off_the_rows_given(rng):
    with pytest.raises(NotSupported, match=r"output 'y' of .* length depends on the input.*adapt\(model, like=x\)"):
        xm.adapt(per_step())
    x = rng.normal(size=(5, 4, 3)).astype("float32")
    model = xm.adapt(per_step(), like=x)
    assert (model.streams[0].shape, model.heads[0].shape) == ((None, 3), (4, 3))
    check_adapter(model, x)
    with pytest.raises(ShapeMismatch, match=r"gave shape \(5, 2, 3\) for head 'y'; expected \(5, 4, 3\).*like=x"):
        model.predict(x[:, :2])


def test_a_softmax_over_another_axis_makes_no_classes():
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=1)]
    model = model_of(nodes, {"x": (FLOAT, ["n", 4, 3])}, {"y": (FLOAT, ["n", 4, 3])})
    assert xm.adapt(model).heads[0].kind == "regression"
    assert xm.adapt(per_step(steps=4)).heads[0].kind == "multiclass"


IDENTITY = [helper.make_node("Identity", ["x"], ["y"])]
X, Y = {"x": (FLOAT, ["n", 3])}, {"y": (FLOAT, ["n", 3])}


def joined():
    return model_of([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], X, {"y": (FLOAT, [])})


def of_two_batches():
    nodes = [helper.make_node("Add", ["x", "z"], ["y"])]
    return model_of(nodes, {"x": (FLOAT, [4, 3]), "z": (FLOAT, [1, 3])}, {"y": (FLOAT, [4, 3])})


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (
            lambda: model_of(IDENTITY, {"x": (TensorProto.STRING, ["n", 3])}, {"y": (TensorProto.STRING, ["n", 3])}),
            NotSupported,
            r"input 'x' of the model in ONNX holds strings.*Export the part behind the encoding of the text",
        ),
        (
            lambda: model_of(IDENTITY, {"x": (TensorProto.BFLOAT16, ["n", 3])}, {"y": (TensorProto.BFLOAT16, ["n", 3])}),
            NotSupported,
            r"is of type tensor\(bfloat16\); expected an array of numbers that NumPy has",
        ),
        (
            lambda: model_of([helper.make_node("Mul", ["x", "s"], ["y"])], {**X, "s": (FLOAT, [])}, Y),
            NotSupported,
            r"input 's' of the model in ONNX has no axes.*with this value fixed",
        ),
        (of_two_batches, NotSupported, r"first axes of different fixed lengths \(\{'x': 4, 'z': 1\}\)"),
        (joined, NotSupported, r"output 'y' of .* has shape \(\) for 3 rows; expected one row for each"),
        (
            lambda: model_of(IDENTITY, X, Y, opset=99),
            NotSupported,
            r"does not know the opset of these \d+ bytes: .*opset_version=18",
        ),
        (
            lambda: model_of([helper.make_node("Guess", ["x"], ["y"])], X, Y),
            NotSupported,
            r"these \d+ bytes has an operator that onnxruntime .* does not know: .*xai_mimo\.adapt\(session\)",
        ),
    ],
    ids=["strings", "bfloat16", "no axes", "two batches", "joined rows", "opset", "operator"],
)  # fmt: skip
def test_what_cannot_be_explained_is_refused_in_words(model, error, text):
    with pytest.raises(error, match=text):
        adapt_bytes(model())


def test_a_model_that_fails_on_zeros_asks_for_rows():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["one"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Expand", ["one", "shape"], ["y"]),
    ]
    model = model_of(nodes, {"x": (FLOAT, ["n", None])}, {"y": (FLOAT, ["n", None])}, [tensor("w", np.ones((5, 1)))])
    with pytest.raises(
        NotSupported, match=r"does not run on zeros of shape \(3, 16\) for 'x': .*adapt\(model, like=x\)"
    ):
        xm.adapt(model)
    assert xm.adapt(model, like=np.ones((3, 5))).heads[0].shape == (5,)


def test_a_file_that_is_none_is_refused_in_words(tmp_path):
    whole = saved(network("batch"), tmp_path / "net.onnx").read_bytes()
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.onnx").mkdir()
    for name in ("text.onnx", "cut.onnx"):
        with pytest.raises(FileProblem, match=rf"'.*{name}' cannot be read as a model in ONNX; .*check_model"):
            xm.adapt(tmp_path / name)
    with pytest.raises(FileProblem, match=r"cannot read '.*no\.onnx': there is no such file"):
        xm.adapt(tmp_path / "no.onnx")
    with pytest.raises(FileProblem, match=r"it is a folder\. Give the name of an '\.onnx' file inside it"):
        xm.adapt(tmp_path / "folder.onnx")
    with pytest.raises(BadValues, match=r"these 5 bytes cannot be read as a model in ONNX"):
        xm.adapt(b"bytes")


def test_an_error_inside_the_model_comes_through():
    x = {"x": (FLOAT, ["n", "k"])}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    model = xm.adapt(model_of(nodes, x, {"y": (FLOAT, ["n", 2])}, [tensor("w", np.ones((3, 2)))]))
    with pytest.raises(Exception, match="MatMul"):
        model.predict(np.ones((2, 4)))
    assert model.predict(np.ones((2, 3)))["y"].shape == (2, 2)
