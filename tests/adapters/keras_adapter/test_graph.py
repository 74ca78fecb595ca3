"""How much memory one row is taken to need."""

import keras
import numpy as np
from xai_mimo_adapters.keras_adapter.graph import read_graph, values_of_model, values_of_steps

from xai_mimo.core.plugins import adapt
from xai_mimo.core.streams import Stream


def test_a_step_counts_its_output_and_what_its_kernels_give():
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Activation("tanh")(keras.layers.Dense(5)(x))))
    graph = read_graph(model)
    assert values_of_steps(graph, graph.steps, {"x": np.zeros((1, 4))}) == (5 + 5) + 5 + (2 + 2)


def test_axes_of_any_length_count_as_long_as_the_rows_given():
    x = keras.Input((None, 4), name="x")
    graph = read_graph(keras.Model(x, keras.layers.Dense(3)(x)))
    assert values_of_steps(graph, graph.steps, {"x": np.zeros((1, 10, 4))}) == 10 * 3 + 10 * 3


def test_a_model_without_a_graph_counts_its_kernels_at_every_position():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    assert values_of_model(model, [Stream("x", (10, 4))], {"x": np.zeros((1, 10, 4))}) == 10 * 3 + 40


def test_less_memory_means_smaller_chunks():
    sizes = []
    for max_memory in (4 * 2 * 10 + 16, 2 * (4 * 2 * 10 + 16), None):
        x = keras.Input((4,), name="x")
        model = keras.Model(x, keras.layers.Dense(5)(x))
        adapter = adapt(model, max_memory=max_memory)
        engine = adapter._whole._runner.engine
        forward, seen = engine.forward, []

        def counted(call, chunk, forward=forward, seen=seen):
            seen.append(len(chunk["x"]))
            return forward(call, chunk)

        engine.forward = counted
        adapter.predict(np.zeros((8, 4)))
        sizes.append(seen)
    whole = 16 if engine.fixed_shapes else 8  # padded to the smallest size where shapes are compiled
    assert sizes == [[1] * 8, [2] * 4, [whole]]
