"""Which axis holds the channels: PyTorch's convolutions read them first."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from xai_mimo.core.streams import Stream
from xai_mimo_adapters.torch_adapter.reading import kind_of

_POSITIONS = {1: ("time",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def with_axes(stream: Stream, modules: Iterable[torch.nn.Module]) -> Stream:
    """The stream with its first axis called "channel", where a convolution over as many positions has so many channels.

    Sequences keep their features last where these could be the channels too.
    """
    positions = len(stream.shape) - 1
    if positions not in _POSITIONS or stream.axes != Stream(stream.name, stream.shape).axes:
        return stream
    kinds = (f"Conv{positions}d", f"ConvTranspose{positions}d")
    channels = {n for module in modules if kind_of(module) in kinds for n in (module.in_channels, module.out_channels)}
    is_first = stream.shape[0] in channels and (positions > 1 or stream.shape[-1] not in channels)
    return replace(stream, axes=("channel", *_POSITIONS[positions])) if is_first else stream
