"""``explain``: the door, targets, blocks, the store, warnings."""

import dataclasses
import json

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.errors import (
    BadSetting,
    BadValues,
    EmptyData,
    FileProblem,
    MissingDependency,
    NotSupported,
    SchemaError,
    ShapeMismatch,
    UnknownName,
    UnusedStreamWarning,
)
from xai_mimo.core.explanation import validate
from xai_mimo.core.streams import Head
from xai_mimo.explainers import ExpectedGradients, Gradient, IntegratedGradients, Shapley

pytestmark = pytest.mark.all_frameworks

EVERY = [
    "gradient",
    "input_x_gradient",
    "smoothgrad",
    "expected_gradients",
    "integrated_gradients",
    "occlusion",
    "shapley",
]


def equal(one, other):
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.NotConvergedWarning")  # float16 cannot reach 1e-3
@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_method_gives_a_valid_explanation_of_all_heads(method, dtype):
    model = toys.mlp(dtype=dtype)
    found = validate(xm.explain(model, toys.rows(model, 5), method))
    assert list(found["head"].values) == ["y", "z:0", "z:1", "z:2"]
    assert found["u"].dims == ("head", "sample", "u_feature")
    assert found["u"].dtype == np.float64
    assert found.attrs["method"] == method
    assert json.loads(found.attrs["versions"])["numpy"]
    assert found.attrs["fingerprint"] == model.fingerprint()
    assert found.attrs["space"] == "inputs"


@pytest.mark.parametrize("method", EVERY)
def test_one_row_and_one_unit(method):
    model = toys.mlp(streams={"u": 3}, heads={"y": 1})
    x = toys.rows(model, 1)
    found = xm.explain(model, x["u"], method, background=toys.rows(model, 4, seed=5))
    assert found["u"].shape == (1, 1, 3)


@pytest.mark.parametrize("method", EVERY)
def test_a_constant_head_and_an_unused_stream_get_exact_zeros_and_a_warning(method):
    model = toys.constant()
    with pytest.warns(UnusedStreamWarning) as told:
        found = xm.explain(model, toys.rows(model, 4), method)
    np.testing.assert_array_equal(found["u"].sel(head="c"), 0)
    np.testing.assert_array_equal(found["v"], 0)
    assert [str(w.message).split(" for all")[0].split("head ")[1] for w in told] == [
        "'c' exact zeros on input stream 'u', 'v'",
        "'y' exact zeros on input stream 'v'",
    ]


@pytest.mark.parametrize("method", EVERY)
def test_the_same_seed_gives_the_same_numbers(method):
    model = toys.mlp()
    x = toys.rows(model, 7)
    equal(*(xm.explain(model, x, method, seed=3, rows_per_block=3) for _ in range(2)))


def test_another_seed_gives_other_numbers():
    model = toys.mlp()
    x = toys.rows(model, 7)
    one, other = (xm.explain(model, x, ExpectedGradients(samples=5), seed=s) for s in (0, 1))
    assert abs(one["u"] - other["u"]).max() > 0


def test_blocks_have_randomness_of_their_own():
    model = toys.mlp()
    x = {name: np.repeat(v, 2, axis=0) for name, v in toys.rows(model, 1).items()}
    found = xm.explain(model, x, ExpectedGradients(3), rows_per_block=1, background=toys.rows(model, 9))
    assert abs(found["u"][:, 0] - found["u"][:, 1]).max() > 0


def test_blocks_do_not_change_a_method_without_randomness():
    model = toys.mlp()
    x = toys.rows(model, 10)
    one = xm.explain(model, x, IntegratedGradients(steps=8))
    other = xm.explain(model, x, IntegratedGradients(steps=8), rows_per_block=3)
    np.testing.assert_allclose(one["u"], other["u"], rtol=1e-12)
    np.testing.assert_array_equal(other["sample"], np.arange(10))


def test_targets_choose_heads_and_units():
    model = toys.mlp()
    x = toys.rows(model, 6)
    every = xm.explain(model, x, "gradient")
    some = xm.explain(model, x, "gradient", targets=[("z", 2), "y"])
    np.testing.assert_array_equal(some["head"], ["z", "y"])
    np.testing.assert_array_equal(some["u"][0], every["u"].sel(head="z:2"))
    labels = {"z": np.array([0, 1, 2, 2, 1, 0])}
    by_label = xm.explain(model, x, "gradient", targets=[("z", "label")], labels=labels, rows_per_block=4)
    np.testing.assert_array_equal(by_label["unit"][0], labels["z"])
    np.testing.assert_array_equal(by_label["u"][0, 4], every["u"].sel(head="z:1")[4])


