"""Attention of PyTorch's and Hugging Face's own modules; the oracles are ``need_weights`` and ``output_attentions``."""

import copy
import threading

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported, needs
from xai_mimo.core.errors import NotSupported
from xai_mimo.sowing import is_collecting

torch = imported("torch")

pytestmark = [pytest.mark.all_frameworks, needs("torch")]


class Attending(torch.nn.Module):
    """One ``MultiheadAttention`` of a kind, on rows ``(row, 5, 6)``."""

    def __init__(self, *, memory=None, need_weights=False, mask=None, batch_first=True, fold=0, broken=False, **kinds):
        super().__init__()
        torch.manual_seed(1)
        self.attend = torch.nn.MultiheadAttention(6, 2, batch_first=batch_first, **kinds)
        if self.attend.in_proj_bias is not None:
            torch.nn.init.normal_(self.attend.out_proj.bias)
            torch.nn.init.normal_(self.attend.in_proj_bias)
        self.out = torch.nn.Linear(6, 1)
        self.memory, self.need_weights, self.mask, self.fold, self.broken = memory, need_weights, mask, fold, broken

    def given(self, x):
        """What the attention is called with."""
        key = x if self.memory is None else x[:, : self.memory, : self.attend.kdim] + 1.0
        if self.fold:
            x = key = x.reshape(-1, self.fold, x.shape[-1])
        swap = (lambda t: t) if self.attend.batch_first else (lambda t: t.transpose(0, 1))
        query, value = swap(x), swap(key)
        value = query if key is x else value
        padding = None if self.mask is None else torch.tensor(self.mask).expand(len(x), -1)
        return (query, value, value), {"key_padding_mask": padding}

    def forward(self, series):
        args, kwargs = self.given(series)
        attended, weights = self.attend(*args, need_weights=self.need_weights, **kwargs)
        assert (weights is None) == (not self.need_weights)
        if self.need_weights:
            assert weights.dim() == 3, "the mean over heads was asked for"
        if self.broken and is_collecting():
            raise RuntimeError("broken module")
        attended = attended if self.attend.batch_first else attended.transpose(0, 1)
        return self.out(attended.reshape(len(series), -1, 6).mean(dim=1))


MASK = [[False, False, True, False, True]]
KINDS = {
    "batch first": {},
    "sequence first": {"batch_first": False},
    "weights wanted": {"need_weights": True},
    "masked keys": {"mask": MASK},
    "without bias": {"bias": False},
    "cross-attention": {"memory": 3},
    "other widths": {"memory": 3, "kdim": 4, "vdim": 4, "batch_first": False},
}


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(4, 5, 6)).astype("float32")


def maps_of(model, rows):
    return xm.adapt(model, like=rows).intercept(rows)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_weights_are_those_that_torch_returns(rows, kind):
    model = Attending(**kind).eval()
    args, kwargs = model.given(torch.tensor(rows))
    with torch.no_grad():
        expected = model.attend(*args, need_weights=True, average_attn_weights=False, **kwargs)[1].numpy()
    name = "cross_attention_weights" if "memory" in kind else "attention_weights"
    found = maps_of(model, rows)[f"attend/{name}"]
    assert found.axes == ("attention_head", "query", "key")
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    np.testing.assert_allclose(found.values.sum(axis=-1), 1, atol=1e-6)
    if "mask" in kind:
        assert (found.values[..., MASK[0]] == 0).all()


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_values_are_inner_products_of_what_heads_make_of_a_key(rows, kind):
    """By giving one key all the weight of one head: what the module then answers is b_O + f_h(x_j)."""
    model = Attending(**kind).eval().double()
    wide = torch.tensor(rows).double()
    attend = model.attend
    (_, _, value), _ = model.given(wide)
    value = value if attend.batch_first else value.transpose(0, 1)
    kernel = attend.in_proj_weight[12:] if attend._qkv_same_embed_dim else attend.v_proj_weight
    bias = 0 if attend.in_proj_bias is None else attend.in_proj_bias[12:]
    vectors = []
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        alone = torch.zeros(*value.shape[:2], 6, dtype=torch.float64)
        alone[..., part] = (value @ kernel.T + bias)[..., part]
        vectors.append(alone @ attend.out_proj.weight.T)
    expected = torch.einsum("hbke,gbke->bkhg", torch.stack(vectors), torch.stack(vectors)).detach().numpy()
    name = "cross_attention_values" if "memory" in kind else "attention_values"
    np.testing.assert_allclose(maps_of(model, rows.astype("float64"))[f"attend/{name}"].values, expected, rtol=1e-9)


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("is_fast", [True, False])
def test_reading_leaves_everything_as_it_was(rows, broken, is_fast):
    model = Attending(broken=broken).train()
    adapted = xm.adapt(model, streams={"series": (5, 6)}, heads={"y": (1,)})
    before, forward = copy.deepcopy(model.state_dict()), torch.nn.MultiheadAttention.forward
    answers, fingerprint = None if broken else adapted.predict(rows), adapted.fingerprint()
    torch.backends.mha.set_fastpath_enabled(is_fast)
    try:
        if broken:
            with pytest.raises(Exception, match="broken module"):
                adapted.intercept(rows)
        else:
            adapted.intercept(rows)
        assert torch.backends.mha.get_fastpath_enabled() is is_fast
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert torch.nn.MultiheadAttention.forward is forward
    assert "forward" not in vars(model.attend)
    assert not model.attend._forward_hooks
    assert model.training
    assert adapted.fingerprint() == fingerprint
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    if not broken:
        np.testing.assert_array_equal(adapted.predict(rows)["y"], answers["y"])


