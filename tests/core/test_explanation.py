"""The explanation's layout: names, completeness gap, stream shares, joining, and what is saved and loaded again."""

import dataclasses
import importlib.metadata
import json
import sys
import types

import numpy as np
import pytest
import xarray as xr

from xai_mimo.core.errors import BadSetting, DuplicateName, FileProblem, SchemaError
from xai_mimo.core.explanation import (
    describe,
    features_of,
    join,
    settings_of,
    stream_names,
    stream_shares,
    streams_of,
    to_dataset,
)
from xai_mimo.core.method import Attribution
from xai_mimo.core.saved import load, save
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector
from xai_mimo.core.versions import versions

pytestmark = pytest.mark.all_frameworks

STREAMS = (Stream("a", (3,), features=("x", "y", "z"), unit="K"), Stream("b", (4, 2)))
HEADS = (Head("h"), Head("g"))
ROWS = 5


def make(rng, *, space="inputs", baseline=True, method="m", values=None, **attribution):
    selectors = [Selector(h.name, h.name, np.zeros(ROWS, dtype=np.int64)) for h in HEADS]
    values = values or {s.name: rng.normal(size=(2, ROWS, *s.shape)) for s in STREAMS}
    total = sum(v.reshape(2, ROWS, -1).sum(-1) for v in values.values())
    made = Attribution(values, total + 1.0, np.ones((2, ROWS)) if baseline else None, **attribution)
    attrs = {"method": method, "settings": "{}", "seed": 0, "versions": "{}", "fingerprint": "f", "space": space}
    return to_dataset(
        made,
        streams=STREAMS,
        selectors=selectors,
        samples=np.arange(ROWS),
        attrs={**attrs, **describe(STREAMS, HEADS)},
    )


def test_names_and_gap_are_filled_in(rng):
    explanation = make(rng)
    assert explanation["b"].dims == ("head", "sample", "b_time", "b_feature")
    assert list(explanation["a_feature"].values) == ["x", "y", "z"]
    assert explanation["a"].attrs["unit"] == "K"
    np.testing.assert_allclose(explanation["completeness_gap"], 0, atol=1e-12)
    assert streams_of(explanation) == STREAMS


def test_without_a_baseline_no_gap_is_claimed(rng):
    assert "completeness_gap" not in make(rng, baseline=False)


def test_what_a_method_gives_beside_the_values_does_not_overwrite_a_stream(rng):
    for more in ({"diagnostics": {"b": np.ones((2, ROWS))}}, {"diagnostics": {"a": np.ones((2, ROWS))}}):
        with pytest.raises(
            DuplicateName, match=r"results would call two things '[ab]'.*Rename the stream, e\.g\. '[ab]_in'"
        ):
            make(rng, **more)


def test_draws_stand_beside_the_standard_errors(rng):
    values = {s.name: rng.normal(size=(2, ROWS, *s.shape)) for s in STREAMS}
    errors = {name: abs(v) for name, v in values.items()}
    found = make(rng, values=values, standard_error=errors, draws=np.full((2, ROWS), 4))
    assert found["draws"].dims == ("head", "sample")
    assert "draws" not in make(rng, values=values, standard_error=errors)


def test_attributions_that_are_not_finite_are_refused(rng):
    values = {s.name: rng.normal(size=(2, ROWS, *s.shape)) for s in STREAMS}
    values["a"][0, 0, 0] = np.nan
    with pytest.raises(SchemaError, match="'m' gave NaN or infinite attributions for stream 'a'"):
        make(rng, values=values)


def test_shares_are_those_of_the_formula_and_zero_maps_have_none(rng):
    values = {s.name: rng.normal(size=(2, ROWS, *s.shape)) for s in STREAMS}
    for v in values.values():
        v[1, 2] = 0
    shares = stream_shares(make(rng, values=values))
    a = np.abs(values["a"][0, 1]).sum()
    b = np.abs(values["b"][0, 1]).sum()
    np.testing.assert_allclose(shares.sel(head="h", sample=1, stream="a"), a / (a + b))
    np.testing.assert_array_equal(shares.sel(head="g", sample=2), [0, 0])
    np.testing.assert_allclose(shares.sel(head="h").sum("stream"), 1)


