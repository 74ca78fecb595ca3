"""A Temporal Fusion Transformer that has learnt a series with a lag: what drives which quantile of which day is known."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.forecasting import AHEAD, HELD, LEVELS, PAST, all_rows, made_series, network_of, windows_of
from tests.helpers.frameworks import imported, needs
from xai_mimo.core.streams import Head
from xai_mimo.explainers import IntegratedGradients, Shapley

torch = imported("torch")

pytestmark = [pytest.mark.slow, pytest.mark.all_frameworks, needs("torch", "pytorch_forecasting")]

QUANTILES = Head("prediction", (AHEAD, 3), kind="quantile", units=("p10", "p50", "p90"))
TARGETS = [("prediction", (day, level)) for day in (0, 2) for level in ("p10", "p50", "p90")]


@pytest.fixture(scope="module")
def learnt():
    """The network, adapted; 30 unseen rows; a background of 8; the names of the numbers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train = windows_of(made_series(500, seed=0))
    x, y = all_rows(train)
    torch.manual_seed(0)
    network = network_of(train, hidden_size=16, attention_head_size=2, hidden_continuous_size=8)
    fit(network, x, y)
    unseen, _ = all_rows(windows_of(made_series(60, seed=1)))
    rows = {name: values[:: len(values) // 30][:30] for name, values in unseen.items()}
    background = {name: values[:: len(y) // 8][:8] for name, values in x.items()}
    names = tuple(train.reals)
    yield (
        xm.adapt(
            network, like=rows, streams={"encoder_cont": names, "decoder_cont": names}, heads=[QUANTILES], held=HELD
        ),
        rows,
        background,
    )
    torch.set_num_threads(threads)


def fit(network, x, y, epochs=30):
    rng, batches, level = np.random.default_rng(0), -(-len(y) // 128), torch.tensor(LEVELS)
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=epochs * batches)
    network.train()
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(y)), batches):
            optimiser.zero_grad()
            error = y[rows][..., None] - network({name: values[rows] for name, values in x.items()}).prediction
            torch.maximum(level * error, (level - 1) * error).mean().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()


@pytest.fixture(scope="module")
def by_gradients(learnt):
    model, rows, background = learnt
    return xm.explain(
        model, rows, IntegratedGradients(baseline="mean", tolerance=1e-2), targets=TARGETS, background=background
    )


@pytest.fixture(scope="module")
def by_coalitions(learnt):
    model, rows, background = learnt
    return xm.explain(model, rows, Shapley(players="variables", budget=128), targets=TARGETS, background=background)


def sizes(found, head):
    """Mean magnitude of each variable of each stream, summed over days."""
    parts = {}
    for stream in ("encoder_cont", "decoder_cont"):
        values = found[stream].sel(head=head)
        time = f"{stream}_time"
        values = abs(values.sum(time) if time in values.dims else values).mean("sample")
        parts |= {
            (stream, str(name)): float(v) for name, v in zip(values[f"{stream}_feature"].values, values, strict=True)
        }
    return parts


def test_its_quantiles_are_in_order(learnt):
    model, rows, _ = learnt
    forecast = model.predict(rows)["prediction"]
    assert (np.diff(forecast, axis=-1) > 0).mean() > 0.98


@pytest.mark.parametrize("method", ["by_gradients", "by_coalitions"])
@pytest.mark.parametrize("level", ["p10", "p50", "p90"])
def test_each_day_is_driven_by_what_can_be_known_of_it(method, level, request):
    found = request.getfixturevalue(method)
    first, third = sizes(found, f"prediction:0,{level}"), sizes(found, f"prediction:2,{level}")
    assert sorted(first, key=first.get)[-2:] == [("decoder_cont", "promo"), ("encoder_cont", "web")]
    assert max(third, key=third.get) == ("decoder_cont", "promo")
    assert third["encoder_cont", "web"] < 0.4 * third["decoder_cont", "promo"]
    for weather in (first, third):
        assert weather["encoder_cont", "weather"] < 0.15 * max(weather.values())


@pytest.mark.parametrize("method", ["by_gradients", "by_coalitions"])
def test_an_event_spreads_the_quantiles_and_leaves_the_median(learnt, method, request):
    model, rows, _ = learnt
    found = request.getfixturevalue(method)
    day = next(s for s in model.streams if s.name == "decoder_cont").features.index("event")
    event = rows["decoder_cont"][:, 0, day].numpy()
    values = found["decoder_cont"].sel(decoder_cont_feature="event")
    values = values.sum("decoder_cont_time") if "decoder_cont_time" in values.dims else values
    low, median, high = (
        np.polyfit(event, values.sel(head=f"prediction:0,{q}").values, 1)[0] for q in ("p10", "p50", "p90")
    )
    assert low < -0.1
    assert high > 0.1
    assert abs(median) < 0.5 * min(-low, high)


def test_the_lag_is_found_by_gradients_and_is_not_in_the_attention(learnt, by_gradients):
    model, rows, _ = learnt
    web = (
        abs(by_gradients["encoder_cont"].sel(head="prediction:0,p50", encoder_cont_feature="web")).mean("sample").values
    )
    assert web.argmax() == PAST - 2
    assert web.max() > 0.6 * web.sum()
    attention = model.intercept({name: x.numpy() for name, x in rows.items()})["multihead_attn/cross_attention_weights"]
    past = attention.values[:, :, 0, :PAST].mean(axis=(0, 1))
    assert past.max() < 0.4 * past.sum()


def test_all_sums_hold_and_nothing_comes_of_the_future_that_is_not_known(by_gradients, by_coalitions):
    for found, tolerance in ((by_gradients, 5e-2), (by_coalitions, 1e-5)):
        total = sum(
            found[s].sum([d for d in found[s].dims if d.startswith(s)]) for s in ("encoder_cont", "decoder_cont")
        )
        np.testing.assert_allclose(total, found["prediction"] - found["baseline_prediction"], atol=tolerance)
    unknown = by_gradients["decoder_cont"].sel(decoder_cont_feature=["sales", "web", "weather"])
    assert (unknown.values == 0).all()


def test_the_shop_is_a_player_though_it_is_a_whole_number(learnt):
    model, rows, background = learnt
    held = [name for name in HELD if not name.endswith("cat")]
    names = next(s.features for s in model.streams if s.name == "encoder_cont")
    free = xm.adapt(
        model.model, like=rows, streams={"encoder_cont": names, "decoder_cont": names}, heads=[QUANTILES], held=held
    )
    players = {
        "shop": {"encoder_cat": "all", "decoder_cat": "all"},
        "weather": {"encoder_cont": ["weather"]},
        "others": "rest",
    }
    found = xm.explain(free, rows, Shapley(players=players), targets=TARGETS, background=background)
    size = abs(found["players"]).mean("sample")
    assert (size.sel(players_player="shop") > 5 * size.sel(players_player="weather")).all()
