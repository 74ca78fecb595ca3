"""Maps brought from one resolution to another: closed forms, PyTorch, properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.frameworks import needs
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.positions import (
    channel_axis,
    has_channels,
    has_positions,
    interpolation,
    is_image,
    lay_over,
    position_axes,
    resize,
)
from xai_mimo.core.streams import Stream

pytestmark = pytest.mark.all_frameworks


def test_two_positions_become_four_by_hand():
    np.testing.assert_allclose(resize(np.array([0.0, 4.0]), (4,)), [0, 1, 3, 4])


def test_a_smaller_map_is_the_mean_of_what_each_position_covers(rng):
    np.testing.assert_allclose(resize(np.array([0.0, 1.0, 3.0, 4.0]), (2,)), [0.5, 3.5])
    np.testing.assert_allclose(resize(np.array([3.0, 6.0, 9.0, 12.0]), (3,)), [(3 + 2) / (4 / 3), 7.5, 15 / (4 / 3)])
    maps = rng.standard_normal((2, 8, 8))
    blocks = np.array(
        [[[m[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(4)] for i in range(4)] for m in maps]
    )
    np.testing.assert_allclose(resize(maps, (4, 4)), blocks, atol=1e-12)
    for size in [(3, 5), (1, 1), (7, 2)]:
        np.testing.assert_allclose(resize(maps, size).mean(axis=(1, 2)), maps.mean(axis=(1, 2)), atol=1e-12)


def test_the_same_size_is_the_same_map(rng):
    maps = rng.standard_normal((2, 3, 5))
    np.testing.assert_array_equal(resize(maps, (3, 5)), maps)


@needs("torch")
@pytest.mark.parametrize("size", [(12, 10), (9, 7), (3, 2), (2, 4), (1, 1)])
def test_images_equal_pytorch(size, rng):
    import torch

    maps = rng.standard_normal((2, 6, 4))
    larger = size > maps.shape[1:]
    settings_ = {"mode": "bilinear", "align_corners": False} if larger else {"mode": "area"}
    theirs = torch.nn.functional.interpolate(torch.as_tensor(maps)[None], size=size, **settings_)
    np.testing.assert_allclose(resize(maps, size), theirs[0].numpy(), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 9), factor=st.integers(1, 5), seed=st.integers(0, 1000))
def test_more_positions_keep_the_mean_and_the_range(size, factor, seed):
    maps = np.random.default_rng(seed).standard_normal(size)
    larger = resize(maps, (size * factor,))
    np.testing.assert_allclose(larger.mean(), maps.mean(), atol=1e-12)
    assert larger.min() >= maps.min() - 1e-12
    assert larger.max() <= maps.max() + 1e-12


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 12), wanted=st.integers(1, 12))
def test_weights_are_shares(size, wanted):
    weights = interpolation(size, wanted)
    assert weights.shape == (wanted, size)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)


def test_channels_share_a_position_evenly(rng):
    maps = rng.standard_normal((2, 3, 4, 4))
    last = lay_over(maps, Stream("u", (8, 8, 3)), (8, 8, 3), axes=2, what="a map")
    assert last.shape == (2, 3, 8, 8, 3)
    np.testing.assert_allclose(last.sum(axis=-1), resize(maps, (8, 8)))
    np.testing.assert_allclose(np.ptp(last, axis=-1), 0, atol=1e-12)
    first = Stream("u", (3, 8, 8), axes=("channel", "height", "width"))
    np.testing.assert_allclose(lay_over(maps, first, (3, 8, 8), axes=2, what="a map"), np.moveaxis(last, -1, 2))


def test_a_stream_of_tokens_has_no_channels(rng):
    maps = rng.standard_normal((2, 3, 5))
    tokens = Stream("tokens", (None,), dtype="int32")
    np.testing.assert_array_equal(lay_over(maps, tokens, (5,), axes=1, what="a map"), maps)


def test_what_has_no_positions_is_refused():
    with pytest.raises(NotSupported, match=r"a map has 1 axes of positions.*'u' of shape \(8, 8, 3\)"):
        lay_over(np.zeros((1, 1, 4)), Stream("u", (8, 8, 3)), (8, 8, 3), axes=1, what="a map")


def test_axes_are_told_apart():
    assert channel_axis(Stream("u", (8, 8, 3))) == 2
    assert channel_axis(Stream("u", (3, 8, 8), axes=("channel", "height", "width"))) == 0
    assert channel_axis(Stream("u", (8, 8)), positions=2) is None
    assert channel_axis(Stream("u", ())) is None
    assert has_channels(Stream("u", (8, 3)))
    assert not has_channels(Stream("u", (8,)))


def test_positions_are_known_by_the_words_of_their_axes():
    image, series = Stream("i", (8, 8, 3)), Stream("t", (9,), axes=("time",))
    table, text, odd = Stream("x", (4,)), Stream("words", (6,), axes=("word",)), Stream("s", (4, 2), axes=("a", "b"))
    assert [has_positions(s) for s in (image, series, table, text, odd)] == [True, True, False, False, True]
    assert [position_axes(s) for s in (image, series, table, text, odd)] == [[0, 1], [0], [], [], []]
    assert position_axes(text, is_text=True) == [0]
    assert position_axes(Stream("i", (3, 8, 8), axes=("channel", "height", "width"))) == [1, 2]
    assert [is_image(s.axes) for s in (image, series, odd)] == [True, False, False]
