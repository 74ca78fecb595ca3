"""Loaders of the two forecasting data sets, on small files in the official layouts and, where present, on the real ones."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pytest

from xai_mimo.core.errors import BadValues, EmptyData, FileProblem
from xai_mimo.datasets import beijing, beijing_pm25, beijing_pm25_series, smart_house, sml2010, sml2010_series, split

pytestmark = pytest.mark.all_frameworks

_DATA = Path(os.environ.get("XAI_MIMO_DATA", ""))
real_house = pytest.mark.skipif(not (_DATA / "sml2010").is_dir(), reason="the published files are not on this machine")
real_city = pytest.mark.skipif(
    not (_DATA / "beijing_pm25").is_dir(), reason="the published file is not on this machine"
)

HOUSE_FIELDS = ["Date", "Time", *smart_house._FIELDS]
FIRST = ["12:00", "12:15", "12:30", "12:45", "13:00"]
SECOND = ["00:00", "00:15", "00:30", "01:00", "01:15", "01:30"]  # a quarter hour is missing


def house_row(day, time, number):
    """Field k holds 100 k + number, motors 0; so that a value tells the column it came from."""
    values = [0 if 19 <= k <= 21 else 100 * k + number for k in range(3, 25)]
    return " ".join([f"{day:02d}/04/2012", time, *map(str, values)])


def house_file(day, times, first=0, fields=HOUSE_FIELDS):
    header = "#  " + " ".join(f"{i + 1}:{name}" for i, name in enumerate(fields))
    rows = [house_row(day, time, first + i) for i, time in enumerate(times)]
    return "\n".join([header, *rows]) + "\n"


def city_file(values, directions=None):
    header = "No,year,month,day,hour,pm2.5,DEWP,TEMP,PRES,cbwd,Iws,Is,Ir"
    directions = directions or ["NE", "NW", "SE", "cv"] * len(values)
    rows = [
        f"{i + 1},2010,1,{1 + i // 24},{i % 24},{v},-{i},{i}.5,10{i:02d},{directions[i]},1.79,0,2"
        for i, v in enumerate(values)
    ]
    return "\r\n".join([header, *rows]) + "\r\n"


def publish(monkeypatch, module, folder, contents):
    """Write files and record their checksums as if they were the published ones."""
    sums = {}
    for name, text in zip(module.ARCHIVE.sha256, contents, strict=True):
        (folder / name).write_bytes(text.encode())
        sums[name] = hashlib.sha256(text.encode()).hexdigest()
    monkeypatch.setattr(module, "ARCHIVE", replace(module.ARCHIVE, sha256=sums))
    return folder


@pytest.fixture
def house(monkeypatch, tmp_path):
    return publish(monkeypatch, smart_house, tmp_path, [house_file(11, FIRST), house_file(18, SECOND, first=50)])


@pytest.fixture
def city(monkeypatch, tmp_path):
    return publish(monkeypatch, beijing, tmp_path, [city_file(["NA", "NA", 129, "NA", "NA", 160, 170, 180, 190, 200])])


def test_every_name_of_the_house_has_its_own_column_in_spite_of_the_shifted_header(house):
    series = sml2010_series(house)
    field = {name: 3 + i for i, name in enumerate(series.variables)}
    for name in series.variables:
        expected = 0 if name.startswith("enthalpic") else 100 * field[name]
        assert series.values[0, series.column(name)] == expected
    assert field["dining_temp"] == 3
    assert field["outdoor_humidity"] == 23
    assert series.units[series.column("irradiance")] == "W/m2"


def test_no_window_of_the_house_crosses_the_week_or_a_missing_quarter_hour(house):
    data = sml2010(house, steps=2)
    np.testing.assert_array_equal(data.span, [[0, 2], [1, 3], [2, 4], [5, 7], [8, 10]])
    np.testing.assert_array_equal(data.labels["dining_temp_t+1"], [302, 303, 304, 352, 355])
    np.testing.assert_array_equal(data.labels["room_temp_t+1"], data.labels["dining_temp_t+1"] + 100)


def test_the_streams_of_the_house_and_its_dead_motors(house):
    data = sml2010(house, steps=2, horizons=(1, 2))
    assert {s.name: s.shape for s in data.streams} == {
        "dining": (2, 4),
        "room": (2, 4),
        "weather": (2, 5),
        "sun": (2, 5),
        "dead": (2, 3),
    }
    assert not data.inputs["dead"].any()
    assert [h.name for h in data.heads] == ["dining_temp_t+1", "room_temp_t+1", "dining_temp_t+2", "room_temp_t+2"]
    assert all(h.unit == "degC" for h in data.heads)


def test_all_variables_of_the_house_as_one_array(house):
    data, parted = sml2010(house, steps=2, joined=True), sml2010(house, steps=2)
    assert data.streams[0].shape == (2, 21)
    assert data.streams[0].features == tuple(f for s in parted.streams for f in s.features)
    np.testing.assert_array_equal(data.inputs["series"], np.concatenate(list(parted.inputs.values()), axis=-1))


def test_a_house_with_other_columns_is_refused(monkeypatch, tmp_path):
    wrong = house_file(11, FIRST, fields=[*HOUSE_FIELDS[:3], "Other", *HOUSE_FIELDS[4:]])
    publish(monkeypatch, smart_house, tmp_path, [wrong, house_file(18, SECOND)])
    with pytest.raises(
        BadValues, match=r"the first line of '.*NEW-DATA-1.T15.txt' names 24 fields.*expected '# 1:Date"
    ):
        sml2010(tmp_path)


def test_house_rows_with_too_few_fields_are_refused(monkeypatch, tmp_path):
    short = "\n".join(line if line[0] == "#" else line[:-5] for line in house_file(11, FIRST).splitlines()) + "\n"
    publish(monkeypatch, smart_house, tmp_path, [short, house_file(18, SECOND)])
    with pytest.raises(BadValues, match="have 23 fields; its header names 24"):
        sml2010(tmp_path)


def test_windows_longer_than_any_stretch_of_the_house_are_refused(house):
    with pytest.raises(EmptyData, match=r"no stretch of 11 rows without a gap \(10 to read"):
        sml2010(house)


def test_missing_dust_is_filled_from_before_and_marked(city):
    series = beijing_pm25_series(city)
    dust = series.column("pm25")
    np.testing.assert_array_equal(series.values[:, dust], [129, 129, 129, 160, 170, 180, 190, 200])
    np.testing.assert_array_equal(series.measured[:, dust], [True, False, False, True, True, True, True, True])
    assert series.measured.sum() == series.measured.size - 2
    assert series.time[0] == np.datetime64("2010-01-01T02")


def test_windows_of_the_city_tell_which_targets_were_filled(city):
    data = beijing_pm25(city, steps=1, horizons=(1, 3))
    np.testing.assert_array_equal(data.labels["pm25_t+1"], [129, 129, 160, 170, 180])
    np.testing.assert_array_equal(data.measured["pm25_t+1"], [False, False, True, True, True])
    np.testing.assert_array_equal(data.labels["pm25_t+3"], [160, 170, 180, 190, 200])
    assert data.measured["pm25_t+3"].all()
    assert [h.unit for h in data.heads] == ["ug/m3", "ug/m3"]


def test_wind_is_one_hot_and_carriage_returns_stay_out(city):
    data = beijing_pm25(city, steps=1, horizons=(1,))
    assert data.streams[2].features == ("wind=NE", "wind=NW", "wind=SE", "wind=cv", "wind_speed")
    np.testing.assert_array_equal(data.inputs["wind"][0, 0], [0, 0, 1, 0, 1.79])
    np.testing.assert_array_equal(data.inputs["precip"][:, 0], [[0.0, 2.0]] * len(data))
    np.testing.assert_array_equal(data.inputs["thermo"][0, 0], [-2.0, 2.5, 1002.0])


def test_the_city_as_one_array_with_a_calendar(city):
    data = beijing_pm25(city, steps=1, horizons=(1,), joined=True, calendar=True)
    assert data.streams[0].shape == (1, 15)
    np.testing.assert_allclose(data.inputs["series"][0, 0, -4:], [0.5, np.sqrt(0.75), 0.0, 1.0], atol=1e-12)


def test_a_city_with_other_columns_directions_or_no_dust_is_refused(monkeypatch, tmp_path):
    publish(monkeypatch, beijing, tmp_path, [city_file([1, 2]).replace("cbwd", "wind")])
    with pytest.raises(BadValues, match=r"has the columns No, year, .*, wind, .*; expected No, year"):
        beijing_pm25_series(tmp_path)
    publish(monkeypatch, beijing, tmp_path, [city_file([1, 2], ["NE", "SW"])])
    with pytest.raises(BadValues, match=r"column 'cbwd' of '.*' holds \['SW'\]"):
        beijing_pm25_series(tmp_path)
    publish(monkeypatch, beijing, tmp_path, [city_file(["NA", "NA"])])
    with pytest.raises(BadValues, match="holds no value at all"):
        beijing_pm25_series(tmp_path)


@pytest.mark.parametrize(("load", "module"), [(sml2010, smart_house), (beijing_pm25, beijing)])
def test_other_files_and_empty_folders_are_refused(load, module, tmp_path, monkeypatch):
    monkeypatch.setenv("XAI_MIMO_DATA", str(tmp_path))
    file, digest = next(iter(module.ARCHIVE.sha256.items()))
    number = module.ARCHIVE.number
    with pytest.raises(
        FileProblem, match=f"there is no {file} in '.*{module.ARCHIVE.name}'; put the file of UCI data set {number}"
    ):
        load()
    for name in module.ARCHIVE.sha256:
        (tmp_path / name).write_text("edited")
    with pytest.raises(FileProblem, match=f"has sha256 [0-9a-f]{{64}}, not {digest}: the file is edited.*set {number}"):
        load(tmp_path)


def test_without_a_folder_the_archive_is_fetched_and_every_file_of_it_is_needed(monkeypatch, tmp_path):
    monkeypatch.delenv("XAI_MIMO_DATA", raising=False)
    asked = []

    def retrieve(url, **_):
        asked.append(url)
        return [str(tmp_path / "NEW-DATA-1.T15.txt")]

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(FileProblem, match=r"holds no NEW-DATA-2.T15.txt; it holds .*NEW-DATA-1.T15.txt"):
        sml2010()
    assert asked == ["https://archive.ics.uci.edu/static/public/274/sml2010.zip"]


@real_house
def test_the_published_house_has_its_rows_gaps_and_dead_columns():
    series = sml2010_series(_DATA / "sml2010")
    assert series.values.shape == (4137, 22)
    assert np.bincount(series.segment).tolist()[0] == 2764
    assert len(np.unique(series.segment)) == 4
    dead = [series.column(f"enthalpic_{m}") for m in ("1", "2", "turbo")]
    assert not series.values[:, dead].any()
    dining = series.values[:, series.column("dining_temp")]
    assert (dining.min().round(1), dining.max().round(1)) == (11.4, 28.9)
    change = np.diff(dining[-537:])
    np.testing.assert_allclose([np.sqrt((change**2).mean()), np.abs(change).mean()], [0.1245, 0.1108], atol=5e-5)


@real_house
def test_the_published_house_splits_as_in_the_literature():
    train, validation, test = split(sml2010(_DATA / "sml2010"), (3200, 400))
    # 3190 and 527 where gaps are ignored: the week lies in the first part, two single missing rows in the last.
    assert (len(train), len(validation), len(test)) == (3180, 390, 511)


@real_city
def test_the_published_city_has_its_rows_and_missing_hours():
    series = beijing_pm25_series(_DATA / "beijing_pm25")
    assert series.values.shape == (43800, 15)
    assert not series.segment.any()
    assert (~series.measured).sum() == 2067 - 24
    counts = {v: int(series.values[:, series.column(v)].sum()) for v in ("wind=SE", "wind=NW", "wind=cv", "wind=NE")}
    assert sum(counts.values()) == 43800
    dust = series.values[:, series.column("pm25")]
    change = np.diff(dust[-8765:])
    np.testing.assert_allclose([np.sqrt((change**2).mean()), np.abs(change).mean()], [22.01, 11.82], atol=5e-3)
