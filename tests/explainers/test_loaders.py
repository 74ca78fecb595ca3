"""Rows that come batch by batch: the numbers of the same rows in one array, in memory that does not grow with them."""

import itertools
import tracemalloc

import keras
import numpy as np
import pandas as pd
import pytest
import torch

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.frameworks import imported
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.batches import begun
from xai_mimo.core.errors import BadValues, EmptyData, FileProblem, NotSupported, ShapeMismatch
from xai_mimo.core.rows import read_rows
from xai_mimo.core.streams import Stream
from xai_mimo.explainers import ExpectedGradients, Occlusion, Shapley

pytestmark = pytest.mark.all_frameworks

METHODS = ["gradient", "input_x_gradient", "smoothgrad", "integrated_gradients", Occlusion(), Shapley(64)]
MODEL = toys.mlp("tanh", streams={"u": 3, "v": 2}, heads={"y": 1, "z": 2})
ROWS = toys.rows(MODEL, 130)


def batches(rows=ROWS, size=37):
    count = len(next(iter(rows.values())))
    return ({name: x[i : i + size] for name, x in rows.items()} for i in range(0, count, size))


def same(one, other):
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        np.testing.assert_array_equal(one[name], other[name])
    told = [{key: value for key, value in each.attrs.items() if key not in ("seconds", "run")} for each in (one, other)]
    assert told[0] == told[1]


@pytest.mark.parametrize("method", [*METHODS, ExpectedGradients(5)], ids=str)
def test_every_method_gives_the_numbers_of_one_array(method):
    whole = xm.explain(MODEL, ROWS, method, rows_per_block=50)
    same(whole, xm.explain(MODEL, batches(), method, rows_per_block=50))


class Sequenced(keras.utils.PyDataset):
    @property
    def num_batches(self):
        return 4

    def __getitem__(self, i):
        return {name: x[i * 37 : (i + 1) * 37] for name, x in ROWS.items()}


def test_loaders_of_frameworks_are_read():
    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return 130

        def __getitem__(self, i):
            return {name: torch.tensor(x[i]) for name, x in ROWS.items()}

    whole = xm.explain(MODEL, ROWS, "occlusion")
    loaders = [torch.utils.data.DataLoader(Pairs(), batch_size=37), Sequenced(), [*batches()].__iter__()]
    for loader in loaders:
        same(whole, xm.explain(MODEL, loader, "occlusion"))


def test_labels_and_a_store_go_with_a_loader_and_a_stopped_run_goes_on(tmp_path):
    labels = {"z": np.arange(130) % 2}
    asked = {"method": ExpectedGradients(4), "targets": [("z", "label")], "labels": labels, "rows_per_block": 40}
    whole = xm.explain(MODEL, ROWS, **asked)

    def stop(rows):
        raise KeyboardInterrupt

    path = tmp_path / "run.zarr"
    with pytest.raises(KeyboardInterrupt):
        xm.explain(MODEL, batches(), store=path, progress=stop, **asked)
    same(whole, xm.explain(MODEL, batches(size=11), store=path, **asked).load())
    assert sorted(p.name for p in tmp_path.iterdir()) == [".run.zarr.lock", "run.zarr"]  # the rows left nothing there


def test_compare_and_intercept_read_a_loader_once():
    quick = {"methods": ["occlusion"], "metrics": ["deletion_area"], "settings": Settings(resamples=200)}
    assert xm.compare(MODEL, batches(), **quick).record.scores == xm.compare(MODEL, ROWS, **quick).record.scores
    with pytest.raises(EmptyData, match="tuple_iterator gave no batch"):
        xm.compare(MODEL, iter(()), **quick)