def test_the_label_of_a_binary_head_of_one_unit_is_explained_by_that_unit():
    weights = [1.0, -2.0, 3.0, 0.5, 4.0]
    plain = toys.linear({"fault": [weights]})
    model = dataclasses.replace(plain, heads=(Head("fault", kind="binary"),))
    x = toys.rows(model, 4)
    by_label = xm.explain(
        model, x, "gradient", targets=[("fault", "label")], labels={"fault": [0, 1, 1, 0]}, rows_per_block=3
    )
    np.testing.assert_array_equal(by_label["unit"], [[0, 0, 0, 0]])
    np.testing.assert_allclose(by_label["prediction"][0], np.hstack([x["u"], x["v"]]) @ weights + 1.0)
    np.testing.assert_allclose(by_label["u"][0], np.tile(weights[:3], (4, 1)))
    np.testing.assert_allclose(by_label["v"][0], np.tile(weights[3:], (4, 1)))


def test_at_a_layer_the_streams_are_the_layers_inputs():
    model = toys.attention()
    x = toys.rows(model, 5)
    found = xm.explain(model, x, IntegratedGradients(steps=30), at="mail")
    direct = xm.explain(model.tail("mail"), model.activations(x, "mail"), IntegratedGradients(steps=30))
    np.testing.assert_allclose(found["u_code"], direct["u_code"], rtol=1e-12)
    assert found.attrs["space"] == "at:mail"
    assert json.loads(found.attrs["reads"]) == {"u_code": ["u"], "v_code": ["v"]}


def test_a_model_that_cannot_be_cut_is_refused():
    model = toys.mlp()
    with pytest.raises(
        NotSupported, match="at='mail' needs a model that can be cut at a layer, and a model of type Toy cannot be cut"
    ):
        xm.explain(model, toys.rows(model), "gradient", at="mail")


def _nan(x):
    x["u"][0, 0] = np.nan
    return x


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (_nan, BadValues, r"'u' holds 1 values that are NaN or infinite, the first at index \(0, 0\)"),
        (lambda x: {**x, "u": x["u"][:, :2]}, ShapeMismatch, r"'u' wants \(batch, 3\); got \(6, 2\)"),
        (lambda x: {**x, "u": x["u"][0]}, ShapeMismatch, "add the batch axis"),
        (lambda x: {"u": x["u"]}, UnknownName, "'v' is missing"),
        (lambda x: {**x, "w": x["u"]}, UnknownName, "no input stream is called 'w'"),
        (lambda x: {n: v[:0] for n, v in x.items()}, EmptyData, "there are no rows"),
        (lambda x: {**x, "u": x["u"][:3]}, ShapeMismatch, "same number of rows"),
    ],
)
def test_bad_data_are_refused_at_the_door(spoil, error, text):
    model = toys.mlp()
    with pytest.raises(error, match=text):
        xm.explain(model, spoil(toys.rows(model)), "gradient")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"method": "gradiant"}, UnknownName, "Did you mean 'gradient'"),
        ({"method": 3}, BadSetting, "a method is a name or an object"),
        ({"targets": ["risk"]}, UnknownName, "no head is called 'risk'"),
        ({"targets": [("z", 3)]}, BadSetting, "unit 3 does not exist"),
        ({"targets": [("z", "label")]}, BadSetting, "no labels were given.*labels={'z': ...}"),
        ({"labels": {"w": np.zeros(6)}}, UnknownName, "no head is called 'w'"),
        ({"labels": {"z": np.zeros(5)}}, ShapeMismatch, "want one value per row, 6 as in the inputs"),
        ({"background": {"u": np.ones((2, 3))}}, UnknownName, "'v' is missing"),
        ({"seed": -1}, BadSetting, "seed must be a whole number"),
        ({"rows_per_block": 0}, BadSetting, "rows_per_block must be a whole number"),
        ({"max_memory": 0}, BadSetting, "max_memory must be a number above 0"),
        ({"store": "run.nc"}, BadSetting, "must end in '.zarr'"),
    ],
)
def test_bad_arguments_are_refused(options, error, text):
    model = toys.mlp()
    with pytest.raises(error, match=text):
        xm.explain(model, toys.rows(model), **options)


@pytest.mark.parametrize("method", [ExpectedGradients(samples=8), IntegratedGradients(), Shapley(budget=30)], ids=str)
def test_a_store_holds_the_same_dataset(method, tmp_path):
    model = toys.mlp()
    x = toys.rows(model, 25)
    kept = xm.explain(model, x, method, rows_per_block=10)
    stored = xm.explain(model, x, method, rows_per_block=10, store=tmp_path / "run.zarr")
    equal(kept, stored)
    for name in ("settings", "seed", "streams", "heads", "data_sha256", "schema", "signed", "space"):
        assert kept.attrs[name] == stored.attrs[name]
    equal(kept, xm.load(tmp_path / "run.zarr"))


