"""A study's folder: figures and network belong together, and a file is whole or not there."""

import json

import keras
import numpy as np
import pytest

from xai_mimo.core.errors import FileProblem
from xai_mimo.core.streams import Head, Stream
from xai_mimo.datasets import Data, predictive_maintenance
from xai_mimo.layers.saved import digest_of_file, load_model, save_model
from xai_mimo.studies import runs, study
from xai_mimo.studies.settings import StudySettings
from xai_mimo.studies.training import prepare

SAME = runs.Identity("n", "d")


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
    run = runs._earlier_run(folder, "baseline", 0, SAME)
    assert run["network_sha256"] == digest_of_file(folder / "baseline-seed0.keras")
    assert runs._earlier_run(folder, "baseline", 0, runs.Identity("other", "study")) is None
    assert sorted(p.name for p in folder.iterdir()) == ["baseline-seed0.json", "baseline-seed0.keras"]


def test_figures_beside_another_network_are_not_taken_for_its(folder, caplog):
    inputs = {"u": np.ones((3, 2), "float32")}
    parts = (Stream("u", (2,)),), (Head("y"),), {}, {}, np.zeros(3, bool), ""
    data = Data("d", inputs, {"y": np.ones(3)}, *parts)
    run = runs._earlier_run(folder, "baseline", 0, SAME)
    assert runs.load_network(folder, run, data).predict(data.inputs)["y"].shape == (3, 1)
    save_model(network(1), folder / "baseline-seed0.keras")
    assert runs._earlier_run(folder, "baseline", 0, SAME) is None
    assert "is not the network whose figures are in baseline-seed0.json: it is trained again" in caplog.text
    with pytest.raises(FileProblem, match=r"seed0\.keras is not the network of these figures any more: another study"):
        runs.load_network(folder, run, data)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"digest": "d"}', "{}", "[" * 100_000])
def test_damaged_figures_are_made_again(text, folder, caplog):
    (folder / "baseline-seed0.json").write_text(text)
    assert runs._earlier_run(folder, "baseline", 0, SAME) is None
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


@pytest.fixture
def run_network(tmp_path, monkeypatch):
    """Run one network of a small study in a folder, and say how often anything was trained since."""
    data = predictive_maintenance(300, seed=1, positives=0.25).only(("HDF",))
    trained = []
    fit = runs.training.fit
    monkeypatch.setattr(runs.training, "fit", lambda *a, **k: (trained.append(1), fit(*a, **k))[1])

    def run(folder, *, epochs=1, data=data, **explaining):
        settings = StudySettings(
            title="t",
            dataset="ai4i2020",
            streams={s.name: {"columns": s.features} for s in data.streams},
            heads={"HDF": {"column": "HDF", "kind": "binary"}},
            training={"epochs": epochs, "hidden": 4},
            explaining={"methods": ("interception", "gradient"), "rows": 8, **explaining},
        )
        identity = study._identity(settings, data)
        before = len(trained)
        prepared = prepare(data, 0.3, 0)
        figures = runs.train_and_score(
            settings, prepared, "mail_local", 0, tmp_path / folder, identity, lambda text, share: None
        )
        return figures, len(trained) - before

    return run


def test_a_network_of_the_same_training_is_explained_anew_and_not_trained_again(run_network):
    first, count = run_network("a")
    assert count == 1
    fewer, count = run_network("a", rows=4)
    assert count == 0
    fresh, _ = run_network("b", rows=4)
    assert {score["rows"] for score in fewer["truth"]} == {4}
    assert {score["rows"] for score in first["truth"]} == {8}
    assert fewer["network_sha256"] == first["network_sha256"]
    assert fewer["task"] == first["task"]
    for ours, anew in zip(fewer["truth"], fresh["truth"], strict=True):
        assert (ours["head"], ours["method"], ours["rows"]) == (anew["head"], anew["method"], anew["rows"])
        np.testing.assert_allclose([ours["share"], ours["auroc"]], [anew["share"], anew["auroc"]], rtol=1e-4)
    assert run_network("a", rows=4) == (fewer, 0)
    assert run_network("a", rows=4, methods=("gradient",))[1] == 0


def test_another_training_or_table_trains_again(run_network):
    _, count = run_network("a")
    assert count == 1
    assert run_network("a", epochs=2)[1] == 1
    other = predictive_maintenance(300, seed=2, positives=0.25).only(("HDF",))
    assert run_network("a", data=other)[1] == 1
    assert run_network("a")[1] == 1
