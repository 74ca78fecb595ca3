"""Which column of a model lies in which of its streams, and rows of streams put together as the model takes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xai_mimo.core.declare import annotate_streams, declared_streams
from xai_mimo.core.errors import NotSupported, UnknownName
from xai_mimo.core.from_data import first_rows
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.tables import column_labels, is_loader
from xai_mimo_adapters.sklearn_adapter.groups import FirstStep

_ROWS = 16
_SHOWN = 12
ALL = "table"
"""The stream of a model whose columns are not in groups."""


@dataclass(frozen=True)
class Seen:
    """What rows show of the columns of a model.

    Attributes:
        names: of the columns, () where they have none. width: how many, 0 where no rows were seen.
        groups: the columns of each stream, where rows came as one thing for each.
        sizes: the same where columns have no names: how many each has.
        dtypes: of columns of a data frame, as pandas has them.
        words: columns that hold words.
        is_words: whether rows are words, and have no columns.
    """

    names: tuple[str, ...] = ()
    width: int = 0
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    dtypes: Mapping[str, Any] = field(default_factory=dict)
    words: frozenset[Any] = frozenset()
    is_words: bool = False


def a_few(like: Any, names: Sequence[str], step: FirstStep) -> Any:
    """The first of the rows that ``adapt`` was given; None where they can be read once alone, and not by us.

    Data frames that have all columns of the model, and others beside them, are taken for rows of several models: only
    the model's own columns stay.

    Args:
        names: of the columns that the model was fitted on. step: its first, which tells those that it reads.
    """
    if like is None or (is_loader(like) and iter(like) is like):
        return None
    few = first_rows(like, _ROWS)
    needed = {name for group in step.groups.values() for name in group} or set(names)
    tables = few.values() if isinstance(few, Mapping) else [few]
    there = {str(label) for table in tables for label in column_labels(table) or ()}
    if not names or not needed <= there:
        return few
    if not isinstance(few, Mapping):
        return _own(few, names)
    own = {name: _own(table, names) for name, table in few.items() if column_labels(table)}
    return {name: table for name, table in own.items() if column_labels(table)}


def _own(table: Any, names: Sequence[str]) -> Any:
    own = [label for label in column_labels(table) or () if str(label) in names]
    return table.select(own) if hasattr(table, "column_names") else table[own]


def seen(like: Any) -> Seen:
    """What rows in any form that ``explain`` takes show of their columns."""
    if like is None:
        return Seen()
    if isinstance(like, Mapping):
        parts = {str(name): _part(values, f"{name}") for name, values in like.items()}
        return Seen(
            names=tuple(name for part in parts.values() for name in part.names),
            width=sum(part.width for part in parts.values()),
            groups={name: part.names for name, part in parts.items()} if all(p.names for p in parts.values()) else {},
            sizes={name: part.width for name, part in parts.items()},
            dtypes={name: dtype for part in parts.values() for name, dtype in part.dtypes.items()},
            words=frozenset().union(*(part.words for part in parts.values())),
        )
    if isinstance(like, list | tuple) and len(like) == 1 and not isinstance(like[0], str):
        return seen(like[0])
    return _part(like, "")


def _part(values: Any, name: str) -> Seen:
    labels = column_labels(values)
    if labels is not None:
        columns = {str(label): values[label] for label in labels}
        dtypes = {n: c.dtype for n, c in columns.items() if type(c).__module__.startswith("pandas")}
        words = frozenset(n for n, c in columns.items() if _holds_words(c))
        return Seen(tuple(columns), len(columns), dtypes=dtypes, words=words)
    array = np.asarray(values if hasattr(values, "dtype") else np.array(values, dtype=object))
    if array.ndim == 1 and _holds_words(array):
        return Seen((name,) if name else (), 1, words=frozenset([name]), is_words=not name)
    return Seen(width=int(np.prod(array.shape[1:], dtype=np.int64)))


def _holds_words(column: Any) -> bool:
    array = np.asarray(column)
    return array.dtype.kind in "UT" or (array.dtype == object and any(isinstance(v, str) for v in array.ravel()))


@dataclass(frozen=True)
class Columns:
    """The columns that a model takes, and where each lies in its streams.

    Attributes:
        names: of the columns that the model is handed, () where it takes arrays without names.
        places: for each column its stream and its place in it.
        dtypes: of columns that were seen in a data frame: rows get them again, where no value is lost by it.
        are_words: whether the model takes rows of words that have no columns.
    """

    names: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    dtypes: Mapping[str, Any] = field(default_factory=dict)
    are_words: bool = False

    def table(self, arrays: Sequence[Array]) -> Any:
        """Rows as the model takes them: a data frame where its columns have names, else one array.

        Args:
            arrays: of the streams in order, ``(row, feature)``.
        """
        if self.are_words:
            return arrays[0]
        is_whole = len(arrays) == 1 and [place for _, place in self.places] == list(range(arrays[0].shape[1]))
        if not self.names:
            return arrays[0] if is_whole else np.stack([arrays[s][:, f] for s, f in self.places], axis=1)
        import pandas as pd  # the model has names of columns, so somebody made frames

        if is_whole and not self.dtypes and arrays[0].dtype != object:
            return pd.DataFrame(arrays[0], columns=list(self.names), copy=True)
        columns = zip(self.names, self.places, strict=True)
        return pd.DataFrame({name: self._column(name, arrays[s][:, f]) for name, (s, f) in columns})

    def words(self, arrays: Sequence[Array], row: int) -> str:
        """A row in words, for error texts."""
        if self.are_words:
            return repr(arrays[0][row])
        names = self.names or tuple(str(i) for i in range(len(self.places)))
        plain = [arrays[s][row, f] for s, f in self.places[:_SHOWN]]
        shown = [f"{n}={v.item() if isinstance(v, np.generic) else v!r}" for n, v in zip(names, plain, strict=False)]
        return ", ".join([*shown, *(["..."] if len(names) > _SHOWN else [])])

    def _column(self, name: str, values: Array) -> Any:
        import pandas as pd

        dtype = self.dtypes.get(name)
        if dtype is None:
            if values.dtype != object or any(isinstance(v, str) for v in values):
                return values
            return values.astype(np.float64)
        if isinstance(dtype, pd.CategoricalDtype):
            return _categories(name, values, dtype)
        if getattr(dtype, "kind", "O") in "iub" and values.dtype.kind == "f":
            whole = np.rint(values).astype(dtype)
            return whole if (whole == values).all() else values
        return pd.Series(values).astype(dtype)


def _categories(name: str, values: Array, dtype: Any) -> Any:
    """Values as categories of a data frame.

    Raises:
        UnknownName: a value that is none of them, of which pandas would make a missing one.
    """
    import pandas as pd

    codes = dtype.categories.get_indexer(pd.Index(values, dtype=object).astype(dtype.categories.dtype))
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        known = ", ".join(map(str, list(dtype.categories)[:8]))
        raise UnknownName(
            f"column '{name}' holds {values[row]!r} in row {row}, which is none of its categories: {known}. Give rows "
            "of these categories, or fit the model with the new one."
        )
    return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype))


def place_columns(
    label: str, names: Sequence[str], width: int | None, step: FirstStep, declared: Any, like: Seen
) -> tuple[tuple[Stream, ...], Columns]:
    """The streams of a model, and where its columns lie in them.

    Streams are, of what there is the first: those declared, one for each thing that rows came as, the groups of the
    ``ColumnTransformer``, one stream "table" with all columns. A stream of numbers is float64, of words "str", and
    "object" where some columns hold words and others numbers.

    Args:
        label: the model's name, for error texts.
        names: of the columns that it was fitted on, () where they had none. width: how many, None where it tells not.
        step: what its first step tells. declared: ``streams`` as ``adapt`` takes them. like: what rows show.
    Raises:
        NotSupported: neither model nor rows tell how many columns there are.
        UnknownName: the streams lack a column of the model, or name one that it has not.
    """
    if not names and (step.takes_words or like.is_words or _is_rank_0(declared)):
        text = (Stream("text", (), dtype="str"),)
        return annotate_streams(text, declared), Columns((), (), are_words=True)
    known = tuple(names) or (like.names if not width or len(like.names) == width else ())
    if not known and not (width or like.width):
        raise NotSupported(
            f"{label} does not tell how many columns it takes. Name them, xai_mimo.adapt(model, streams={{'table': "
            "['age', 'weight']}), or give rows: xai_mimo.adapt(model, like=x)."
        )
    columns = known or tuple(str(i) for i in range(width or like.width))
    groups, forms = _groups(columns, step, declared, like, label)
    needed = [column for columns_ in (step.groups or {"": columns}).values() for column in columns_]
    _check_all_there(groups, needed, columns, label)
    words = {*like.words, *(name for name, example in step.examples.items() if isinstance(example, str))}
    read = tuple(
        Stream(
            group,
            (len(members),),
            dtype=_dtype(members, words),
            features=members if known else (),
            ignored=tuple(name for name in names if name not in needed),
        )
        for group, members in groups.items()
    )
    streams = tuple(_as_declared(stream, forms.get(stream.name)) for stream in read)
    if not forms:
        streams = annotate_streams(streams, declared)
    places = {c: (s, f) for s, members in enumerate(groups.values()) for f, c in enumerate(members)}
    handed = [column for column in columns if column in places]
    dtypes = {name: like.dtypes[name] for name in handed if name in like.dtypes and not _is_plain(like.dtypes[name])}
    # A model that tells nothing of its columns, as a pipeline that begins with a function, reads rows as they came.
    has_names = bool(names) or (width is None and bool(like.names))
    return streams, Columns(tuple(handed) if has_names else (), tuple(places[c] for c in handed), dtypes)


def _groups(
    columns: tuple[str, ...], step: FirstStep, declared: Any, like: Seen, label: str
) -> tuple[dict[str, tuple[str, ...]], dict[str, Stream]]:
    """Columns by stream, and the streams that the user declared for these columns."""
    if declared:
        forms = {stream.name: stream for stream in declared_streams(declared, dtype="float64")}
        named = {name: stream.features for name, stream in forms.items()}
        if any(feature in columns for features in named.values() for feature in features if not feature.isdigit()):
            for features in named.values():
                for feature in features:
                    if feature not in columns:
                        raise UnknownName(
                            f"the streams name the column '{feature}', which {label} was not fitted on; it has "
                            f"{', '.join(columns)}."
                        )
            return named, forms if all(isinstance(s, Stream) for s in _forms(declared)) else {}
        sizes = {name: int(stream.shape[-1] or 0) for name, stream in forms.items() if stream.shape}
        if len(forms) > 1 and sum(sizes.values()) == len(columns) and not step.groups:
            return _in_order(columns, sizes), {}
    if like.groups and set(columns) >= {name for group in like.groups.values() for name in group}:
        return dict(like.groups), {}
    if like.sizes and sum(like.sizes.values()) == len(columns):
        return _in_order(columns, like.sizes), {}
    return dict(step.groups) or {ALL: columns}, {}


def _forms(declared: Any) -> list[Any]:
    return list(declared.values() if isinstance(declared, Mapping) else declared)


def _in_order(columns: tuple[str, ...], sizes: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    ends = np.cumsum(list(sizes.values()))
    return {name: columns[end - sizes[name] : end] for name, end in zip(sizes, ends, strict=True)}


def _check_all_there(
    groups: Mapping[str, tuple[str, ...]], needed: Sequence[str], columns: Sequence[str], label: str
) -> None:
    there = [column for members in groups.values() for column in members]
    missing = [column for column in needed if column not in there]
    if missing:
        raise UnknownName(
            f"{label} was fitted on the columns {', '.join(columns)}; the streams have {', '.join(there)}. Missing: "
            f"{', '.join(missing)}."
        )


def _dtype(members: Sequence[str], words: set[Any]) -> str:
    of_words = [column in words for column in members]
    return "str" if all(of_words) else "object" if any(of_words) else "float64"


def _as_declared(read: Stream, declared: Stream | None) -> Stream:
    return read if declared is None else replace(declared, shape=read.shape, dtype=read.dtype, ignored=read.ignored)


def _is_rank_0(declared: Any) -> bool:
    forms = _forms(declared) if declared else []
    return len(forms) == 1 and isinstance(forms[0], Stream) and forms[0].shape == ()


def _is_plain(dtype: Any) -> bool:
    return str(dtype) in ("float64", "object")
