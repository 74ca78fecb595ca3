"""Saved models with our layers load in a process that has imported none of their classes."""

import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.errors import FileProblem, NotTrusted
from xai_mimo.layers import FLINT, IMVLSTM, MAIL, IdentityMLP, MHEXHead, MixtureNLL


def mail_model():
    streams = [keras.Input((3,), name="u"), keras.Input((2,), name="v")]
    model = keras.Model(streams, MAIL({"load": 1}, name="mail")(streams))
    model.compile("sgd", "mse")
    return model, [np.ones((2, 3)), np.ones((2, 2))]


def imv_model():
    window = keras.Input((4, 3))
    model = keras.Model(window, IMVLSTM(2, heads={"load": 1}, output="mixture", name="imv")(window))
    model.compile("sgd", MixtureNLL())
    return model, np.ones((2, 4, 3))


def identity_model():
    model = keras.Sequential([keras.Input((3,)), IdentityMLP(2, depth=2)])
    return model, np.ones((2, 3))


def flint_model():
    predictor = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "relu", name="tap"), keras.layers.Dense(2, "softmax")]
    )
    return FLINT(predictor, ["tap"], 2, decoder=False, seed=0), np.ones((2, 3))


def mhex_model():
    image = keras.Input((4, 4, 2))
    local = keras.layers.Conv2D(2, 3, padding="same")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(MHEXHead(2)([local, image]))
    return keras.Model(image, keras.layers.Dense(2)(pooled)), np.ones((2, 4, 4, 2))


MODELS = [mail_model, imv_model, identity_model, flint_model, mhex_model]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file for each system, with what the model says."""
    made = tmp_path_factory.mktemp("saved")
    for build in MODELS:
        model, x = build()
        model.save(made / f"{build.__name__}.keras")
        np.save(made / f"{build.__name__}.npy", keras.tree.flatten(model.predict(x, verbose=0))[0])
    return made


def run(code, *arguments):
    """The same backend in a new process."""
    environment = os.environ | {"KERAS_BACKEND": keras.backend.backend()}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


LOAD_ALL = "; [print(type(load(str(p))).__name__) for p in sorted(pathlib.Path(sys.argv[1]).glob('*.keras'))]"


@pytest.mark.parametrize(
    "imports",
    [
        "import pathlib, sys, keras, xai_mimo.layers; load = keras.models.load_model",
        "import pathlib, sys, xai_mimo.layers, keras; load = keras.models.load_model",
        "import pathlib, sys, xai_mimo as xm; load = xm.load_model",
    ],
    ids=["layers after keras", "layers before keras", "xm.load_model"],
)
def test_a_new_process_loads_every_system(folder, imports):
    assert run(imports + LOAD_ALL, str(folder)) == ["FLINT", "Sequential", "Functional", "Functional", "Functional"]


def test_the_toolkit_alone_does_not_load_keras():
    assert run("import sys, xai_mimo, xai_mimo.cli.main; dir(xai_mimo); print('keras' in sys.modules)") == ["False"]


@pytest.mark.parametrize("build", MODELS)
def test_a_loaded_model_says_the_same(folder, build):
    loaded = xm.load_model(folder / f"{build.__name__}.keras")
    again = keras.tree.flatten(loaded.predict(build()[1], verbose=0))[0]
    np.testing.assert_allclose(again, np.load(folder / f"{build.__name__}.npy"), atol=1e-6)


def test_the_loss_comes_back_unless_it_is_not_wanted(folder):
    assert xm.load_model(folder / "imv_model.keras").loss.name == MixtureNLL().name
    assert not xm.load_model(folder / "imv_model.keras", compile=False).compiled


def rewritten(path, target, change):
    """A copy of a saved model with another configuration."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            text = source.read(name)
            copy.writestr(name, change(text.decode()) if name == "config.json" else text)
    return target


@pytest.mark.parametrize("module", ["xai_mimo.layers.mail", "xai_mimo.layers.nowhere"])
def test_a_file_from_before_the_modules_moved_loads(folder, tmp_path, module):
    now = '"module": "xai_mimo.layers.mail.layer"'
    old = rewritten(
        folder / "mail_model.keras", tmp_path / "old.keras", lambda text: text.replace(now, f'"module": "{module}"')
    )
    assert now not in json.dumps(json.loads(zipfile.ZipFile(old).read("config.json")))
    model, x = mail_model()
    assert xm.load_model(old).get_layer("mail").get_config() == model.get_layer("mail").get_config()
    assert np.shape(xm.load_model(old).predict(x, verbose=0)["load"]) == (2, 1)


def test_files_that_are_no_models_are_refused_with_their_reason(tmp_path):
    with pytest.raises(FileProblem, match="there is no such file"):
        xm.load_model(tmp_path / "none.keras")
    with pytest.raises(
        FileProblem, match=r"it is a folder without a saved model in it .*Give the name of a file inside it"
    ):
        xm.load_model(tmp_path)
    with pytest.raises(FileProblem, match=r"expected the path of a saved model, as text or as a Path; got NoneType"):
        xm.load_model(None)
    (tmp_path / "text.keras").write_text("text")
    with pytest.raises(FileProblem, match=r"is not a saved Keras model; write one with model\.save"):
        xm.load_model(tmp_path / "text.keras")


def test_code_in_a_file_is_not_run(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1, output_shape=(2,))])
    model.save(tmp_path / "code.keras")
    with pytest.raises(
        NotTrusted, match=r"code\.keras' holds code, such as a Lambda layer, which can do all that you may"
    ):
        xm.load_model(tmp_path / "code.keras")
    loaded = xm.load_model(tmp_path / "code.keras", trust=True)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(loaded(np.ones((1, 2)))), [[2.0, 2.0]])