def peak(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


WIDE = xm.adapt(lambda x: x.sum(axis=1), streams={"x": 200}, heads={"y": 1}, max_memory=2**20)


def made_up(count):
    return (np.random.default_rng(i).normal(size=(200, 200)) for i in range(count))


def test_memory_does_not_grow_with_the_rows():
    few, many = (peak(lambda count=count: read_rows(WIDE, begun(made_up(count)), on_disk=True)) for count in (5, 100))
    assert many < 1.2 * few < 4e6  # the rows of the larger one have 32 MB

    def explained(count):
        players = Occlusion(players="streams")  # whose result has one number a row
        return xm.explain(WIDE, made_up(count), players, rows_per_block=200, check=False)

    explained(1)  # what is imported at the first call
    few, many = (peak(lambda count=count: explained(count)) for count in (60, 120))
    assert many < 1.2 * few < 24e6  # a piece of 16 MB is hashed at a time; the rows of the larger one have 38


def test_the_batch_that_does_not_fit_is_named_with_both_shapes():
    odd = [np.ones((4, 3)), np.ones((4, 3)), np.ones((4, 5))]
    model = toys.mlp("tanh", streams={"u": 3}, heads={"y": 1})
    for door in (lambda x: xm.explain(model, x, "occlusion"), lambda x: xm.compare(model, x, ["occlusion"])):
        with pytest.raises(
            ShapeMismatch, match=r"in batch 3 of the list_iterator: input stream 'u' wants \(batch, 3\); got \(4, 5\)"
        ):
            door(iter(odd))
    open_ended = xm.adapt(lambda s: s.sum(axis=(1, 2)), streams={"s": (None, 2)}, heads={"y": 1})
    lengths = (np.ones((4, n, 2)) for n in (6, 6, 7))
    with pytest.raises(
        ShapeMismatch, match=r"in batch 3 of the generator: .*'s' differ in shape: \(7, 2\), and \(6, 2\)"
    ):
        xm.explain(open_ended, lengths, "occlusion")
    with pytest.raises(BadValues, match=r"in batch 2 of the generator: input stream 'u' holds 1 values that are NaN"):
        xm.explain(model, (np.array([[1.0, 2.0, x]]) for x in (0.0, np.nan)), "occlusion")


def test_a_generator_gives_its_rows_once():
    rows = batches()
    xm.explain(MODEL, rows, "occlusion")
    with pytest.raises(EmptyData, match=r"generator gave no batch, or was read before.*make it anew for every call"):
        xm.explain(MODEL, rows, "occlusion")
    with pytest.raises(BadValues, match="the Endless never ends"):
        xm.explain(MODEL, Endless(), "occlusion")


class Endless(Sequenced):
    num_batches = None


def test_batches_of_inputs_and_labels_are_refused():
    with pytest.raises(ShapeMismatch, match=r"each batch of the generator holds 2 values, .*\(x for x, y in loader\)"):
        xm.explain(MODEL, ((x, np.zeros(37)) for x in batches()), "occlusion")


def test_columns_are_put_in_order_in_every_batch():
    frame = pd.DataFrame(ROWS["u"], columns=["p", "q", "r"])
    model = toys.mlp("tanh", streams={"u": 3}, heads={"y": 1})
    whole = xm.explain(xm.adapt(model), frame, "occlusion")
    mixed = iter([frame[:50], frame[["r", "p", "q"]][50:]])
    found = xm.explain(model, mixed, "occlusion")
    np.testing.assert_array_equal(found["u"], whole["u"])
    assert found["u_feature"].values.tolist() == whole["u_feature"].values.tolist()


def test_a_disk_that_takes_no_more_is_said(monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(FileProblem, match=r"rows of the loader cannot be kept in .*No space left on device.*TMPDIR"):
        xm.explain(MODEL, batches(), "occlusion")


def test_an_error_of_the_loader_is_the_loaders_own():
    def broken():
        yield next(batches())
        raise OSError(5, "the tape is torn")

    with pytest.raises(OSError, match="the tape is torn"):
        xm.explain(MODEL, broken(), "occlusion")
    assert next(itertools.islice(batches(), 1))["u"].shape == (37, 3)


def test_words_come_in_batches_too():
    words = np.array([["red"], ["blue"], ["green"]] * 10, dtype=object)
    numbers = np.arange(30.0)[:, None]
    model = xm.adapt(
        lambda colour, x: np.char.str_len(colour[:, 0].astype(str)) + x[:, 0],
        streams=[Stream("colour", (1,), "str"), Stream("x", (1,), "float64")],
        heads={"y": 1},
    )
    whole = xm.explain(model, [words, numbers], Shapley(), background=[words[:3], numbers[:3]])
    anew = ([["".join(list(word))] for (word,) in words[i : i + 7]] for i in range(0, 30, 7))  # words nobody else holds
    batches = ({"colour": np.array(some, dtype=object), "x": numbers[i * 7 : i * 7 + 7]} for i, some in enumerate(anew))
    same(whole, xm.explain(model, batches, Shapley(), background=[words[:3], numbers[:3]]))


def test_an_estimator_and_a_function_of_jax_are_described_by_the_first_batch():
    from sklearn.linear_model import LinearRegression

    jnp = imported("jax.numpy")
    frame = pd.DataFrame(ROWS["u"], columns=["p", "q", "r"])
    estimator = LinearRegression().fit(frame, ROWS["u"] @ [1.0, 2.0, 3.0])

    def together(inputs):
        return jnp.tanh(inputs["u"]).sum(axis=1) * inputs["v"][:, 0]

    for model, rows, pieces in (
        (estimator, frame, (frame[i : i + 37] for i in range(0, 130, 37))),
        (together, ROWS, batches()),
    ):
        same(xm.explain(model, rows, "occlusion"), xm.explain(model, pieces, "occlusion"))
    labelled = torch.utils.data.TensorDataset(torch.tensor(ROWS["u"]), torch.ones(130))
    with pytest.raises(NotSupported, match="DataLoader holds 2 values, and nothing tells whether"):
        xm.explain(together, torch.utils.data.DataLoader(labelled, 37), "occlusion")
