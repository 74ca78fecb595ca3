"""A study's folder: figures and network belong together, and a file is whole or not there."""

import json

import keras
import numpy as np
import pytest

from xai_mimo.core.errors import FileProblem
from xai_mimo.core.streams import Head, Stream
from xai_mimo.datasets import Data
from xai_mimo.layers.saved import digest_of_file, load_model, save_model
from xai_mimo.studies import runs


def network(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((2,), name="u"), keras.layers.Dense(1, name="y")])


@pytest.fixture
def folder(tmp_path):
    run = {"network": "baseline", "seed": 0, "digest": "d", "network_sha256": ""}
    run["network_sha256"] = save_model(network(0), tmp_path / "baseline-seed0.keras")
    (tmp_path / "baseline-seed0.json").write_text(json.dumps(run))
    return tmp_path


def test_what_belongs_together_is_kept(folder):
    run = runs._earlier_run(folder, "baseline", 0, "d")
    assert run["network_sha256"] == digest_of_file(folder / "baseline-seed0.keras")
    assert runs._earlier_run(folder, "baseline", 0, "another study") is None
    assert sorted(p.name for p in folder.iterdir()) == ["baseline-seed0.json", "baseline-seed0.keras"]


def test_figures_beside_another_network_are_not_taken_for_its(folder, caplog):
    inputs = {"u": np.ones((3, 2), "float32")}
    parts = (Stream("u", (2,)),), (Head("y"),), {}, {}, np.zeros(3, bool), ""
    data = Data("d", inputs, {"y": np.ones(3)}, *parts)
    run = runs._earlier_run(folder, "baseline", 0, "d")
    assert runs.load_network(folder, run, data).predict(data.inputs)["y"].shape == (3, 1)
    save_model(network(1), folder / "baseline-seed0.keras")
    assert runs._earlier_run(folder, "baseline", 0, "d") is None
    assert "is not the network whose figures are in baseline-seed0.json: it is trained again" in caplog.text
    with pytest.raises(FileProblem, match=r"seed0\.keras is not the network of these figures any more: another study"):
        runs.load_network(folder, run, data)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"digest": "d"}', "{}", "[" * 100_000])
def test_damaged_figures_are_made_again(text, folder, caplog):
    (folder / "baseline-seed0.json").write_text(text)
    assert runs._earlier_run(folder, "baseline", 0, "d") is None
    assert "trained again" in caplog.text


def test_a_network_is_written_in_one_step(folder, monkeypatch):
    before = digest_of_file(folder / "baseline-seed0.keras")

    def stopped(self, path, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        save_model(network(1), folder / "baseline-seed0.keras")
    assert digest_of_file(folder / "baseline-seed0.keras") == before
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_network_is_refused_in_our_words(seed, folder):
    path = folder / "baseline-seed0.keras"
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    place = int(rng.integers(len(content)))
    content[place : place + 8] = rng.bytes(8)
    path.write_bytes(content)
    try:
        load_model(path)
    except FileProblem as err:
        assert path.name in str(err)  # noqa: PT017


def test_hdf5_with_an_archive_behind_is_no_saved_model(folder):
    path = folder / "baseline-seed0.keras"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64) + path.read_bytes())
    with pytest.raises(FileProblem, match="is not a saved Keras model"):
        load_model(path)
