"""Blocks of an explanation: values in, values out, in any order, in any process, by any engine."""

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.frameworks import imported
from xai_mimo.core import plugins
from xai_mimo.core.blocks import _as_ranges, _from_ranges
from xai_mimo.core.engine import Engine, Serial
from xai_mimo.core.errors import BadSetting, BadValues, FileProblem, UnknownName
from xai_mimo.core.plugins import engine
from xai_mimo.explainers import ExpectedGradients, Shapley
from xai_mimo.explainers.store import BlockStore

pytestmark = pytest.mark.all_frameworks

ROOT = Path(__file__).resolve().parents[2]


def machine(u, v):
    """A model that can be pickled: a function of a module."""
    return {"y": np.tanh(u).sum(axis=1, keepdims=True) * v[:, :1]}


@dataclass
class Kept:
    """An engine that does blocks in the order of ``order``, each from a pickled copy, and keeps the job."""

    order: tuple[int, ...]
    jobs: list = field(default_factory=list)

    def run(self, job, numbers, advance=None):
        self.jobs.append(job)
        frozen = pickle.dumps(job)
        for number in self.order:
            if number in numbers:
                yield number, pickle.loads(frozen).block(number)
                rows = job.rows_of(number)
                advance(rows.stop - rows.start)


@pytest.fixture
def model():
    return xm.adapt(machine, streams={"u": 3, "v": 2}, heads={"y": 1})


@pytest.fixture
def x(rng):
    return {"u": rng.normal(size=(23, 3)).astype("float32"), "v": rng.normal(size=(23, 2)).astype("float32")}


METHOD = Shapley(budget=30, background_rows=4)  # sampled: random numbers are part of what must agree


def same_bytes(one, other):
    for name in one.variables:
        assert one[name].dtype == other[name].dtype, name
        assert one[name].values.tobytes() == other[name].values.tobytes(), name
    of_this_call = ("seconds", "run")
    assert {**one.attrs, **dict.fromkeys(of_this_call)} == {**other.attrs, **dict.fromkeys(of_this_call)}
    xr.testing.assert_identical(one.drop_attrs(), other.drop_attrs())


def test_engines_give_the_same_bytes_in_any_order(model, x):
    expected = xm.explain(model, x, METHOD, rows_per_block=5)
    finished = []
    backwards = Kept((4, 2, 0, 3, 1))
    result = xm.explain(model, x, METHOD, rows_per_block=5, engine=backwards, progress=finished.append)
    same_bytes(expected, result)
    assert finished == [3, 5, 5, 5, 5]
    same_bytes(expected, xm.explain(model, x, METHOD, rows_per_block=5, engine="serial"))


