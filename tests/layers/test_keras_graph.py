"""The graph of a Keras model as the layers read it."""

import keras
import pytest
from keras import layers

from xai_mimo.layers.keras_graph import (
    ancestors,
    as_functional,
    calls,
    calls_of,
    functional_core,
    functional_models,
    makers,
    named_outputs,
    output_places,
)


class OwnCall(keras.Model):
    """Built from a graph, and then called in a way of its own."""

    def call(self, inputs):
        return inputs


@pytest.fixture
def nested():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="inside")], name="inner")
    x = keras.Input((3,), name="x")
    middle = layers.Dense(3, name="middle")(inner(x))
    y = layers.Dense(2, name="y")(middle)
    return keras.Model(x, {"z": y, "a": middle}, name="outer")


def test_a_model_has_a_graph_unless_its_call_is_its_own(nested):
    assert functional_core(nested) is nested
    sequential = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    assert functional_core(sequential) is sequential._functional
    assert as_functional(sequential).name == sequential.name
    assert as_functional(nested) is nested
    x = keras.Input((3,))
    for other in (keras.Sequential([layers.Dense(2)]), OwnCall(x, layers.Dense(2)(x)), layers.Dense(2)):
        assert functional_core(other) is None
        assert (list(functional_models(other)), named_outputs(other), output_places(other)) == ([], {}, {})


def test_calls_come_after_those_that_feed_them(nested):
    assert [node.operation.name for node in calls(nested)] == ["inner", "middle", "y"]
    inner = functional_core(nested.get_layer("inner"))
    assert list(functional_models(nested)) == [inner, nested]
    made_by = makers(nested)
    [node] = calls_of(nested, "middle")
    assert made_by[id(node.outputs[0])] is node
    assert set(ancestors(node.outputs[0], made_by)) == {id(t) for n in calls(nested)[:2] for t in n.outputs} | {
        id(nested.inputs[0])
    }


def test_outputs_have_names_in_the_declared_order_and_places_in_the_flat_one(nested):
    assert list(named_outputs(nested)) == ["z", "a"]
    assert output_places(nested) == {"z": 1, "a": 0}
    x = keras.Input((3,))
    twice = layers.Dense(2, name="d")
    model = keras.Model(x, [twice(x), twice(layers.Dense(3)(x)), layers.Dense(1, name="e")(x)])
    assert list(named_outputs(model)) == ["d_0", "d_1", "e"]
