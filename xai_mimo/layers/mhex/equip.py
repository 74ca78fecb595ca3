"""Puts MHEX heads into a residual network that exists already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from xai_mimo.layers.heads import read_heads
from xai_mimo.layers.keras_graph import as_functional, named_outputs
from xai_mimo.layers.mhex.blocks import choose
from xai_mimo.layers.mhex.head import MHEXHead
from xai_mimo.layers.mhex.supervision import DeepSupervision, kinds_read_off


def add_mhex(
    model: keras.Model,
    blocks: Sequence[str] | Mapping[str, int] | None = None,
    *,
    heads: Mapping[str, int] | None = None,
    kinds: str | Mapping[str, str] | None = None,
    weight: float | Mapping[str, float] = 0.5,
    block_weights: Mapping[str, float] | None = None,
    mask: str | None = None,
    use_bias: bool = False,
    gate_initializer: Any = "glorot_uniform",
    class_initializer: Any = "glorot_uniform",
) -> DeepSupervision:
    """A copy of a residual network with an ``MHEXHead`` in place of its residual sums, ready to be trained.

        model = add_mhex(keras.applications.ResNet50(weights=None, classes=3))
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y)
        network = model.inference()              # the equipped network alone, to save, to predict with and to read

    The copy has the weights that the model has now; the model itself is left alone. Which blocks the paper equips is
    not known: every residual sum in images, those behind the feed-forward part in transformers, is our reading.

    Tried with KerasHub 0.32: its ResNets are equipped as they are; its encoders hold their sums inside and are named,
    ``add_mhex(model, ["transformer_layer_0", "transformer_layer_1"], mask="padding_mask")``; its vision transformer is
    one layer, which can be equipped as a whole only.

    Args:
        model: functional, channels last. Models nested in it are looked into.
        blocks: names of the sums to equip (see ``residual_sums``); by default all whose branch holds no attention
            layer. A mapping ``{name: 0 or 1}`` says which input of the sum is the residual branch, where that cannot be
            told. A layer that is a whole block, one whose call holds the sum, is equipped from outside if it is named:
            its branch is taken to be its output minus its input, which for blocks that normalise before their branches
            is the branch itself (our reading).
        heads: width by name of the output streams that get a head in each block; default all outputs of the model.
            Names are those of the outputs.
        kinds: what each output stream is, see ``DeepSupervision``.
        weight, block_weights: of the supervision, see ``DeepSupervision``.
        mask: name of the model's input that holds the mask of real tokens, ``(batch, token)``; masks that Keras passes
            along (``mask_zero=True``) need no name.
        use_bias, gate_initializer, class_initializer: of every ``MHEXHead``. With an initializer that has a seed, the
            heads of equally wide blocks start alike.
    Returns:
        The copy, wrapped for training with the losses of its heads. A sum called ``conv2_block1_add`` becomes the head
        ``conv2_block1_mhex``.
    Raises:
        ValueError: no residual sum is found, a name is unknown, or the outputs cannot be read.
    Source: our reading of B. Sun and P. Liò (2025), arXiv:2501.01311; see ``MHEXHead``.
    """
    losses = getattr(model, "loss", None)  # the copy is not compiled
    model = as_functional(model)
    chosen = choose(model, blocks)
    widths = _widths(model) if heads is None else read_heads(heads)
    settings = {
        "heads": widths,
        "use_bias": use_bias,
        "gate_initializer": gate_initializer,
        "class_initializer": class_initializer,
    }
    copied = _copy(model, chosen, settings, mask)
    if not isinstance(kinds, str):
        units = {name: int(tensor.shape[-1] or 1) for name, tensor in named_outputs(model).items()}
        kinds = {**kinds_read_off(model, units, losses), **(kinds or {})}
    return DeepSupervision(copied, kinds=kinds, weight=weight, block_weights=block_weights)


@dataclass(frozen=True)
class _Equipped:
    """Stands for a chosen operation while the model is rebuilt: what to call in its place.

    Attributes:
        head: to put there.
        local: which input of a sum is the branch; None for a whole block.
        block: the copied block, where ``local`` is None.
        mask: symbolic mask of the tokens, if the user named one.
    """

    head: MHEXHead
    local: int | None
    block: Any
    mask: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.local is None:
            shortcut = args[0]
            local = keras.layers.Subtract(name=f"{self.block.name}_branch")([self.block(*args, **kwargs), shortcut])
        else:
            pair = args[0] if len(args) == 1 else args
            local, shortcut = pair[self.local], pair[1 - self.local]
        return self.head([local, shortcut]) if self.mask is None else self.head([local, shortcut], mask=self.mask)


def _copy(model: Any, chosen: Mapping[Any, int | None], settings: Mapping[str, Any], mask: str | None) -> Any:
    """The model rebuilt from copies of its layers, with heads in the chosen places and the model's weights."""
    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name), model.input
    )
    symbol = None if mask is None else _mask(model, inputs, mask, chosen)
    copies: list[tuple[Any, Any]] = []

    def copy(operation: Any) -> Any:
        copied = type(operation).from_config(operation.get_config())
        if chosen.get(operation) is None:  # a layer to keep, or a whole block
            copies.append((operation, copied))
        if operation not in chosen:
            return copied
        head = MHEXHead(**settings, name=_name(operation.name), dtype=getattr(operation, "dtype_policy", None))
        return _Equipped(head, chosen[operation], copied, symbol)

    rebuilt = keras.models.clone_model(model, input_tensors=inputs, clone_function=copy, recursive=True)
    for original, copied in copies:
        if isinstance(original, keras.Layer):
            copied.set_weights(original.get_weights())
    return rebuilt


def _mask(model: Any, inputs: Any, name: str, chosen: Mapping[Any, int | None]) -> Any:
    """The input that holds the mask."""
    masks = {tensor.name: tensor for tensor in keras.tree.flatten(inputs)}
    if name not in masks:
        raise ValueError(
            f"Expected `mask` to name an input of the model, one of {list(masks)}. Received: mask={name!r}"
        )
    nested = [operation.name for operation in chosen if operation not in model.operations]
    if nested:
        raise ValueError(
            f"Expected `mask` with blocks of the model itself. Received: {nested}, which are in a model nested in "
            "it and cannot see its inputs. Equip that one, and build the rest of the model on it"
        )
    return masks[name]


def _name(operation: str) -> str:
    return f"{operation.removesuffix('_add')}_mhex"


def _widths(model: keras.Model) -> dict[str, int]:
    """Units of each output by its name."""
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in named_outputs(model).items()}
    if any(len(shape) != 1 or shape[0] is None for shape in shapes.values()):
        raise ValueError(
            "Expected outputs of shape (batch, units). "
            f"Received: {shapes}. Name those to build heads for, with their widths: heads={{'name': width}}"
        )
    return {name: shape[0] for name, shape in shapes.items()}
