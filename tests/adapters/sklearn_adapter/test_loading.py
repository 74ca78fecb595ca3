"""Estimators from files of skops, and boosted trees from the files of their libraries: nothing of these is run."""

import json
import zipfile

import numpy as np
import pytest
from xai_mimo_adapters.sklearn_adapter.ubjson import is_whole

import xai_mimo as xm
from tests.helpers.evil import Evil, evil_pickle
from tests.helpers.frameworks import needs
from tests.helpers.saved_models import (
    SAFE,
    catboost_file,
    catboost_json_file,
    estimator,
    lightgbm_file,
    reference,
    rewritten,
    rows,
    skops_file,
    xgboost_file,
    xgboost_json_file,
)
from xai_mimo.core.errors import FileProblem, MissingDependency, NotTrusted

pytestmark = [pytest.mark.all_frameworks, needs("sklearn", "skops", "xgboost", "lightgbm", "catboost")]

TREES = {
    "ubj": xgboost_file,
    "json of xgboost": xgboost_json_file,
    "txt": lightgbm_file,
    "cbm": catboost_file,
    "json of catboost": catboost_json_file,
}


class Mine:
    """An estimator of the user's, that skops cannot know."""

    def __init__(self, level=1.0):
        self.level = level
        self.n_features_in_ = 4

    def fit(self, x, y):
        return self

    def predict(self, x):
        return np.full(len(x), self.level)

    def __sklearn_is_fitted__(self):
        return True


def test_an_estimator_says_the_same(tmp_path):
    loaded = xm.load_model(skops_file(tmp_path))
    np.testing.assert_array_equal(loaded.predict(rows()), estimator().predict(rows()))


@pytest.mark.parametrize("kind", TREES)
def test_trees_say_the_same(kind, tmp_path):
    path = TREES[kind](tmp_path)
    (y,) = xm.adapt(xm.load_model(path), like=rows()).predict(rows()).values()
    asked = {"ubj": "xgboost", "txt": "lightgbm", "cbm": "catboost"}.get(kind, kind.split()[-1])
    if asked == "xgboost":
        import xgboost

        expected = xgboost.Booster(model_file=path).predict(xgboost.DMatrix(rows()))
    elif asked == "lightgbm":
        import lightgbm

        expected = lightgbm.Booster(model_file=path).predict(rows())
    else:
        import catboost

        expected = catboost.CatBoost().load_model(str(path), format=path.suffix[1:]).predict(rows())
    np.testing.assert_allclose(y[:, 0], expected, rtol=1e-6)
    assert np.corrcoef(y[:, 0], rows() @ [1.0, 0.25, -1.0, 0.0])[0, 1] > 0.5


def test_types_that_skops_does_not_trust_are_named_and_made_where_they_are_trusted(tmp_path):
    import skops.io

    skops.io.dump(Mine(2.5), tmp_path / "mine.skops")
    with pytest.raises(NotTrusted) as refused:
        xm.load_model(tmp_path / "mine.skops")
    text = str(refused.value)
    assert "makes objects of types that skops does not know as harmless, and making them can run code: " in text
    assert f"{Mine.__module__}.Mine. Only if you know who made it" in text
    assert xm.load_model(tmp_path / "mine.skops", trust=True).predict(rows(2)).tolist() == [2.5, 2.5]


def test_an_object_that_runs_code_in_a_file_of_skops_is_not_made(tmp_path):
    mark = tmp_path / "it-ran"

    def change(name, content):
        if name != "schema.json":
            return content
        schema = json.loads(content)
        call = {
            "__class__": "Path",
            "__module__": "pathlib",
            "__loader__": "ReduceNode",
            "__id__": 1,
            "reduce": {
                "args": {
                    "__class__": "str",
                    "__module__": "builtins",
                    "__loader__": "JsonNode",
                    "__id__": 2,
                    "content": json.dumps(str(mark)),
                    "is_json": True,
                }
            },
            "content": None,
        }
        schema["content"]["content"]["evil"] = call | {"__class__": "system", "__module__": "os"}
        return json.dumps(schema).encode()

    with pytest.raises(FileProblem):
        xm.load_model(rewritten(skops_file(tmp_path), tmp_path / "evil.skops", change))
    assert not mark.exists()


