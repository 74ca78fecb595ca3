"""A Temporal Fusion Transformer of pytorch_forecasting, untrained: it is read as it is, its own maps too."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.forecasting import AHEAD, HELD, PAST, all_rows, made_series, network_of, windows_of
from tests.helpers.frameworks import imported, needs
from xai_mimo.core.streams import Head
from xai_mimo.explainers import AttentionMap
from xai_mimo.sowing import is_collecting
from xai_mimo.testing import check_adapter

torch = imported("torch")

pytestmark = [pytest.mark.all_frameworks, needs("torch", "pytorch_forecasting")]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Many small operations: what a second thread takes to start is more than it saves."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


QUANTILES = Head("prediction", (AHEAD, 3), kind="quantile", units=("p10", "p50", "p90"))
SELECTION = {"encoder": "encoder_variable_selection", "decoder": "decoder_variable_selection"}


@pytest.fixture(scope="module")
def read():
    """The network, in training mode, its rows, and the names of its numbers."""
    windows = windows_of(made_series(16, seed=0, stores=2))
    torch.manual_seed(0)
    network = network_of(windows, hidden_size=8, attention_head_size=2, hidden_continuous_size=4).train()
    rows, _ = all_rows(windows)
    return network, {name: x[::2] for name, x in rows.items()}, tuple(windows.reals)


def adapted(read, **more):
    network, rows, names = read
    streams = {"encoder_cont": names, "decoder_cont": names}
    return xm.adapt(network, like=rows, streams=streams, heads=[QUANTILES], held=HELD, **more)


def own_answer(read):
    network, rows, _ = read
    network.eval()
    with torch.no_grad():
        answer = network(rows)
    network.train()
    return answer


def test_its_one_mapping_of_tensors_becomes_streams_and_its_quantiles_a_head_for_each_step(read):
    model, answer = adapted(read), own_answer(read)
    assert [s.name for s in model.streams if not s.held] == ["encoder_cont", "decoder_cont"]
    assert model.heads[0].units[:4] == ("0,p10", "0,p50", "0,p90", "1,p10")
    np.testing.assert_allclose(model.predict(read[1])["prediction"], answer["prediction"].numpy(), rtol=1e-5, atol=1e-6)
    assert read[0].training


@pytest.mark.parametrize("memory", [None, 1])
def test_its_variable_selection_and_attention_are_read_for_all_rows(read, memory):
    answer = own_answer(read)
    maps = adapted(read, **({} if memory is None else {"max_memory": memory})).intercept(read[1])
    for part in ("encoder", "decoder"):
        selection = maps[f"{SELECTION[part]}/variable_selection"]
        expected = answer[f"{part}_variables"].numpy()[:, :, 0, :]
        np.testing.assert_allclose(selection.values, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(selection.values.sum(axis=-1), 1, rtol=1e-5)
        assert selection.axes == ("time", "feature")
        assert selection.coords["feature"] == tuple(getattr(read[0], f"{part}_variables"))
    static = maps["static_variable_selection/variable_selection"]
    assert (static.axes, static.coords["feature"]) == (("feature",), ("store",))
    attention = maps["multihead_attn/cross_attention_weights"]
    own = [answer[f"{part}_attention"].numpy() for part in ("encoder", "decoder")]
    assert attention.axes == ("attention_head", "query", "key")
    np.testing.assert_allclose(
        attention.values, np.concatenate(own, axis=-1).transpose(0, 2, 1, 3), rtol=1e-5, atol=1e-6
    )
    assert (attention.values[:, :, 0, PAST:] == 0).all()  # a step does not see itself and what follows


def test_intercept_lays_the_selection_out_by_the_names_of_the_variables(read):
    found = xm.intercept(adapted(read), read[1])
    selection = found["decoder_variable_selection/variable_selection"]
    named = selection.sel(decoder_variable_selection_feature="event").values
    np.testing.assert_allclose(named, own_answer(read)["decoder_variables"].numpy()[:, :, 0, 1], rtol=1e-5, atol=1e-6)


def test_no_hook_is_left_also_after_an_error(read):
    network, rows, _ = read
    model = adapted(read)

    def fail(*_):
        if is_collecting():
            raise RuntimeError("broken layer")

    handle = network.pos_wise_ff.register_forward_hook(fail)
    with pytest.raises(Exception, match="broken layer"):
        model.intercept(rows)
    handle.remove()
    model.intercept(rows)
    assert not any(module._forward_hooks for module in network.modules())


def test_what_it_does_not_read_of_the_days_ahead_gets_exact_zeros(read):
    names = read[2]
    unread = [names.index(name) for name in ("sales", "web", "weather")]
    found = xm.explain(adapted(read), read[1], "gradient", targets=[("prediction", (0, 1)), ("prediction", (2, 2))])
    values = found["decoder_cont"].values
    assert (values[..., unread] == 0).all()
    assert (abs(values[0, :, 0, :2]) > 0).all()
    assert (values[0, :, 1:] == 0).all()  # the first day ahead does not depend on what is known of later days
    assert (found["encoder_cont"].values != 0).any()


def test_its_attention_is_a_map_of_steps_past_and_ahead(read):
    attention = AttentionMap(layers=["multihead_attn"], query=2, tokens={"encoder_cont": PAST, "decoder_cont": AHEAD})
    found = xm.explain(adapted(read), read[1], attention, targets=[("prediction", (2, 1))])
    steps = [found[name].sum(f"{name}_feature").values[0] for name in ("encoder_cont", "decoder_cont")]
    answer = own_answer(read)
    own = [answer[f"{part}_attention"].numpy()[:, 2].mean(axis=1) for part in ("encoder", "decoder")]
    np.testing.assert_allclose(np.concatenate(steps, axis=1), np.concatenate(own, axis=1), rtol=1e-5, atol=1e-6)


def test_it_keeps_the_contract_of_an_adapter(read):
    network, rows, _ = read
    few = {name: x[:4] for name, x in rows.items()}

    def state():
        weights = {name: p.detach().clone() for name, p in network.state_dict().items()}
        return weights | {"training": [m.training for m in network.modules()]}

    check_adapter(
        adapted(read), few, state=state, limited=lambda n: adapted(read, max_memory=n), layers=["pos_wise_ff"]
    )
