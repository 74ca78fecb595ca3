"""Whatever a report may have to cite is known, or brought by whoever adds it."""

import pytest

from xai_mimo.comparison.references import OF_EVERY_RECORD, REFERENCES, cited
from xai_mimo.core.method import bibtex_of
from xai_mimo.core.plugins import plugins
from xai_mimo.layers import FLINT, IMVLSTM, MAIL, IdentityMLP, MHEXHead

pytestmark = pytest.mark.all_frameworks


def test_every_method_metric_and_layer_of_ours_can_be_cited():
    loaded = {name: entry.load() for name, entry in plugins("xai_mimo.methods").items()}
    methods = {name: method.reference for name, method in loaded.items()}
    for of_a_layer in ("interception", "position_maps"):
        assert methods.pop(of_a_layer) == ""  # that of the layer it reads
    metrics = {name: entry.load().reference for name, entry in plugins("xai_mimo.metrics").items()}
    layers = {layer.__name__: layer.reference for layer in (MAIL, IMVLSTM, IdentityMLP, MHEXHead, FLINT)}
    brought = {m.reference for m in loaded.values() if f"{{{m.reference}," in bibtex_of(m)}
    known = {*REFERENCES, *brought}
    assert {name: key for name, key in {**methods, **metrics, **layers}.items() if key not in known} == {}


def test_an_entry_stands_under_its_own_key():
    for key, entry in REFERENCES.items():
        assert entry.splitlines()[0].endswith("{" + key + ",")


def test_a_plugin_brings_its_entry_and_ours_is_not_replaced():
    own = "@misc{somebody2026,\n  title = {Something}\n}"
    entries = cited([("somebody2026", own), ("ribeiro2025mail", "@misc{ribeiro2025mail}"), ("", "")])
    assert entries["somebody2026"] == own
    assert entries["ribeiro2025mail"] == REFERENCES["ribeiro2025mail"]
    assert list(entries) == ["somebody2026", "ribeiro2025mail", *OF_EVERY_RECORD]


def test_a_key_without_an_entry_is_left_out():
    assert list(cited([("somebody2026", "")])) == list(OF_EVERY_RECORD)
