"""Attention as methods: which layers, queries and heads, and what the tokens stand for."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.attending import Attending
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import AttentionFlow, AttentionMap, AttentionRollout
from xai_mimo.explainers.interception.attention_graph import edges_of, flow, head_norms, joined_norms, rollout

pytestmark = pytest.mark.all_frameworks


@pytest.fixture
def rows(rng):
    return rng.normal(size=(5, 4, 2)).astype("float32")


def explained(model, rows, method, stream="series"):
    """``(head, row, token)``: channels summed."""
    explanation = xm.explain(model, rows, method=method, check=False)
    return explanation, explanation[stream].sum(f"{stream}_feature").values


def weights(model, rows):
    inputs = rows if isinstance(rows, dict) else {model.streams[0].name: rows}
    return [m.values for m in model.intercept(inputs).values() if m.name.endswith("weights")]


def test_rollout_is_that_of_the_mean_attention_heads(rows):
    model = Attending()
    explanation, ours = explained(model, rows, "attention_rollout")
    expected = rollout([edges_of(each.mean(axis=1), 0.5) for each in weights(model, rows)]).mean(axis=1)
    np.testing.assert_allclose(ours[0], expected, rtol=1e-9)
    np.testing.assert_allclose(ours.sum(axis=2), 1)
    assert explanation.attrs["signed"] == 0
    assert explanation.attrs["reference"] == "abnar2020quantifying"


def test_one_map_is_given_to_all_heads(rows):
    _, ours = explained(Attending(), rows, "attention_map")
    np.testing.assert_array_equal(ours[0], ours[1])


def test_channels_share_a_token_evenly(rows):
    explanation, ours = explained(Attending(), rows, "attention_map")
    np.testing.assert_allclose(explanation["series"].values, np.repeat(ours[..., None] / 2, 2, axis=3))


@pytest.mark.parametrize(("query", "head", "residual"), [(0, "mean", 0.5), (-1, 1, 0.2), (2, 0, 0.0)])
def test_a_query_an_attention_head_and_the_residual_are_chosen(rows, query, head, residual):
    model = Attending()
    method = AttentionRollout(query=query, attention_head=head, residual=residual)
    chosen = [each.mean(axis=1) if head == "mean" else each[:, head] for each in weights(model, rows)]
    expected = rollout([edges_of(each, residual) for each in chosen])[:, query]
    np.testing.assert_allclose(explained(model, rows, method)[1][0], expected, rtol=1e-9)


def test_flow_is_that_of_the_graph(rows):
    model = Attending()
    edges = [edges_of(each.mean(axis=1), 0.5) for each in weights(model, rows)]
    ours = explained(model, rows, AttentionFlow(query=1))[1]
    np.testing.assert_allclose(ours[0], flow(edges, [1])[:, 0], rtol=1e-9)
    every = explained(model, rows, "attention_flow")[1]
    np.testing.assert_allclose(every[1], flow(edges, range(4)).mean(axis=1), rtol=1e-9)


def test_a_map_is_the_mean_over_the_layers_that_were_named(rows):
    model = Attending()
    first, second = weights(model, rows)
    np.testing.assert_allclose(
        explained(model, rows, "attention_map")[1][0], (first + second).mean(axis=(1, 2)) / 2, rtol=1e-9
    )
    named = explained(model, rows, AttentionMap(layers=["b"], query=3))[1]
    np.testing.assert_allclose(named[0], second.mean(axis=1)[:, 3], rtol=1e-9)


@pytest.mark.parametrize("head", ["mean", 1])
def test_norms_weigh_what_is_moved(rows, head):
    maps = (("a", "attention_weights", (2, 4, 4)), ("a", "attention_values", (4, 2, 2)))
    model = Attending(maps=maps)
    found = model.intercept({"series": rows})
    arrays = found["a/attention_weights"].values, found["a/attention_values"].values
    expected = joined_norms(*arrays) if head == "mean" else head_norms(*arrays)[:, head]
    explanation, ours = explained(model, rows, AttentionMap(weights="norms", attention_head=head))
    np.testing.assert_allclose(ours[0], expected.mean(axis=1), rtol=1e-9)
    assert explanation.attrs["reference"] == "kobayashi2020attention"


def test_positions_that_are_masked_are_no_queries(rows):
    """Position 3 is masked: nothing is taken of it, and as a query it takes the same of all."""
    attention = np.array([[[0.5, 0.2, 0.3, 0], [0.1, 0.9, 0, 0], [0, 0.4, 0.6, 0], [0.25, 0.25, 0.25, 0.25]]])
    given = {("a", "attention_weights"): np.broadcast_to(attention, (5, 1, 4, 4))}
    model = Attending(maps=(("a", "attention_weights", (1, 4, 4)),), given=given)
    ours = explained(model, rows, "attention_map")[1]
    np.testing.assert_allclose(ours[0], np.broadcast_to(attention[0, :3].mean(axis=0), (5, 4)))


def test_the_last_position_of_causal_attention_is_a_query(rows):
    attention = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]
    given = {("a", "attention_weights"): np.broadcast_to(attention, (5, 1, 4, 4))}
    model = Attending(maps=(("a", "attention_weights", (1, 4, 4)),), given=given)
    ours = explained(model, rows, AttentionMap(query=-1))[1]
    np.testing.assert_allclose(ours[0], 0.25)


def test_prefix_tokens_get_no_position(rows):
    model = Attending(maps=(("a", "attention_weights", (2, 5, 5)),))
    ours = explained(model, rows, AttentionMap(query=0, prefix_tokens=1))[1]
    np.testing.assert_allclose(ours[0], weights(model, rows)[0].mean(axis=1)[:, 0, 1:], rtol=1e-9)


def test_fewer_tokens_than_positions_share_their_weight(rows):
    model = Attending(maps=(("a", "attention_weights", (2, 2, 2)),))
    ours = explained(model, rows, AttentionMap(query=0))[1]
    expected = weights(model, rows)[0].mean(axis=1)[:, 0]
    np.testing.assert_allclose(ours[0], np.repeat(expected / 2, 2, axis=1), rtol=1e-9)


def test_tokens_of_several_streams_stand_in_one_row(rng):
    streams = (Stream("table", (3,)), Stream("series", (4, 2)), Stream("site", (2,)), Stream("rest", (2,)))
    model = Attending(streams=streams, maps=(("a", "attention_weights", (2, 9, 9)),))
    x = {"table": (5, 3), "series": (5, 4, 2), "site": (5, 2), "rest": (5, 2)}
    x = {name: rng.normal(size=shape).astype("float32") for name, shape in x.items()}
    method = AttentionMap(query=0, tokens={"table": 3, "series": 4, "site": 1}, prefix_tokens=1)
    explanation = xm.explain(model, x, method=method, check=False)
    expected = weights(model, x)[0].mean(axis=1)[:, 0]
    np.testing.assert_allclose(explanation["table"][0], expected[:, 1:4], rtol=1e-9)
    np.testing.assert_allclose(explanation["series"][0].sum("series_feature"), expected[:, 4:8], rtol=1e-9)
    np.testing.assert_allclose(explanation["site"][0], np.repeat(expected[:, 8:] / 2, 2, axis=1), rtol=1e-9)
    assert "rest" in explanation.attrs["unexplained"]
    with pytest.raises(BadSetting, match=r"read 9 tokens; tokens=\{'table': 3\} and prefix_tokens=0 are 3"):
        xm.explain(model, x, method=AttentionMap(tokens={"table": 3}), check=False)
    with pytest.raises(NotSupported, match="Say how many tokens each stream has"):
        xm.explain(model, x, method="attention_map", check=False)


def test_patches_of_an_image_are_laid_over_it(rng):
    model = Attending(
        streams=(Stream("photo", (4, 6, 3)),), maps=(("a", "attention_weights", (2, 6, 6)),), heads=(Head("y", (1,)),)
    )
    model.predict = lambda inputs: {"y": inputs["photo"].sum(axis=(1, 2, 3))[:, None]}
    x = {"photo": rng.normal(size=(5, 4, 6, 3)).astype("float32")}
    ours = xm.explain(model, x, method=AttentionMap(query=0), check=False)["photo"][0].sum("photo_channel").values
    tokens = weights(model, x)[0].mean(axis=1)[:, 0].reshape(5, 2, 3) / 4
    np.testing.assert_allclose(ours, np.repeat(np.repeat(tokens, 2, axis=1), 2, axis=2), rtol=1e-9)


def test_a_last_layer_that_pools_is_multiplied_as_it_is(rows):
    maps = (("a", "attention_weights", (2, 4, 4)), ("pool", "cross_attention_weights", (1, 1, 4)))
    model = Attending(maps=maps)
    first, pool = weights(model, rows)
    ours = explained(model, rows, AttentionRollout(layers=["a", "pool"]))[1]
    expected = pool[:, 0] @ edges_of(first.mean(axis=1), 0.5)
    np.testing.assert_allclose(ours[0], expected[:, 0], rtol=1e-9)
    with pytest.raises(
        NotSupported, match=r"layer 'pool' does not attend to its own positions .* layers=\['a', 'pool'"
    ):
        xm.explain(model, rows, method="attention_rollout", check=False)


@pytest.mark.parametrize(
    ("maps", "method", "error", "text"),
    [
        ((), "attention_rollout", NotSupported, "no layer of this model that can be read has any"),
        ((("a", "attention_weights", (2, 3, 4, 4)),), "attention_map", NotSupported, "along some axes of its input"),
        ((("a", "attention_weights", (2, 4, 4)),), AttentionMap(attention_head=2), BadSetting, "has 2 attention heads"),
        ((("a", "attention_weights", (2, 4, 4)),), AttentionMap(query=4), BadSetting, "has 4 queries"),
        ((("a", "attention_weights", (2, 4, 4)),), AttentionMap(weights="norms"), NotSupported, "there are no norms"),
        ((("a", "attention_weights", (2, 4, 4)),), AttentionMap(layers=["c"]), UnknownName, "layer with attention"),
        ((("a", "attention_weights", (2, 4, 4)),), AttentionMap(stream="text"), UnknownName, "input stream"),
        ((("a", "attention_weights", (2, 4, 4)),), AttentionMap(prefix_tokens=4), BadSetting, "cannot be a prefix"),
        (
            (("a", "attention_weights", (2, 4, 4)), ("b", "attention_weights", (2, 2, 2))),
            "attention_rollout",
            NotSupported,
            "reads 2 tokens and the layer before gives 4",
        ),
        (
            (("a", "attention_weights", (2, 4, 4)), ("b", "attention_weights", (2, 2, 2))),
            "attention_map",
            NotSupported,
            "have no mean",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(rows, maps, method, error, text):
    with pytest.raises(error, match=text):
        xm.explain(Attending(maps=maps), rows, method=method, check=False)


def test_tokens_are_not_guessed_to_be_features(rng):
    model = Attending(streams=(Stream("table", (3,)),), maps=(("a", "attention_weights", (2, 4, 4)),))
    with pytest.raises(NotSupported, match="cannot be told from the 3 features of input stream 'table'"):
        xm.explain(model, rng.normal(size=(5, 3)).astype("float32"), method="attention_map", check=False)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"query": 0.5}, "query must be a whole number, or 'mean'"),
        ({"attention_head": True}, "attention_head must be"),
        ({"weights": "gradients"}, "weights 'gradients' is not one of attention, norms"),
        ({"layers": "a"}, "layers must be a list of names"),
        ({"tokens": {"a": 0}}, "tokens must say how many tokens"),
        ({"tokens": {"a": 1}, "stream": "a"}, "contradict each other"),
        ({"residual": 1.0}, "residual must be a share"),
        ({"grid": (2,)}, "grid must be rows and columns"),
    ],
)
def test_settings_are_checked(settings, text):
    with pytest.raises(BadSetting, match=text):
        AttentionRollout(**settings)
