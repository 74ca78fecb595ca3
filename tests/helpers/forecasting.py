"""Series whose drivers are known, and a Temporal Fusion Transformer of pytorch_forecasting on windows of them."""

import warnings

import numpy as np
import pandas as pd

PAST, AHEAD, LEVELS = 6, 3, (0.1, 0.5, 0.9)
KEYS = (
    "encoder_cat",
    "encoder_cont",
    "encoder_lengths",
    "decoder_cat",
    "decoder_cont",
    "decoder_lengths",
    "target_scale",
)
"""What the network reads of a batch."""

HELD = ("encoder_cat", "decoder_cat", "encoder_lengths", "decoder_lengths", "target_scale")


def made_series(days, seed, stores=3):
    """sales(d) = level + promo(d) + 1.5 web(d - 2) + (.1 + .7 event(d)) noise; weather does nothing."""
    rng, frames = np.random.default_rng(seed), []
    for store in range(stores):
        promo, web, weather = rng.uniform(-1, 1, (3, days))
        event = rng.uniform(0, 1, days)
        mean = store - 1.0 + promo + 1.5 * np.concatenate([[0, 0], web[:-2]])
        sales = mean + (0.1 + 0.7 * event) * rng.normal(size=days)
        columns = {"promo": promo, "event": event, "sales": sales, "web": web, "weather": weather}
        frame = pd.DataFrame({name: x.astype("float32") for name, x in columns.items()})
        frames.append(frame.assign(store=str(store), day=np.arange(days)))
    return pd.concat(frames, ignore_index=True)


def windows_of(frame):
    """A ``TimeSeriesDataSet`` of all windows."""
    from pytorch_forecasting import TimeSeriesDataSet
    from pytorch_forecasting.data import TorchNormalizer

    return TimeSeriesDataSet(
        frame,
        time_idx="day",
        target="sales",
        group_ids=["store"],
        min_encoder_length=PAST,
        max_encoder_length=PAST,
        min_prediction_length=AHEAD,
        max_prediction_length=AHEAD,
        static_categoricals=["store"],
        time_varying_known_reals=["promo", "event"],
        time_varying_unknown_reals=["sales", "web", "weather"],
        target_normalizer=TorchNormalizer(),
    )


def all_rows(windows):
    """What the network reads of every window, ``{stream: tensor}``, and the sales ahead ``(row, step)``."""
    x, (y, _) = next(iter(windows.to_dataloader(train=False, batch_size=len(windows), num_workers=0)))
    return {name: x[name] for name in KEYS}, y


def network_of(windows, **sizes):
    """A small network with random weights; the global seed is the caller's."""
    from pytorch_forecasting import TemporalFusionTransformer
    from pytorch_forecasting.metrics import QuantileLoss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lightning speaks of hyperparameters that are modules
        return TemporalFusionTransformer.from_dataset(
            windows, loss=QuantileLoss(list(LEVELS)), output_size=len(LEVELS), dropout=0.0, **sizes
        )
