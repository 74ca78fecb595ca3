"""Runs on disk: one writer, nothing damaged passes for numbers, nobody else's numbers are handed back."""

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.frameworks import imported
from xai_mimo.core.engine import Serial
from xai_mimo.core.errors import BadValues, FileProblem, StoreWarning
from xai_mimo.explainers import ExpectedGradients

pytestmark = pytest.mark.all_frameworks

ROOT = Path(__file__).resolve().parents[2]
METHOD = ExpectedGradients(4)
OPTIONS = {"rows_per_block": 10}


@pytest.fixture
def model():
    return toys.mlp()


@pytest.fixture
def x(model):
    return toys.rows(model, 35)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.zarr"


def equal(one, other):
    assert set(one.variables) == set(other.variables)
    for name in one.variables:
        np.testing.assert_array_equal(one[name], other[name])


def chunk(path, variable, number):
    """The file of a variable's block."""
    return next(p for p in (path / variable).iterdir() if p.name.split(".")[1:2] == [str(number)])


# ------------------------------------------------------------------------------------------------------ damage


def test_a_missing_chunk_is_found_and_made_again(model, x, path):
    whole = xm.explain(model, x, METHOD, store=path, **OPTIONS).load()
    chunk(path, "u", 2).unlink()
    with pytest.raises(FileProblem, match=r"run\.zarr is damaged: the numbers of rows 20 to 29 are not those"):
        xm.load(path)
    with pytest.warns(StoreWarning, match=r"was damaged: rows 20 to 29 were not what was written, and are made again"):
        again = xm.explain(model, x, METHOD, store=path, **OPTIONS)
    equal(whole, again)
    equal(whole, xm.load(path))


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_is_found(seed, model, x, path):
    rng = np.random.default_rng(seed)
    whole = xm.explain(model, x, METHOD, store=path, **OPTIONS).load()
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    file = files[rng.integers(len(files))]
    held = bytearray(file.read_bytes())
    place = int(rng.integers(len(held)))
    held[place] ^= 1 << int(rng.integers(8))
    file.write_bytes(held)
    try:
        found = xm.load(path)
    except FileProblem:
        return
    equal(whole, found)  # a bit that says nothing, such as a codec's spare one


def test_names_that_are_damaged_are_found(model, x, path):
    xm.explain(model, x, METHOD, store=path, **OPTIONS)
    zarr = imported("zarr")
    zarr.open_group(path, mode="r+", zarr_format=2)["u_feature"][:] = ["1", "0", "2"]
    with pytest.raises(FileProblem, match=r"run\.zarr"):
        xm.load(path)
    with pytest.raises(FileProblem, match=r"its names of heads or features are not those that were written"):
        xm.explain(model, x, METHOD, store=path, **OPTIONS)


