"""Loaders that are being read: batches of rows, one after the other, each once."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadValues, EmptyData, NotSupported, ShapeMismatch, XaiMimoError
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Stream
from xai_mimo.core.tables import is_loader


class Batches:
    """A loader whose first batch has been read, so that it can be looked at before the rest is.

    Iterating gives all batches, the first one too, as the loader gives them.

    Args:
        loader: e.g. a generator, ``torch.utils.data.DataLoader``, ``tf.data.Dataset`` or ``keras.utils.PyDataset``.
    Attributes:
        kind: what the loader is, for error texts.
        first: its first batch.
    Raises:
        EmptyData: it gives none. BadValues: it never ends.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.kind = type(loader).__name__
        _check_end(loader, self.kind)
        self._rest = iter(loader)
        try:
            self.first = next(self._rest)
        except StopIteration:
            raise self._empty() from None
        self._is_read = False

    def __iter__(self) -> Iterator[Any]:
        if self._is_read:
            raise self._empty()
        self._is_read = True
        return itertools.chain([self.first], self._rest)

    def alone(self) -> Any:
        """The first batch, where it is what it holds that tells what a model's inputs are.

        Raises:
            NotSupported: it is a list of several things, which may be inputs, or inputs and labels.
        """
        if isinstance(self.first, list | tuple) and len(self.first) > 1:
            raise NotSupported(
                f"each batch of the {self.kind} holds {len(self.first)} values, and nothing tells whether all of them "
                "are inputs or the last ones are labels. Leave labels out, (x for x, y in loader); or name the inputs: "
                "({'table': a, 'image': b} for a, b in loader)."
            )
        return self.first[0] if isinstance(self.first, list | tuple) and self.first else self.first

    def _empty(self) -> EmptyData:
        return EmptyData(
            f"there are no rows: the {self.kind} gave no batch, or was read before. A generator gives its rows once: "
            "make it anew for every call."
        )


def _check_end(loader: Any, kind: str) -> None:
    counts = [count() for name in ("cardinality",) if callable(count := getattr(loader, name, None))]
    is_endless = any(int(n) == -1 for n in counts) or getattr(loader, "num_batches", 1) is None
    if is_endless:
        raise BadValues(f"the {kind} never ends; give a part of it, e.g. x.take(10) or itertools.islice(x, 10).")


def begun(x: Any) -> Any:
    """Rows as a door was given them; of a loader the first batch is read, and the rest follows once.

    Raises:
        EmptyData: the loader gives no batch. BadValues: it never ends.
    """
    return Batches(x) if is_loader(x) and not isinstance(x, Batches) else x


def example_of(x: Any) -> Any:
    """What tells an adapter of the rows: these themselves, and of a loader its first batch.

    Where a batch may hold labels it is the loader that was begun, which says so to who takes it for inputs.
    """
    if not isinstance(x, Batches) or (isinstance(x.first, list | tuple) and len(x.first) > 1):
        return x
    return x.alone()


def check_unlabelled(batch: Any, streams: Sequence[Stream], kind: str) -> None:
    """Refuse a batch of inputs and labels, as frameworks train with.

    Raises:
        ShapeMismatch: it is one.
    """
    has_labels = isinstance(batch, list | tuple) and (
        len(batch) == len(streams) + 1 or (len(batch) > 1 and isinstance(batch[0], Mapping | list | tuple))
    )
    if has_labels:
        raise ShapeMismatch(
            f"each batch of the {kind} holds {len(batch)} values, as for inputs and labels; expected the inputs alone "
            f"({', '.join(s.name for s in streams)}). Leave the labels out: (x for x, y in loader)."
        )


def of_batch(err: XaiMimoError, number: int, kind: str) -> XaiMimoError:
    """An error of a batch that says which one it is of; they are counted from 1."""
    return type(err)(f"in batch {number} of the {kind}: {err}")


def joined(batches: Sequence[Arrays]) -> Arrays:
    """The rows of several batches, one behind the other."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def fitting(batches: Iterable[Arrays], kind: str) -> Iterator[Arrays]:
    """Checked batches, as long as their rows have the shape of those in the first one.

    Raises:
        ShapeMismatch: they have not, where a stream has axes of any length; the message names the batch.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for number, batch in enumerate(batches, 1):
        for name, values in batch.items():
            shape = shapes.setdefault(name, values.shape[1:])
            if values.shape[1:] != shape:
                raise ShapeMismatch(
                    f"in batch {number} of the {kind}: the rows for input stream '{name}' differ in shape: "
                    f"{values.shape[1:]}, and {shape} in the batches before. Pad all rows to one length."
                )
        yield batch