def test_layers_of_a_transformer_are_read_outside_of_the_fast_path(rows):
    torch.manual_seed(2)
    encoder = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2, enable_nested_tensor=True
    ).eval()
    decoder = torch.nn.TransformerDecoderLayer(6, 2, 8, batch_first=True).eval()

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def forward(self, series):
            padding = torch.tensor(MASK).expand(len(series), -1)
            return self.decoder(series[:, :2], self.encoder(series, src_key_padding_mask=padding))[:, 0]

    found = maps_of(Both().eval(), rows)
    assert [key for key in found if key.endswith("weights")] == [
        "encoder.layers.0.self_attn/attention_weights",
        "encoder.layers.1.self_attn/attention_weights",
        "decoder.self_attn/attention_weights",
        "decoder.multihead_attn/cross_attention_weights",
    ]
    layer, x = encoder.layers[0], torch.tensor(rows)
    with torch.no_grad():
        expected = layer.self_attn(
            x, x, x, key_padding_mask=torch.tensor(MASK).expand(4, -1), average_attn_weights=False
        )
    first = found["encoder.layers.0.self_attn/attention_weights"].values
    np.testing.assert_allclose(first, expected[1].numpy(), atol=1e-6)
    assert (first[..., MASK[0]] == 0).all()


def test_threads_that_do_not_read_get_what_they_ask_for(rows):
    model = Attending().eval()
    seen = []

    class Asking(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, series):
            thread = threading.Thread(target=lambda: seen.append(model.attend(series, series, series)[1]))
            thread.start()
            thread.join()
            return self.inner(series)

    found = maps_of(Asking().eval(), rows)
    assert seen[-1].shape == (4, 5, 5)
    assert sum(key.endswith("weights") for key in found) == 1


def test_attention_whose_batch_is_not_that_of_the_rows_is_left_out(rows):
    with pytest.raises(NotSupported, match="whose batch is not that of the rows"):
        xm.intercept(Attending(fold=1).eval(), rows)


def test_a_compiled_module_is_read(rows):
    model = Attending().eval()
    found = maps_of(torch.compile(model, backend="eager"), rows)
    expected = maps_of(model, rows)
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(found["attend/attention_weights"].values, expected["attend/attention_weights"].values)


# -- Hugging Face -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ids():
    return np.random.default_rng(4).integers(1, 20, size=(3, 6))


def bert(**more):
    transformers = imported("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=20, max_position_embeddings=8, **sizes, **more)
    return transformers.BertForSequenceClassification(config).eval()


@needs("transformers")
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_an_encoder_gives_what_output_attentions_gives(ids, implementation):
    model = bert(attn_implementation=implementation)
    mask = np.ones_like(ids)
    mask[:, 4:] = 0
    adapted = xm.adapt(model, like={"input_ids": ids, "attention_mask": mask})
    answers = adapted.predict({"input_ids": ids, "attention_mask": mask})
    found = adapted.intercept({"input_ids": ids, "attention_mask": mask})
    assert model.config._attn_implementation == implementation
    assert not any(module._forward_hooks for module in model.modules())
    again = adapted.predict({"input_ids": ids, "attention_mask": mask})
    np.testing.assert_array_equal(again["logits"], answers["logits"])
    model.set_attn_implementation("eager")
    own = model(torch.tensor(ids), attention_mask=torch.tensor(mask), output_attentions=True).attentions
    assert list(found) == [f"bert.encoder.layer.{i}.attention.self/attention_weights" for i in range(2)]
    for sown, expected in zip(found.values(), own, strict=True):
        np.testing.assert_allclose(sown.values, expected.detach().numpy(), atol=1e-6)
        assert (sown.values[..., 4:] == 0).all()


@needs("transformers")
def test_a_model_of_hugging_face_inside_a_module_is_read_and_left_alone_after_an_error(ids):
    class Wrapped(torch.nn.Module):
        def __init__(self, is_broken):
            super().__init__()
            self.text, self.is_broken = bert().bert, is_broken

        def forward(self, ids):
            pooled = self.text(ids).pooler_output
            if self.is_broken and is_collecting():
                raise RuntimeError("broken module")
            return pooled

    assert list(maps_of(Wrapped(False).eval(), ids)) == [
        f"text.encoder.layer.{i}.attention.self/attention_weights" for i in range(2)
    ]
    model = Wrapped(True).eval()
    adapted = xm.adapt(model, like=ids)
    with pytest.raises(Exception, match="broken module"):
        adapted.intercept(ids)
    assert model.text.config._attn_implementation == "sdpa"
    assert not any(module._forward_hooks for module in model.modules())


@needs("transformers")
def test_self_and_cross_attention_of_an_encoder_and_a_decoder_are_told_apart(ids):
    transformers = imported("transformers")
    torch.manual_seed(0)
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    model = transformers.T5Model(transformers.T5Config(vocab_size=20, decoder_start_token_id=0, **sizes)).eval()

    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.t5 = model

        def forward(self, ids):
            return self.t5(input_ids=ids, decoder_input_ids=ids[:, :3], use_cache=False).last_hidden_state[:, -1]

    found = maps_of(Last().eval(), ids)
    names = {key.rsplit("/", 1)[1]: m.values.shape for key, m in found.items() if "decoder" in key}
    assert names == {"attention_weights": (3, 2, 3, 3), "cross_attention_weights": (3, 2, 3, 6)}
    model.set_attn_implementation("eager")
    own = model(
        input_ids=torch.tensor(ids), decoder_input_ids=torch.tensor(ids[:, :3]), output_attentions=True, use_cache=False
    )
    by_name = {key: m.values for key, m in found.items()}
    expected = [own.encoder_attentions[0], own.decoder_attentions[0], own.cross_attentions[0]]
    for values, each in zip(by_name.values(), expected, strict=True):
        np.testing.assert_allclose(values, each.detach().numpy(), atol=1e-6)
