"""Heads with classes at each step of a sequence, through a whole comparison."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.streams import Head, Stream
from xai_mimo.metrics.probability_drop import probabilities
from xai_mimo.reports.page.examples import title_of_example

pytestmark = pytest.mark.all_frameworks

TAG = Head("tag", (2, 2), kind="multiclass", units=("calm", "storm"), unit="logit")
WEIGHTS = np.random.default_rng(0).normal(size=(3, 4))


def tagger():
    """Two steps with two classes each, logits that are linear in three features."""
    return toys.Toy(
        (Stream("u", (3,), dtype="float64"),),
        (TAG,),
        lambda x: {"tag": x @ WEIGHTS},
        jacobian=lambda x: {"tag": np.repeat(WEIGHTS.T[None], len(x), axis=0)},
    )


def test_a_comparison_has_a_target_for_each_step_and_the_page_names_its_class(tmp_path, rng):
    rows = {"u": rng.normal(size=(30, 3))}
    labels = (rows["u"] @ WEIGHTS).reshape(30, 2, 2).argmax(axis=2)
    labels[0] = 1 - labels[0]
    result = xm.compare(
        tagger(),
        rows,
        ["gradient", "occlusion"],
        metrics=["deletion_area", "spearman"],
        labels={"tag": labels},
        settings=Settings(resamples=200, ceilings=False),
    )
    record = result.record
    assert [(t.name, t.head, t.unit) for t in record.targets] == [
        ("tag:0", "tag", "predicted"),
        ("tag:1", "tag", "predicted"),
    ]
    for example in record.examples:
        step = int(example.head[-1])
        assert example.label == 2 * step + labels[example.row, step]
        assert example.unit.startswith(f"{step},")
        words = ("calm", "storm")
        assert f"label {step},{words[labels[example.row, step]]}" in title_of_example(record, example)
    result.report(tmp_path / "steps.html")
    assert "tag:1" in (tmp_path / "steps.html").read_text(encoding="utf-8")


def test_logits_are_read_as_probabilities_step_by_step(rng):
    outputs = rng.normal(size=(5, 2, 2))
    expected = np.exp(outputs) / np.exp(outputs).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(probabilities(outputs, TAG), expected.reshape(5, 4))


def test_whole_maps_of_steps_are_explained(rng):
    rows = {"u": rng.normal(size=(4, 3))}
    found = xm.explain(tagger(), rows, "integrated_gradients", targets=[("tag", "label")], labels=np.zeros((4, 2), int))
    assert found["head"].values.tolist() == ["tag:0", "tag:1"]
    np.testing.assert_allclose(found["u"][1], rows["u"] * WEIGHTS[:, 2], atol=1e-12)