@pytest.mark.parametrize("name", [".zattrs", ".zgroup", "u/.zarray", "head/.zarray"])
def test_a_store_with_damaged_notes_is_refused_in_our_words(name, model, x, path):
    xm.explain(model, x, METHOD, store=path, **OPTIONS)
    text = (path / name).read_text()
    for damaged in ("", text[: len(text) // 2], text.replace('"', "'"), "[]", "{}"):
        (path / name).write_text(damaged)
        with pytest.raises(FileProblem, match=r"run\.zarr"):
            xm.explain(model, x, METHOD, store=path, **OPTIONS)


# ------------------------------------------------------------------------------------------------- one writer


class Meanwhile(Serial):
    """The serial engine, with something done by others when the first block is there."""

    def __init__(self, deed):
        object.__setattr__(self, "deed", deed)

    def run(self, job, numbers, advance=None):
        for i, item in enumerate(super().run(job, numbers, advance)):
            yield item
            if i == 0:
                self.deed()


def test_two_writers_of_one_store_are_never_mixed(model, x, path):
    refusals = []

    def another():
        with pytest.raises(FileProblem, match=r"another process is writing to .*run\.zarr\. Wait until it is done"):
            xm.explain(model, x, METHOD, store=path, **OPTIONS)
        refusals.append(1)

    found = xm.explain(model, x, METHOD, store=path, engine=Meanwhile(another), **OPTIONS)
    assert refusals == [1]
    equal(xm.explain(model, x, METHOD, **OPTIONS), found)
    equal(found, xm.explain(model, x, METHOD, store=path, **OPTIONS))


RUN = """
import os, sys
import numpy as np
import zarr.storage
import xai_mimo as xm
path, stop = sys.argv[1], int(sys.argv[2])
writes = 0
def counted(write):
    async def counting(self, *args, **kwargs):
        global writes
        writes += 1
        if writes == stop:
            os._exit(9)
        return await write(self, *args, **kwargs)
    return counting
zarr.storage.LocalStore.set = counted(zarr.storage.LocalStore.set)
def machine(u):
    return {"y": np.tanh(u).sum(axis=1, keepdims=True)}
model = xm.adapt(machine, streams={"u": 3}, heads={"y": 1})
x = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
found = xm.explain(model, x, "occlusion", rows_per_block=5, store=path)
np.save(path + ".npy", found["u"].values)
assert not np.isnan(found["u"].values).any()
"""


def run(path, stop):
    return subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(stop)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_run_that_was_killed_within_its_first_writes_is_gone_on_with(tmp_path):
    path = tmp_path / "run.zarr"
    assert run(path, -1).returncode == 0
    whole = np.load(f"{path}.npy")
    for stop in (1, 3, 8, 40):
        shutil.rmtree(path)
        assert run(path, stop).returncode == 9, stop
        again = run(path, -1)
        assert again.returncode == 0, again.stderr
        np.testing.assert_array_equal(np.load(f"{path}.npy"), whole)
        assert sorted(p.name for p in tmp_path.iterdir()) == [".run.zarr.lock", "run.zarr", "run.zarr.npy"]


# ------------------------------------------------------------------------------------------ whose numbers they are


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_function_that_reads_other_weights_does_not_get_the_old_numbers(is_whole, path):
    weights = {"w": 1.0}

    def machine(a):
        return {"h": a[:, :1] * weights["w"]}

    def explained(engine=None):
        model = xm.adapt(machine, streams={"a": 4}, heads={"h": 1})
        return xm.explain(model, x, "occlusion", store=path, rows_per_block=10, engine=engine)

    x = np.random.default_rng(0).normal(size=(30, 4))
    if is_whole:
        explained()
    else:
        with pytest.raises(BadValues, match="left out"):
            explained(FirstBlock())
    weights["w"] = -5.0
    with pytest.raises(FileProblem, match=r"made by a model that gives 'h' .* for row \d+, this one gives .*weights"):
        explained()
    weights["w"] = 1.0
    np.testing.assert_allclose(explained()["prediction"][0], x[:, 0], rtol=1e-6)


class FirstBlock(Serial):
    """An engine that stops after a block."""

    def run(self, job, numbers, advance=None):
        yield next(super().run(job, numbers, advance))


@dataclass(frozen=True)
class OnBackend(toys.Toy):
    """A toy that says what it computes on."""

    backend: str = ""


def on(model, backend):
    return OnBackend(model.streams, model.heads, model.forward, jacobian=model.jacobian, backend=backend)


def test_which_backend_computed_is_said(model, x, path):
    assert xm.explain(on(model, "jax"), x, METHOD, **OPTIONS).attrs["backend"] == "jax"
    assert "backend" not in xm.explain(model, x, METHOD, **OPTIONS).attrs
    with pytest.raises(BadValues, match="left out"):
        xm.explain(on(model, "torch"), x, METHOD, store=path, engine=FirstBlock(), **OPTIONS)
    with pytest.warns(StoreWarning, match=r"run\.zarr was computed by torch, and the model is on jax now"):
        mixed = xm.explain(on(model, "jax"), x, METHOD, store=path, **OPTIONS)
    assert mixed.attrs["backend"] == "torch, jax"
    with pytest.warns(StoreWarning, match=r"computed by torch, and the model is on jax now"):
        again = xm.explain(on(model, "jax"), x, METHOD, store=path, **OPTIONS)
    assert again.attrs["backend"] == "torch, jax"


def test_a_finished_store_is_opened_without_writing(model, x, path, monkeypatch):
    whole = xm.explain(model, x, METHOD, store=path, **OPTIONS).load()
    zarr = imported("zarr")
    open_group = zarr.open_group

    def read_only(*args, mode="a", **kwargs):
        if mode != "r":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return open_group(*args, mode=mode, **kwargs)

    def no_lock(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(zarr, "open_group", read_only)
    monkeypatch.setattr("filelock.FileLock.acquire", no_lock)
    before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
    equal(whole, xm.explain(model, x, METHOD, store=path, **OPTIONS))
    assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before
    with pytest.raises(FileProblem, match=r"cannot write to .*other\.zarr: Read-only file system"):
        xm.explain(model, x, METHOD, store=path.with_name("other.zarr"), **OPTIONS)


def test_units_may_be_numbers_of_numpy(model, x, path):
    one = xm.explain(model, x, METHOD, targets=[("z", np.int64(1)), "y"], store=path, **OPTIONS)
    equal(one, xm.explain(model, x, METHOD, targets=[("z", 1), "y"], store=path, **OPTIONS))
