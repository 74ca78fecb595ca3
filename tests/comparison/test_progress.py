"""The bar of a comparison: every step is named, and the bar ends where it should."""

import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.progress import silent, steps

pytestmark = pytest.mark.all_frameworks


@pytest.fixture
def told(monkeypatch):
    """Every move of a bar: ``(description, advance)``, and its total first."""
    import rich.progress

    moves = []

    class Bar:
        def __init__(self, transient):
            assert transient

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def add_task(self, name, total):
            moves.append((name, total))
            return 0

        def update(self, task, advance, description):
            moves.append((description, advance))

    monkeypatch.setattr(rich.progress, "Progress", Bar)
    return moves


def test_a_step_moves_by_its_parts_and_is_done_when_it_is_left(told):
    with steps(True, 2, "compare") as step:
        with step("one", 4) as advance:
            advance(1)
            advance(2)
        with step("two", 1) as advance:
            advance(5)  # more than there was
    assert told == [
        ("compare", 2),
        ("compare: one", 0.0),
        ("compare: one", 0.25),
        ("compare: one", 0.5),
        ("compare: one", 0.25),
        ("compare: two", 0.0),
        ("compare: two", 1.0),
        ("compare: two", 0.0),
    ]


def test_without_a_bar_nothing_is_drawn(told):
    with steps(False, 1, "compare") as step, step("one", 1) as advance:
        advance(1)
    with silent("one", 1) as advance:
        advance(1)
    assert told == []


def test_a_comparison_tells_every_step_and_fills_the_bar(told):
    model = toys.mlp()
    methods = ["gradient", "integrated_gradients"]
    settings = Settings(resamples=100, steps=2, controls=1)
    xm.compare(model, toys.rows(model), methods, settings=settings, progress=True)
    (_, total), *moves = told
    names = list(dict.fromkeys(name for name, _ in moves))
    assert names == [f"compare: {n}" for n in (*methods, "positions", "faithfulness", "agreement")]
    assert sum(share for _, share in moves) == pytest.approx(total) == 7
    assert sum(share for name, share in moves if name == "compare: gradient") == pytest.approx(2)


def test_a_step_that_fails_lets_its_error_through():
    with pytest.raises(BadSetting, match="no good"), steps(False, 1, "compare") as step, step("one", 1):
        raise BadSetting("no good")