def test_joined_methods_say_who_lacks_what(rng):
    joined = join({"one": make(rng), "two": make(rng, baseline=False, signed=False, method="n")})
    assert joined["a"].dims[0] == "explainer"
    assert json.loads(joined["completeness_gap"].attrs["methods"]) == ["one"]
    assert np.isnan(joined["completeness_gap"].sel(explainer="two").values).all()
    assert json.loads(joined.attrs["methods"])["two"]["signed"] == 0
    assert features_of(joined).shape == (2, 2, ROWS, 11)


def test_feature_labels_follow_streams_and_axes(rng):
    flat = features_of(make(rng))
    assert list(flat["feature"].values[:4]) == ["a.x", "a.y", "a.z", "b.0.0"]
    assert list(flat["stream"].values[[2, 3]]) == ["a", "b"]


def test_methods_of_different_spaces_are_not_joined(rng):
    with pytest.raises(SchemaError, match="lives in another space"):
        join({"one": make(rng), "two": make(rng, space="at:mail")})


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_what_is_saved_is_loaded_again(rng, tmp_path, suffix):
    explanation = make(rng)
    back = load(save(explanation, tmp_path / f"e{suffix}"))
    xr.testing.assert_equal(explanation, back)
    assert stream_names(back) == ["a", "b"]
    assert back.attrs["signed"] == 1


def test_names_with_slashes_survive_netcdf(tmp_path):
    maps = xr.Dataset({"net/mail/attention": ("sample", [1.0, 2.0])})
    assert list(load(save(maps, tmp_path / "m.nc"))) == ["net/mail/attention"]


def test_files_that_are_not_ours_are_refused(tmp_path):
    with pytest.raises(FileProblem, match="there is no file"):
        load(tmp_path / "none.nc")
    (tmp_path / "fake.nc").write_text("not netCDF")
    with pytest.raises(FileProblem, match="is not a dataset written by xai_mimo"):
        load(tmp_path / "fake.nc")
    with pytest.raises(SchemaError, match="schema is None"):
        join({"x": xr.Dataset()})


def test_a_folder_that_cannot_be_written_is_an_error_in_words(rng, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()
    for suffix in ("nc", "zarr"):
        for folder in ("file", "none"):
            with pytest.raises(
                FileProblem, match=rf"there is no folder .*{folder}\. Make it first, or name another\.$"
            ):
                save(make(rng), tmp_path / folder / f"e.{suffix}")
    with pytest.raises(FileProblem, match=r"taken: it is a folder\. Give the name of a file"):
        save(make(rng), tmp_path / "taken")
    assert not (tmp_path / "none").exists()


def test_a_version_is_read_from_disk_once_and_a_package_that_is_loaded_later_is_there(monkeypatch):
    versions()
    read = []
    monkeypatch.setattr(importlib.metadata, "version", lambda package: read.append(package) or "1.2")
    monkeypatch.delitem(sys.modules, "captum", raising=False)
    first = versions()
    assert read == []
    assert first["numpy"] == np.__version__
    assert "captum" not in first
    monkeypatch.setitem(sys.modules, "captum", types.ModuleType("captum"))
    assert "captum" in versions()
    assert "captum" in versions()
    assert read in ([], ["captum"])  # another test may have loaded it


def test_a_joined_explanation_says_of_each_method_which_streams_it_does_not_explain(rng):
    joined = join({"all": make(rng), "some": make(rng, unexplained=("b",))})
    assert "unexplained" not in joined.attrs
    facts = json.loads(joined.attrs["methods"])
    assert json.loads(facts["some"]["unexplained"]) == ["b"]
    assert "unexplained" not in facts["all"]


@dataclasses.dataclass(frozen=True)
class Setting:
    """A method with one setting of any kind."""

    value: object = None
    name = "m"


@pytest.mark.parametrize(
    "value",
    [b"x", {1, 2}, object(), 1j, [{"a": b"x"}]],
    ids=["bytes", "a set", "an object", "a complex number", "bytes inside"],
)
def test_a_setting_that_json_cannot_hold_is_named(value):
    with pytest.raises(BadSetting, match=r"setting 'value' of method 'm' is a .*, which a result cannot hold"):
        settings_of(Setting(value))


def test_arrays_and_numbers_of_numpy_are_settings():
    held = settings_of(Setting([np.array(3), np.float32(0.5), np.array([1, 2]), np.bool_(True), (1, None)]))
    assert json.loads(json.dumps(held)) == {"value": [3, 0.5, [1, 2], True, [1, None]]}
