"""Which method explains which model, and why not: read off the classes that do it, so that no page can promise more.

``python -m xai_mimo.cli.reach README.md`` writes the table between the two marks of that file; without a path it is
printed, as ``xai-mimo doctor`` prints it.
"""

import importlib
import importlib.metadata
import string
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import MissingDependency, PluginWarning, SchemaError
from xai_mimo.core.method import needs_of
from xai_mimo.core.model import Model, what_is_needed, what_lacks
from xai_mimo.core.packages import lacking
from xai_mimo.core.plugins import load_plugin, plugins
from xai_mimo.record.files import write_text

BEGIN = "<!-- Which model, which method: made by python -m xai_mimo.cli.reach README.md, do not edit. -->"
END = "<!-- Which model, which method ends. -->"


PREDICTIONS = "predictions alone"
_LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Reach:
    """What explains what on this machine.

    Attributes:
        needs: what methods ask of a model, in words -> the methods that ask for it and that have their packages here.
        models: kinds of models, in words -> for each of these needs, whether it is met.
        lacks: where a "no" is from: the letters of the needs, the kinds of models, and why.
        left_out: adapters and methods that do not load here or lack packages, and why.
    """

    needs: Mapping[str, Sequence[str]]
    models: Mapping[str, Mapping[str, bool]]
    lacks: Sequence[tuple[str, tuple[str, ...], str]]
    left_out: Mapping[str, str]

    def asked(self) -> list[list[str]]:
        """A letter for each need, the need, and its methods."""
        return [[_LETTERS[i], words, ", ".join(names)] for i, (words, names) in enumerate(self.needs.items())]

    def letters(self) -> list[str]:
        """The letters of the needs, in order."""
        return [letter for letter, *_ in self.asked()]

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
        why = why if method is None else lacking(getattr(method, "packages", ()))
        if why:
            left_out[f"method {name}"] = why
            continue
        words = " and ".join(what_is_needed(capability) for capability in needs_of(method)) or PREDICTIONS
        asked.setdefault(words, needs_of(method))
        needs.setdefault(words, []).append(name)
    order = sorted(needs, key=lambda words: (len(asked[words]), -len(needs[words])))
    met = {kind: {words: _has_all(adapted, asked[words]) for words in order} for kind, adapted in kinds.items()}
    return Reach({words: needs[words] for words in order}, met, _lacks({w: asked[w] for w in order}, kinds), left_out)


def _has_all(adapted: type, capabilities: Sequence[type[Model]]) -> bool:
    return all(has(adapted, capability) for capability in capabilities)


def _lacks(
    asked: Mapping[str, Sequence[type[Model]]], kinds: Mapping[str, type]
) -> list[tuple[str, tuple[str, ...], str]]:
    """Each capability that some kind of model has not: the letters of the needs with it, the kinds, and why."""
    found = []
    for capability in dict.fromkeys(each for capabilities in asked.values() for each in capabilities):
        letters = [letter for letter, each in zip(_LETTERS, asked.values(), strict=False) if capability in each]
        without = tuple(kind for kind, adapted in kinds.items() if not has(adapted, capability))
        if without:
            found.append((" ".join(letters), without, what_lacks([capability])))
    return found


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
    """Two tables for a README: what methods ask for, each by a letter; which kind of model has it."""
    lines = [
        "| | asks a model for | methods |",
        "|:---:|---|---|",
        *(f"| {letter} | {words} | {_code(names)} |" for letter, words, names in found.asked()),
        "",
        f"| | {' | '.join(found.letters())} |",
        f"|---{'|:---:' * len(found.needs)}|",
        *(f"| {' | '.join(line)} |" for line in found.lines()),
    ]
    return "\n".join(lines) + "\n"


def _code(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


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
