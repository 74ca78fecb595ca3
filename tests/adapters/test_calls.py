"""Functions that are slow or far away: asked several at a time, again after failures, and not for ever."""

import threading
import time

import numpy as np
import pytest
from xai_mimo_adapters.calls import in_threads

import xai_mimo as xm
from xai_mimo.core.errors import BadSetting, NotFinite, TooSlow, XaiMimoError
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks

ROWS = np.arange(50.0)[:, None]
DECLARED = {"streams": {"x": 1}, "heads": {"y": 1}}
QUICK = {"wait": 0.001}


def test_the_order_is_kept_whatever_is_answered_first():
    def later_rows_first(x):
        time.sleep(0.004 if x[0, 0] < 20 else 0.0)
        return 2 * x

    model = xm.adapt(later_rows_first, **DECLARED, concurrency=8, rows_per_call=5)
    np.testing.assert_array_equal(model.predict(ROWS)["y"], 2 * ROWS)
    alone = xm.explain(xm.adapt(later_rows_first, **DECLARED), ROWS, "shapley", background=ROWS[:2])
    np.testing.assert_array_equal(xm.explain(model, ROWS, "shapley", background=ROWS[:2])["x"], alone["x"])


def test_no_more_calls_run_at_a_time_than_were_asked_for_and_as_many_do():
    running, most, lock = [], [], threading.Lock()
    all_there = threading.Barrier(3)

    def watched(x):
        with lock:
            running.append(1)
            most.append(len(running))
        all_there.wait(5)  # three have to be here at once, or this breaks
        with lock:
            running.pop()
        return x

    model = xm.adapt(watched, **DECLARED, concurrency=3, rows_per_call=10)
    model.predict(ROWS[:30])
    assert max(most) == 3
    sizes = []
    model = xm.adapt(lambda x: sizes.append(len(x)) or x, **DECLARED, concurrency=4)
    model.predict(ROWS)
    assert sorted(sizes) == [11, 13, 13, 13]  # without a limit of rows each gets its share


def test_a_function_asked_with_patience_keeps_the_contract():
    def limited(memory):
        return xm.adapt(lambda x: {"y": 2 * x}, **DECLARED, concurrency=3, timeout=5.0, max_memory=memory)

    model = xm.adapt(lambda x: {"y": 2 * x}, **DECLARED, concurrency=3, rows_per_call=2, retries=1, timeout=5.0)
    check_adapter(model, ROWS[:7], limited=limited)


class Flaky:
    """Fails so often for each first row, then answers."""

    def __init__(self, failures, error=ConnectionError):
        self.failures, self.error, self.asked = failures, error, {}

    def __call__(self, x):
        first = float(x[0, 0])
        self.asked[first] = self.asked.get(first, 0) + 1
        if self.asked[first] <= self.failures:
            raise self.error(f"no answer, try {self.asked[first]}")
        return x.astype("float64") + 1


def test_calls_that_failed_are_made_again():
    function = Flaky(2)
    model = xm.adapt(function, **DECLARED, retries=2, rows_per_call=20, **QUICK)
    np.testing.assert_array_equal(model.predict(ROWS)["y"], ROWS + 1)
    assert function.asked == {0.0: 3, 20.0: 3, 40.0: 3}


def test_the_last_error_comes_through_with_how_often_it_was_tried():
    for concurrency in (1, 4):
        model = xm.adapt(Flaky(9), **DECLARED, retries=2, rows_per_call=20, concurrency=concurrency, **QUICK)
        with pytest.raises(ConnectionError, match=r"no answer, try 3\n'Flaky' was asked 3 times for rows 0 to "):
            model.predict(ROWS)
    function = Flaky(9, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        xm.adapt(function, **DECLARED, retries=5, **QUICK).predict(ROWS)
    assert function.asked == {0.0: 1}  # who stops a run is not asked again


def test_a_call_that_takes_too_long_is_given_up_with_its_rows():
    let_go = threading.Event()

    def hangs(x):
        if x[0, 0] >= 20:
            let_go.wait(10)
        return x

    try:
        model = xm.adapt(hangs, **DECLARED, timeout=0.02, retries=1, rows_per_call=20, concurrency=2, **QUICK)
        with pytest.raises(
            TooSlow, match=r"hangs' gave no answer for rows (20 to 39|40 to 49) within 0\.02 s \(asked 2 times\)"
        ) as raised:
            model.predict(ROWS)
        assert isinstance(raised.value, TimeoutError)
        once = xm.adapt(hangs, **DECLARED, timeout=0.02)
        np.testing.assert_array_equal(once.predict(ROWS[:20])["y"], ROWS[:20])
        with pytest.raises(TooSlow, match=r"rows 0 to 19 within 0\.02 s \(asked once\).*timeout=.*rows_per_call="):
            once.predict(ROWS[20:40])
    finally:
        let_go.set()


def test_after_a_failure_nothing_else_is_begun():
    begun = []

    def failing(number):
        begun.append(number)
        raise ValueError(f"work {number}")

    with pytest.raises(ValueError, match="work 0"):
        in_threads([lambda n=n: failing(n) for n in range(50)], 1)
    assert begun == [0]


def test_an_answer_that_is_none_names_its_row_and_is_not_asked_for_again():
    asked = []

    def broken(x):
        asked.append(len(x))
        return np.where(x == 33, np.nan, x)

    model = xm.adapt(broken, **DECLARED, retries=3, rows_per_call=10, concurrency=2, **QUICK)
    with pytest.raises(NotFinite, match="first in row 33"):
        model.predict(ROWS)
    assert len(asked) <= 5


def test_a_function_asked_with_patience_is_handed_one_dtype():
    seen = set()

    def flaky(x):
        seen.add(str(x.dtype))
        if len(seen_calls) < 1:
            seen_calls.append(1)
            raise ConnectionError
        return x[:, :1]

    seen_calls = []
    xm.adapt(flaky, **DECLARED, retries=1, **QUICK).predict(ROWS)
    assert seen == {"float64"}  # a failure that passes must not change the digits of some rows


def test_the_probe_of_an_undeclared_function_is_patient_too():
    model = xm.adapt(Flaky(1), like={"x": ROWS}, retries=1, **QUICK)
    assert [h.name for h in model.heads] == ["output"]
    assert model.streams[0].dtype == "float64"


def test_warnings_and_numpy_settings_reach_the_threads():
    def divides(x):
        return x / x

    model = xm.adapt(divides, **DECLARED, concurrency=2)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        model.predict(np.zeros((4, 1)))


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1; got 0"),
        ({"retries": -1}, "retries, where there are any, must be a whole number of at least 1; got -1"),
        ({"timeout": 0}, "timeout must be a number above 0; got 0"),
        ({"wait": "long"}, "wait must be a number above 0; got 'long'"),
        ({"rows_per_call": 1.5}, r"rows_per_call must be a whole number of at least 1; got 1\.5"),
        ({"retrys": 3}, "adapt has no option 'retrys' for models of builtins; there are: .*retries, wait, timeout"),
    ],
)
def test_settings_that_are_none_are_named(setting, text):
    with pytest.raises(BadSetting, match=text):
        xm.adapt(lambda x: x, **DECLARED, **setting)
    assert issubclass(TooSlow, XaiMimoError)