def test_a_pickle_inside_a_file_of_skops_is_not_read(tmp_path):
    mark = tmp_path / "it-ran"

    def change(name, content):
        if not name.endswith(".npy"):
            return content
        np.save(tmp_path / "evil.npy", np.array([Evil(mark)], dtype=object), allow_pickle=True)
        return (tmp_path / "evil.npy").read_bytes()

    for kept in (change, lambda name, content: evil_pickle(mark) if name.endswith(".npy") else content):
        path = rewritten(skops_file(tmp_path), tmp_path / "evil.skops", kept)
        for trust in (False, True):
            with pytest.raises(FileProblem, match=r"evil\.skops' cannot be loaded as a file of skops: "):
                xm.load_model(path, trust=trust)
    assert not mark.exists()


def test_files_of_skops_that_are_something_else_are_refused(tmp_path):
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(FileProblem, match=r"is not a file of skops: there is no schema\.json in the archive"):
        xm.load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{}")
    with pytest.raises(FileProblem, match=r"model\.skops' cannot be loaded as a file of skops: "):
        xm.load_model(path)
    path.write_bytes(evil_pickle(tmp_path / "it-ran"))
    with pytest.raises(FileProblem, match=r"model\.skops' is not a file of skops: it seems to be a pickle\.$"):
        xm.load_model(path)
    whole = skops_file(tmp_path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileProblem, match="is not a file of skops: the archive is damaged or was cut short"):
        xm.load_model(path)


@pytest.mark.parametrize("kind", TREES)
def test_trees_that_were_cut_short_are_refused(kind, tmp_path):
    path = TREES[kind](tmp_path)
    whole = path.read_bytes()
    for share in (0.1, 0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(FileProblem, match=rf"{path.name}' (cannot be loaded as|is not) a model "):
            xm.load_model(path)


def test_ubjson_is_whole_where_its_last_byte_is():
    values = [
        b"{i\x01aU\x05i\x01b[$d#L" + (2).to_bytes(8, "big") + bytes(8) + b"}",
        b"[TFZSi\x03abc[]{}]",
        b"[#i\x02TF",
        b"{#i\x01i\x01kD" + bytes(8),
    ]
    for value in values:
        assert is_whole(value)
        assert not any(is_whole(value[:i]) for i in range(len(value)))
        assert not is_whole(value + b"T")
    assert not is_whole(b"[" * 10_000)
    assert not is_whole(b"Si\xffa")
    assert not is_whole(b"{$#")


@pytest.mark.parametrize("end", ["ubj", "json", "txt", "cbm"])
def test_files_of_something_else_are_refused(end, tmp_path):
    path = tmp_path / f"trees.{end}"
    for content in (b"hello", b'{"a": 1}', b"[" * 5000, b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(FileProblem, match=rf"trees\.{end}' is not a model "):
            xm.load_model(path)


def test_a_record_in_the_place_of_a_model_says_so(tmp_path):
    (tmp_path / "comparison.json").write_text('{"schema": "xai_mimo.comparison/1"}')
    with pytest.raises(
        FileProblem, match=r"is not a saved model but a record: `xai-mimo report .*comparison\.json` without"
    ):
        xm.load_model(tmp_path / "comparison.json")


def test_a_package_that_is_missing_is_named_with_its_command(monkeypatch, tmp_path):
    paths = {name: SAFE[name][1](tmp_path) for name in ("skops", "ubj", "txt", "cbm")}
    for name, module, command in (
        ("skops", "skops.io", r"pip install 'xai-mimo\[skops\]'"),
        ("ubj", "xgboost", "pip install xgboost"),
        ("txt", "lightgbm", "pip install lightgbm"),
        ("cbm", "catboost", "pip install catboost"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(__import__("sys").modules, module, None)
            with pytest.raises(MissingDependency, match=command):
                xm.load_model(paths[name])


def test_the_helper_is_what_it_says():
    np.testing.assert_allclose(estimator().predict(rows()), np.arctanh(reference(rows())), atol=1e-4)
