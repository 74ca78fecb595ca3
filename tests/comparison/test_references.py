"""Whatever a report may have to cite is known."""

import pytest

from xai_mimo.comparison.references import OF_METRICS, REFERENCES, cited, of_metrics
from xai_mimo.core.plugins import plugins
from xai_mimo.layers import FLINT, IMVLSTM, MAIL, IdentityMLP, MHEXHead

pytestmark = pytest.mark.all_frameworks


def test_every_method_and_layer_of_ours_can_be_cited():
    methods = {name: entry.load().reference for name, entry in plugins("xai_mimo.methods").items()}
    for of_a_layer in ("interception", "position_maps"):
        assert methods.pop(of_a_layer) == ""  # that of the layer it reads
    layers = {layer.__name__: layer.reference for layer in (MAIL, IMVLSTM, IdentityMLP, MHEXHead, FLINT)}
    missing = {name: key for name, key in {**methods, **layers}.items() if key not in REFERENCES}
    assert not missing


def test_an_entry_stands_under_its_own_key():
    for key, entry in REFERENCES.items():
        assert entry.splitlines()[0].endswith("{" + key + ",")


def test_metrics_that_are_not_always_there_have_sources():
    found = of_metrics(["average_drop", "deletion_area", "pointing_game", "signed_average_drop", "mass_in_region"])
    assert found == ["chattopadhay2018gradcampp", "zhang2018excitation", "arras2022clevrxai"]
    assert set(found) <= set(REFERENCES)


def test_keys_of_foreign_plugins_are_left_out():
    assert list(cited(["somebody2026", "ribeiro2025mail"])) == ["ribeiro2025mail", *OF_METRICS]
