"""What only JAX has: one transposed graph for many targets, and programs kept on disk."""

import json
import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from tests.helpers.frameworks import needs
from xai_mimo.core.plugins import adapt
from xai_mimo.core.targets import select

on_jax = pytest.mark.skipif(keras.config.backend() != "jax", reason="of JAX")


def many_heads(count, units):
    x = keras.Input((4,), name="x")
    h = keras.layers.Dense(6, activation="tanh")(x)
    heads = {f"h{k}": keras.layers.Dense(units[k % len(units)], name=f"h{k}")(h) for k in range(count)}
    return keras.Model(x, heads)


@on_jax
@pytest.mark.parametrize(("count", "units"), [(18, (1, 3)), (2, (9, 12)), (1, (20,))])
def test_many_targets_have_the_numbers_of_few(count, units, rng):
    adapter = adapt(many_heads(count, units))
    x = rng.normal(size=(5, 4)).astype("float32")
    targets = [(head.name, unit) for head in adapter.heads for unit in range(head.size)]
    selectors = select(targets[::-1], adapter.heads, adapter.predict(x))
    assert len(selectors) > 16
    together = adapter.gradients(x, selectors)[1]["x"]
    for start in range(0, len(selectors), 4):
        few = adapter.gradients(x, selectors[start : start + 4])[1]["x"]
        np.testing.assert_allclose(together[start : start + 4], few, atol=1e-6)
    assert np.abs(together).max() > 1e-2


@on_jax
def test_many_targets_are_compiled_as_fast_as_few(rng):
    """Counted in the size of the compiled program, which is what compiling takes its time for."""
    x = rng.normal(size=(5, 4)).astype("float32")
    sizes = []
    for units in (17, 170):
        adapter = adapt(many_heads(1, (units,)))
        selectors = select([("h0", unit) for unit in range(units)], adapter.heads, adapter.predict(x))
        engine = adapter._whole._runner.engine
        with engine._network.holding(adapter._spec.call):
            heads = tuple(selector.head for selector in selectors)
            chosen = np.stack([selector.units for selector in selectors]).astype(np.int32)
            lowered = engine._gradients.lower(engine._weights(), {"x": x}, heads, chosen)
        sizes.append(len(lowered.as_text().splitlines()))
    assert sizes[1] < 1.1 * sizes[0]


@on_jax
def test_a_length_is_compiled_for_once_and_then_for_forward_passes_alone(rng):
    s, tokens = keras.Input((None, 2), name="s"), keras.Input((None,), name="t", dtype="int32")
    h = keras.layers.Concatenate()([keras.layers.GRU(3)(s), keras.layers.GRU(2)(keras.layers.Embedding(5, 2)(tokens))])
    heads = {"a": keras.layers.Dense(1, name="a")(h), "b": keras.layers.Dense(2, name="b")(h)}
    model = keras.Model([s, tokens], {**heads, "best": keras.ops.argmax(heads["b"], axis=-1)})
    adapter = adapt(model)
    traces = []
    for length in (3, 4, 5):
        x = {"s": rng.normal(size=(2, length, 2)).astype("float32"), "t": np.ones((2, length), "int32")}
        for _ in range(2):
            outputs = adapter.predict(x)
            chosen = select(["a", ("b", 1), ("b", 0)], adapter.heads, outputs)
            same, gradients = adapter.gradients(x, chosen, streams=["s"])
        traces.append(adapter.traces)
        expected = model([x["s"], x["t"]], training=False)
        for name, values in expected.items():
            np.testing.assert_allclose(outputs[name], keras.ops.convert_to_numpy(values), atol=1e-6)
            np.testing.assert_array_equal(same[name], outputs[name])
        fresh = adapt(keras.models.clone_model(model))
        fresh.model.set_weights(model.get_weights())
        np.testing.assert_allclose(gradients["s"], fresh.gradients(x, chosen, streams=["s"])[1]["s"], atol=1e-6)
    assert np.diff(traces).tolist() == [1, 1]
    for _ in range(20):
        adapter.predict(x)
    assert adapter.traces == traces[-1] + 1


_FIRST_CALL = """
import json, sys, keras, numpy as np, jax, xai_mimo as xm
assert jax.config.jax_compilation_cache_dir == (sys.argv[1] or None)
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name) if name.endswith("/cache_hits") else None)
x = keras.Input((4,), name="x")
h = keras.layers.Dense(6, activation="tanh")(x)
model = keras.Model(x, [keras.layers.Dense(2, activation="softmax", name=f"y{k}")(h) for k in range(4)])
assert jax.config.jax_compilation_cache_dir == (sys.argv[1] or None)  # not before something is compiled
expl = xm.explain(model, np.ones((3, 4)), "integrated_gradients")
print(json.dumps([jax.config.jax_compilation_cache_dir, jax.config.jax_compilation_cache_max_size, len(hits)]))
"""


def first_call(own="", **environment):
    """In a process of its own, which has of JAX's settings only those that are given."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"},
        "KERAS_BACKEND": "jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", _FIRST_CALL, own],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@needs("jax")
@pytest.mark.all_frameworks
def test_a_second_process_reads_what_the_first_compiled(tmp_path):
    where, size, hits = first_call(XAI_MIMO_CACHE=str(tmp_path))
    assert where.startswith(str(tmp_path))
    assert size == 2**30
    assert hits == 0
    assert len(list(tmp_path.rglob("*-cache"))) > 0
    assert first_call(XAI_MIMO_CACHE=str(tmp_path))[2] > 0


@needs("jax")
@pytest.mark.all_frameworks
def test_the_users_own_folder_stays(tmp_path):
    own = str(tmp_path / "own")
    where, size, _ = first_call(own, XAI_MIMO_CACHE=str(tmp_path / "ours"), JAX_COMPILATION_CACHE_DIR=own)
    assert (where, size) == (own, -1)
    assert not (tmp_path / "ours").exists()


@pytest.fixture
def jax_without_a_cache():
    """JAX as it is where nobody has set a folder, which a run of the suite may have."""
    import jax

    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield jax
    jax.config.update("jax_compilation_cache_dir", before)


@on_jax
@pytest.mark.parametrize("where", ["off", "0", "", "a file"])
def test_a_cache_that_is_off_or_cannot_be_written_is_no_error(where, monkeypatch, tmp_path, jax_without_a_cache):
    from xai_mimo_adapters.jax_programs.disk_cache import keep_on_disk

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XAI_MIMO_CACHE", str(tmp_path / "file") if where == "a file" else where)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keep_on_disk()
    assert jax_without_a_cache.config.jax_compilation_cache_dir is None