def _breaking(model, after):
    """The model, but its third call raises."""
    calls = []

    def jacobian(x):
        calls.append(len(x))
        if len(calls) > after:
            raise KeyboardInterrupt
        return model.jacobian(x)

    return toys.Toy(model.streams, model.heads, model.forward, jacobian=jacobian), calls


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    model, path = toys.mlp(), tmp_path / "run.zarr"
    x = toys.rows(model, 25)
    broken, _ = _breaking(model, after=2)
    with pytest.raises(KeyboardInterrupt):
        xm.explain(broken, x, ExpectedGradients(4), rows_per_block=10, store=path, check=False)
    with pytest.raises(SchemaError, match="unfinished"):
        validate(xm.load(path))
    whole, calls = _breaking(model, after=1)
    resumed = xm.explain(whole, x, ExpectedGradients(4), rows_per_block=10, store=path, check=False)
    assert len(calls) == 1, "only the last block was left to do"
    equal(xm.explain(model, x, ExpectedGradients(4), rows_per_block=10), resumed)
    again, calls = _breaking(model, after=0)
    equal(resumed, xm.explain(again, x, ExpectedGradients(4), rows_per_block=10, store=path, check=False))
    assert calls == []


def test_a_run_goes_on_with_the_same_versions_only(tmp_path, monkeypatch):
    model, path = toys.mlp(), tmp_path / "run.zarr"
    x = toys.rows(model, 4)
    kept = xm.explain(model, x, "gradient", store=path)
    found = json.loads(kept.attrs["versions"])
    monkeypatch.setattr("xai_mimo.explainers.job.versions", lambda: {**found, "other": "1"})
    equal(kept, xm.explain(model, x, "gradient", store=path))
    monkeypatch.setattr("xai_mimo.explainers.job.versions", lambda: {**found, "numpy": "0.1"})
    with pytest.raises(FileProblem, match=rf"its version of numpy is '{np.__version__}', this one's is '0.1'"):
        xm.explain(model, x, "gradient", store=path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": 1}, "its seed is 0, this one's is 1"),
        ({"method": Gradient()}, "its method is 'expected_gradients'"),
        ({"method": ExpectedGradients(5)}, "its settings is"),
        ({"rows_per_block": 9}, "its rows_per_block is 10"),
        ({"targets": ["y"]}, "its targets is"),
    ],
)
def test_another_run_may_not_go_on_with_a_store(change, text, tmp_path):
    model, path = toys.mlp(), tmp_path / "run.zarr"
    x = toys.rows(model, 12)
    same = {"method": ExpectedGradients(4), "rows_per_block": 10, "store": path}
    xm.explain(model, x, **same)
    with pytest.raises(FileProblem, match=text):
        xm.explain(model, x, **{**same, **change})
    with pytest.raises(FileProblem, match="its data_sha256 is"):
        xm.explain(model, toys.rows(model, 12, seed=8), background=x, **same)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    model, path = toys.mlp(), tmp_path / "other.zarr"
    path.mkdir()
    with pytest.raises(FileProblem, match="is not a run of explain"):
        xm.explain(model, toys.rows(model), "gradient", store=path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileProblem, match=r"there is no folder .*file\. Make it first"):
        xm.explain(model, toys.rows(model), "gradient", store=tmp_path / "file" / "run.zarr")


def test_a_store_without_zarr_names_the_extra(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "zarr", None)
    model = toys.mlp()
    with pytest.raises(MissingDependency, match=r"pip install 'xai-mimo\[zarr\]'"):
        xm.explain(model, toys.rows(model), "gradient", store=tmp_path / "run.zarr")


def test_a_stored_run_warns_of_what_all_its_blocks_show(tmp_path):
    model = toys.constant()
    x = toys.rows(model, 12)
    for _ in range(2):
        with pytest.warns(UnusedStreamWarning, match="for all 12 rows"):
            xm.explain(model, x, "gradient", rows_per_block=5, store=tmp_path / "run.zarr")


def test_names_with_slashes_survive_the_store(tmp_path):
    model = toys.mlp(streams={"a/b": 3, "v": 2})
    found = xm.explain(model, toys.rows(model), "gradient", store=tmp_path / "run.zarr")
    assert found["a/b"].dims == ("head", "sample", "a/b_feature")


def test_progress_may_be_a_function(capsys):
    model, rows = toys.mlp(), []
    xm.explain(model, toys.rows(model), "gradient", progress=rows.append)
    assert sum(rows) == len(next(iter(toys.rows(model).values())))
    assert capsys.readouterr().out == ""


def test_methods_can_be_imported_from_the_room():
    import xai_mimo.explainers as room

    for name in room.__all__:
        assert getattr(room, name)().name
    assert set(dir(room)) == set(room.__all__)
    with pytest.raises(AttributeError, match="LIME"):
        _ = room.LIME


def test_the_method_that_nobody_named_is_one_that_the_model_has():
    x = np.random.default_rng(0).normal(size=(6, 3))
    model = toys.mlp()
    assert xm.explain(model, toys.rows(model, 2)).attrs["method"] == "integrated_gradients"
    assert xm.explain(lambda table: table @ np.ones(3), {"table": x}).attrs["method"] == "shapley"
    with pytest.raises(NotSupported, match="needs gradients"):
        xm.explain(lambda table: table @ np.ones(3), {"table": x}, "integrated_gradients")