def test_a_pickled_job_gives_the_same_bytes_in_another_process(model, x, tmp_path):
    kept = Kept((0, 1, 2, 3, 4))
    xm.explain(model, x, METHOD, rows_per_block=5, engine=kept)
    (tmp_path / "job").write_bytes(pickle.dumps(kept.jobs[0]))
    script = (
        "import pickle, sys, pathlib; folder = pathlib.Path(sys.argv[1]); "
        "block = pickle.loads((folder / 'job').read_bytes()).block(3); "
        "(folder / 'block').write_bytes(pickle.dumps(block))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script, str(tmp_path)], cwd=ROOT, check=True)
    same_bytes(kept.jobs[0].block(3), pickle.loads((tmp_path / "block").read_bytes()))


@pytest.mark.parametrize("order", [(4, 2, 0, 3, 1), (1, 0, 4, 3, 2)])
def test_a_store_takes_blocks_in_any_order(order, model, x, tmp_path):
    expected = xm.explain(model, x, METHOD, rows_per_block=5)
    stored = xm.explain(model, x, METHOD, rows_per_block=5, engine=Kept(order), store=tmp_path / "run.zarr")
    same_bytes(expected, stored.load())
    serial = xm.explain(model, x, METHOD, rows_per_block=5, store=tmp_path / "serial.zarr")
    for name in serial.variables:
        assert stored[name].encoding["chunks"] == serial[name].encoding["chunks"], name


def test_only_the_blocks_that_are_missing_are_done(model, x, tmp_path):
    path = tmp_path / "run.zarr"
    with pytest.raises(BadValues, match=r"left out blocks \[0, 2\]"):
        xm.explain(model, x, METHOD, rows_per_block=5, engine=Kept((4, 1, 3)), store=path)
    rest, finished = Kept((0, 1, 2, 3, 4)), []
    stored = xm.explain(model, x, METHOD, rows_per_block=5, engine=rest, store=path, progress=finished.append)
    assert finished == [13, 5, 5]
    same_bytes(xm.explain(model, x, METHOD, rows_per_block=5), stored.load())


def test_a_store_of_the_first_version_is_gone_on_with(model, x, tmp_path):
    zarr = imported("zarr")
    path = tmp_path / "run.zarr"
    with pytest.raises(BadValues, match="left out"):
        xm.explain(model, x, METHOD, rows_per_block=5, engine=Kept((0, 1)), store=path)
    group = zarr.open_group(path, mode="r+", zarr_format=2, use_consolidated=False)
    notes = json.loads(group.attrs["run"])
    assert notes["done"] == [[0, 2]]
    group.attrs["run"] = json.dumps({**notes, "done": 2})  # as it was written: the number of the first blocks
    finished = []
    stored = xm.explain(model, x, METHOD, rows_per_block=5, store=path, progress=finished.append)
    assert finished[0] == 10
    same_bytes(xm.explain(model, x, METHOD, rows_per_block=5), stored.load())


def test_what_is_done_is_written_in_few_numbers():
    done = (True, True, False, True, False, False, True)
    assert _as_ranges(done) == [[0, 2], [3, 4], [6, 7]]
    assert _from_ranges(_as_ranges(done), 7) == done
    assert _from_ranges(3, 5) == (True, True, True, False, False)
    assert _as_ranges((False, False)) == []
    assert _from_ranges([], 2) == (False, False)


def test_blocks_that_were_not_asked_for_are_refused(model, x):
    class Twice:
        def run(self, job, numbers, advance=None):
            for number in (*numbers, 0):
                yield number, job.block(number)

    with pytest.raises(BadValues, match="gave block 0, which was not asked for or was there already"):
        xm.explain(model, x, METHOD, rows_per_block=5, engine=Twice())


def test_an_engine_is_a_name_or_an_object(monkeypatch):
    assert isinstance(engine(None), Serial)
    assert engine("serial") == Serial()
    assert isinstance(Kept(()), Engine)
    entry = EntryPoint("kept", "tests.explainers.test_job:Kept", "xai_mimo.engines")
    monkeypatch.setattr(plugins, "plugins", lambda group: {"kept": entry, "serial": entry})
    with pytest.raises(UnknownName, match=r"no engine is called 'sreial'.*Did you mean 'serial'"):
        engine("sreial")
    with pytest.raises(BadSetting, match=r"an engine is a name such as 'serial', or an object with run"):
        engine(3)


def test_the_serial_engine_is_installed_as_a_plugin():
    assert "serial" in plugins.plugins("xai_mimo.engines")


def test_a_job_on_several_heads_keeps_its_random_numbers(tmp_path):
    plain = toys.mlp()
    rows = toys.rows(plain, 12)
    job = Spy()
    one = xm.explain(plain, rows, ExpectedGradients(5), rows_per_block=4, engine=job)
    again = [job.job.block(n) for n in (2, 0, 1, 0)]
    np.testing.assert_array_equal(again[1]["u"], again[3]["u"])
    np.testing.assert_array_equal(xr.concat([again[1], again[2], again[0]], "sample")["u"], one["u"])


class Spy(Serial):
    """The serial engine, with a look at the job."""

    def run(self, job, numbers, advance=None):
        object.__setattr__(self, "job", job)
        return super().run(job, numbers, advance)


def test_a_store_that_is_no_folder_of_ours_is_refused(tmp_path):
    (tmp_path / "run.zarr").mkdir()
    with pytest.raises(FileProblem, match="is not a run of explain"):
        BlockStore.open(tmp_path / "run.zarr", {}, rows=4, rows_per_block=2)
