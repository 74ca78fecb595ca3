"""Is attention an explanation? A transformer with two heads, its attention beside Integrated Gradients."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.attending import Attending
from tests.helpers.frameworks import imported, needs
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import NotSupported

pytestmark = pytest.mark.all_frameworks
FAST = Settings(resamples=200, steps=3, controls=1)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(24, 4, 2)).astype("float32")


def transformer():
    torch = imported("torch")
    torch.manual_seed(0)

    class Transformer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Linear(2, 8)
            self.encoder = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), 2)
            self.risk, self.kind = torch.nn.Linear(8, 1), torch.nn.Linear(8, 3)

        def forward(self, series):
            pooled = self.encoder(self.embed(series)).mean(dim=1)
            return {"risk": self.risk(pooled), "kind": self.kind(pooled).softmax(-1)}

    return Transformer().eval()


@needs("torch")
def test_attention_of_a_transformer_is_compared_and_called_what_it_is(rows):
    methods = ["attention_rollout", "integrated_gradients"]
    result = xm.compare(transformer(), rows, methods=methods, settings=FAST, seed=1)
    explanation = result.explanations.sel(explainer="attention_rollout")
    np.testing.assert_allclose(explanation["series"].sum(("series_time", "series_feature")), 1, rtol=1e-6)
    said = {(v.head, v.method): v.evidence for v in result.record.verdicts}
    for head in ("risk", "kind"):
        assert any(each.startswith("Heads: this map is the same") for each in said[head, "attention_rollout"])
        assert not any(each.startswith("Heads:") for each in said[head, "integrated_gradients"])
    assert {(m.name, m.axes) for m in result.record.maps} == {("attention_weights", ("attention_head", "query", "key"))}
    assert "abnar2020quantifying" in result.record.references


def test_attention_between_positions_is_no_interception_over_features(rows):
    with pytest.raises(NotSupported, match=r"attend from position to position .*'attention_rollout'"):
        xm.compare(Attending(), rows, methods=["interception", "occlusion"], settings=FAST)
    with pytest.raises(NotSupported, match=r"Attention from position to position is read by .*'attention_map'"):
        xm.explain(Attending(), rows, method="interception")
    default = xm.compare(Attending(), rows[:8], settings=FAST)
    assert "interception" not in default.record.verdicts[0].method
