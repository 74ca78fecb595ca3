"""Which method explains which model: read off the classes that do it, so that no page can promise more.

``python -m xai_mimo.cli.reach README.md`` writes the table between the two marks of that file; without a path it is
printed, as ``xai-mimo doctor`` prints it.
"""

import importlib
import importlib.metadata
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import MissingDependency, PluginWarning, SchemaError
from xai_mimo.core.method import needs_of
from xai_mimo.core.model import Model, what_is_needed
from xai_mimo.core.plugins import load_plugin, plugins
from xai_mimo.record.files import write_text

BEGIN = "<!-- Which model, which method: made by python -m xai_mimo.cli.reach README.md, do not edit. -->"
END = "<!-- Which model, which method ends. -->"


PREDICTIONS = "predictions alone"


@dataclass(frozen=True)
class Reach:
    """What explains what.

    Attributes:
        needs: what methods ask of a model, in words -> the methods that ask for it.
        models: kinds of models, in words -> for each of these needs, whether it is met.
        left_out: adapters and methods that do not load here, and why.
    """

    needs: Mapping[str, Sequence[str]]
    models: Mapping[str, Mapping[str, bool]]
    left_out: Mapping[str, str]

    def lines(self) -> list[list[str]]:
        """A kind of model, and "yes" or "no" for each need."""
        return [[kind, *("yes" if met else "no" for met in each.values())] for kind, each in self.models.items()]


def reach() -> Reach:
    """Every kind of model that an installed adapter takes, with every installed method; imports them all."""
    kinds: dict[str, type] = {}
    left_out: dict[str, str] = {}
    for name, entry in sorted(plugins("xai_mimo.adapters").items()):
        adapter, why = _loaded(entry)
        if adapter is None:
            left_out[f"models of {name}"] = why
            continue
        own = {name: adapter} if isinstance(adapter, type) else {}
        kinds |= getattr(importlib.import_module(entry.module), "MODELS", own)
    asked: dict[str, tuple[type[Model], ...]] = {PREDICTIONS: ()}
    needs: dict[str, list[str]] = {PREDICTIONS: []}
    for name, entry in sorted(plugins("xai_mimo.methods").items()):
        method, why = _loaded(entry)
        if method is None:
            left_out[f"method {name}"] = why
            continue
        words = " and ".join(what_is_needed(capability) for capability in needs_of(method)) or PREDICTIONS
        asked.setdefault(words, needs_of(method))
        needs.setdefault(words, []).append(name)
    met = {
        kind: {words: all(has(adapted, capability) for capability in each) for words, each in asked.items()}
        for kind, adapted in kinds.items()
    }
    return Reach(needs, met, left_out)


def _loaded(entry: importlib.metadata.EntryPoint) -> tuple[Any, str]:
    """What an entry point names, or None and why it cannot be had."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PluginWarning)
        try:
            found = load_plugin(entry)
        except MissingDependency as err:
            return None, str(err)
    return found, "; ".join(str(w.message) for w in caught)


def has(adapted: type, capability: type[Model]) -> bool:
    """Whether models of this class have a capability: all methods that its protocol adds to those of every model."""
    kinds = capability.__mro__[: capability.__mro__.index(Model)]
    names = {name for kind in kinds for name in vars(kind) if not name.startswith("_")}
    return all(hasattr(adapted, name) for name in names)


def markdown(found: Reach) -> str:
    """The table, for a README: a "no" is a model that has not what its column asks for."""
    lines = [
        f"| methods that ask for | {' | '.join(found.needs)} |",
        f"|---{'|:---:' * len(found.needs)}|",
        f"| | {' | '.join(', '.join(f'`{name}`' for name in names) for names in found.needs.values())} |",
        *(f"| {' | '.join(line)} |" for line in found.lines()),
    ]
    return "\n".join(lines) + "\n"


def write(path: Path) -> Path:
    """Put the table between the marks of a file.

    Raises:
        SchemaError: the file has no marks.
    """
    text = path.read_text(encoding="utf-8")
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SchemaError(f"'{path}' has no place for the table: it stands between '{BEGIN}' and '{END}'.")
    return write_text(f"{before}{BEGIN}\n\n{markdown(reach())}\n{END}{after}", path)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]))
    else:
        print(markdown(reach()), end="")
