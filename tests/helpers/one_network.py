"""One network in every framework, with one set of weights: three streams of different rank, four heads of different
kind, and a fourth stream that nothing reads.

    table (6,)           -> tanh dense 8            \
    series (5, 3)        -> tanh dense 8, mean over time > concat -> tanh dense 12 -> hours, risk, mode, tags
    image (4, 4, 2)      -> flat, tanh dense 8      /
    spare (2,)              unused

Smooth, so that differences and paths converge. ``reference`` and ``jacobian`` are the network and its derivatives in
NumPy, float64, written by hand; every other version is held against them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

SHAPES = {"table": (6,), "series": (5, 3), "image": (4, 4, 2), "spare": (2,)}
HEADS = {"hours": ("linear", 1), "risk": ("sigmoid", 1), "mode": ("softmax", 3), "tags": ("sigmoid", 2)}
ENCODERS = {"table": 6, "series": 3, "image": 32}
TARGETS = [(head, unit) for head, (_, units) in HEADS.items() for unit in range(units)]


def weights(seed: int = 5) -> dict[str, np.ndarray]:
    """``{"<layer>.kernel": (in, out), "<layer>.bias": (out,)}`` in float32."""
    rng = np.random.default_rng(seed)
    sizes = {name: (n, 8) for name, n in ENCODERS.items()}
    sizes |= {"joint": (24, 12)} | {head: (12, units) for head, (_, units) in HEADS.items()}
    made = {}
    for name, (n, m) in sizes.items():
        made[f"{name}.kernel"] = (rng.normal(size=(n, m)) / np.sqrt(n)).astype("float32")
        made[f"{name}.bias"] = rng.normal(scale=0.1, size=m).astype("float32")
    return made


def rows(count: int, seed: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(count, *shape)).astype("float32") for name, shape in SHAPES.items()}


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


ACTIVATIONS = {"linear": lambda z: z, "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "softmax": softmax}


def reference(table: Any, series: Any, image: Any, spare: Any = None) -> dict[str, np.ndarray]:
    """The network as a plain function of arrays."""
    hidden = _hidden(table, series, image)[-1]
    w = weights()
    return {h: ACTIVATIONS[a](hidden @ w[f"{h}.kernel"] + w[f"{h}.bias"]) for h, (a, _) in HEADS.items()}


def _hidden(table: Any, series: Any, image: Any) -> tuple[np.ndarray, ...]:
    w = weights()
    t = np.tanh(table @ w["table.kernel"] + w["table.bias"])
    s = np.tanh(series @ w["series.kernel"] + w["series.bias"])
    i = np.tanh(image.reshape(len(image), -1) @ w["image.kernel"] + w["image.bias"])
    joint = np.concatenate([t, s.mean(axis=1), i], axis=1)
    return t, s, i, np.tanh(joint @ w["joint.kernel"] + w["joint.bias"])


def jacobian(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gradients of every target by the chain rule, ``{stream: (target, row, *shape)}``."""
    x = {name: values.astype("float64") for name, values in inputs.items()}
    w = weights()
    t, s, i, h = _hidden(x["table"], x["series"], x["image"])
    outputs = reference(**x)
    found: dict[str, list[np.ndarray]] = {name: [] for name in SHAPES}
    for head, unit in TARGETS:
        activation, y = HEADS[head][0], outputs[head]
        if activation == "softmax":
            at_z = y[:, [unit]] * (np.eye(y.shape[1])[unit] - y)
        else:
            slope = 1.0 if activation == "linear" else y[:, [unit]] * (1 - y[:, [unit]])
            at_z = slope * np.eye(y.shape[1])[[unit]].repeat(len(y), axis=0)
        at_joint = ((at_z @ w[f"{head}.kernel"].T) * (1 - h**2)) @ w["joint.kernel"].T
        found["table"].append((at_joint[:, :8] * (1 - t**2)) @ w["table.kernel"].T)
        found["series"].append((at_joint[:, None, 8:16] / 5 * (1 - s**2)) @ w["series.kernel"].T)
        found["image"].append(((at_joint[:, 16:] * (1 - i**2)) @ w["image.kernel"].T).reshape(-1, 4, 4, 2))
        found["spare"].append(np.zeros((len(y), 2)))
    return {name: np.stack(each) for name, each in found.items()}


def integrated(inputs: dict[str, np.ndarray], nodes: int = 64) -> dict[str, np.ndarray]:
    """Integrated Gradients from zeros by the trapezoid-free, exact-to-rounding rule: Gauss-Legendre on ``jacobian``."""
    places, parts = np.polynomial.legendre.leggauss(nodes)
    total = dict.fromkeys(SHAPES, 0.0)
    for place, part in zip((places + 1) / 2, parts / 2, strict=True):
        at = jacobian({name: place * values.astype("float64") for name, values in inputs.items()})
        total = {name: total[name] + part * at[name] for name in SHAPES}
    return {name: total[name] * inputs[name] for name in SHAPES}


def keras_network() -> Any:
    import keras

    layers, ops = keras.layers, keras.ops
    streams = {name: keras.Input(shape, name=name) for name, shape in SHAPES.items()}
    t = layers.Dense(8, "tanh", name="table_encoder")(streams["table"])
    s = ops.mean(layers.Dense(8, "tanh", name="series_encoder")(streams["series"]), axis=1)
    i = layers.Dense(8, "tanh", name="image_encoder")(layers.Flatten()(streams["image"]))
    hidden = layers.Dense(12, "tanh", name="joint")(layers.Concatenate()([t, s, i]))
    heads = {h: layers.Dense(units, activation, name=h)(hidden) for h, (activation, units) in HEADS.items()}
    model = keras.Model(streams, heads)
    w = weights()
    for name in [*ENCODERS, "joint", *HEADS]:
        layer = model.get_layer(f"{name}_encoder" if name in ENCODERS else name)
        layer.set_weights([w[f"{name}.kernel"], w[f"{name}.bias"]])
    return model


def torch_network() -> Any:
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = {name: (n, 8) for name, n in ENCODERS.items()}
            self.encoders = torch.nn.ModuleDict({name: torch.nn.Linear(*size) for name, size in sizes.items()})
            self.joint = torch.nn.Linear(24, 12)
            self.heads = torch.nn.ModuleDict({h: torch.nn.Linear(12, units) for h, (_, units) in HEADS.items()})

        def forward(self, table: Any, series: Any, image: Any, spare: Any) -> Any:
            t = torch.tanh(self.encoders["table"](table))
            s = torch.tanh(self.encoders["series"](series)).mean(dim=1)
            i = torch.tanh(self.encoders["image"](image.flatten(1)))
            hidden = torch.tanh(self.joint(torch.cat([t, s, i], dim=1)))
            return {h: _torch_activation(a, self.heads[h](hidden)) for h, (a, _) in HEADS.items()}

    model, w = Network(), weights()
    with torch.no_grad():
        for name in [*ENCODERS, "joint", *HEADS]:
            layer = model.joint if name == "joint" else (model.encoders if name in ENCODERS else model.heads)[name]
            layer.weight.copy_(torch.from_numpy(w[f"{name}.kernel"].T))
            layer.bias.copy_(torch.from_numpy(w[f"{name}.bias"]))
    return model.eval()


def _torch_activation(activation: str, z: Any) -> Any:
    import torch

    return {"linear": lambda z: z, "sigmoid": torch.sigmoid, "softmax": lambda z: torch.softmax(z, dim=-1)}[activation](
        z
    )


def jax_network() -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    w = {name: jnp.asarray(values) for name, values in weights().items()}
    activations = {"linear": lambda z: z, "sigmoid": jax.nn.sigmoid, "softmax": jax.nn.softmax}

    @jax.jit
    def network(table: Any, series: Any, image: Any, spare: Any) -> Any:
        t = jnp.tanh(table @ w["table.kernel"] + w["table.bias"])
        s = jnp.tanh(series @ w["series.kernel"] + w["series.bias"]).mean(axis=1)
        i = jnp.tanh(image.reshape(len(image), -1) @ w["image.kernel"] + w["image.bias"])
        hidden = jnp.tanh(jnp.concatenate([t, s, i], axis=1) @ w["joint.kernel"] + w["joint.bias"])
        return {h: activations[a](hidden @ w[f"{h}.kernel"] + w[f"{h}.bias"]) for h, (a, _) in HEADS.items()}

    return network


def flax_network() -> Any:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    activations = {"linear": lambda z: z, "sigmoid": jax.nn.sigmoid, "softmax": jax.nn.softmax}

    class Network(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            for name, n in ENCODERS.items():
                setattr(self, name, nnx.Linear(n, 8, rngs=rngs))
            self.joint = nnx.Linear(24, 12, rngs=rngs)
            for head, (_, units) in HEADS.items():
                setattr(self, head, nnx.Linear(12, units, rngs=rngs))

        def __call__(self, table: Any, series: Any, image: Any, spare: Any) -> Any:
            t = jnp.tanh(self.table(table))
            s = jnp.tanh(self.series(series)).mean(axis=1)
            i = jnp.tanh(self.image(image.reshape(len(image), -1)))
            hidden = jnp.tanh(self.joint(jnp.concatenate([t, s, i], axis=1)))
            return {h: activations[a](getattr(self, h)(hidden)) for h, (a, _) in HEADS.items()}

    model, w = Network(nnx.Rngs(0)), weights()
    for name in [*ENCODERS, "joint", *HEADS]:
        layer = getattr(model, name)
        layer.kernel[...] = jnp.asarray(w[f"{name}.kernel"])
        layer.bias[...] = jnp.asarray(w[f"{name}.bias"])
    return model


def equinox_network() -> Any:
    """As equinox has it: a module of one row."""
    import equinox
    import jax
    import jax.numpy as jnp

    activations = {"linear": lambda z: z, "sigmoid": jax.nn.sigmoid, "softmax": jax.nn.softmax}
    w = {name: jnp.asarray(values) for name, values in weights().items()}

    def linear(name: str) -> Any:
        kernel = w[f"{name}.kernel"]
        made = equinox.nn.Linear(*kernel.shape, key=jax.random.key(0))
        return equinox.tree_at(lambda layer: (layer.weight, layer.bias), made, (kernel.T, w[f"{name}.bias"]))

    class Network(equinox.Module):
        layers: dict[str, Any]

        def __call__(self, table: Any, series: Any, image: Any, spare: Any) -> Any:
            t = jnp.tanh(self.layers["table"](table))
            s = jnp.tanh(jax.vmap(self.layers["series"])(series)).mean(axis=0)
            i = jnp.tanh(self.layers["image"](image.reshape(-1)))
            hidden = jnp.tanh(self.layers["joint"](jnp.concatenate([t, s, i])))
            return {h: activations[a](self.layers[h](hidden)) for h, (a, _) in HEADS.items()}

    return Network({name: linear(name) for name in [*ENCODERS, "joint", *HEADS]})


def tensorflow_network() -> Any:
    import tensorflow as tf

    class Network(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = {name: tf.Variable(values) for name, values in weights().items()}

        def _dense(self, name: str, x: Any) -> Any:
            return tf.tensordot(x, self.w[f"{name}.kernel"], 1) + self.w[f"{name}.bias"]

        @tf.function
        def __call__(self, table: Any, series: Any, image: Any, spare: Any) -> Any:
            t = tf.tanh(self._dense("table", table))
            s = tf.reduce_mean(tf.tanh(self._dense("series", series)), axis=1)
            i = tf.tanh(self._dense("image", tf.reshape(image, (-1, 32))))
            hidden = tf.tanh(self._dense("joint", tf.concat([t, s, i], axis=1)))
            activations = {"linear": tf.identity, "sigmoid": tf.sigmoid, "softmax": tf.nn.softmax}
            return {h: activations[a](self._dense(h, hidden)) for h, (a, _) in HEADS.items()}

    return Network()


def onnx_bytes() -> bytes:
    """The network as an ONNX graph, node by node, with a free batch."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    w = weights()
    nodes, constants = [], [numpy_helper.from_array(values, name) for name, values in w.items()]
    constants += [
        numpy_helper.from_array(np.array([1], dtype="int64"), "time_axis"),
        numpy_helper.from_array(np.array([0, 32], dtype="int64"), "flat"),
    ]

    def add(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def dense(name: str, x: str) -> str:
        product = add("MatMul", [x, f"{name}.kernel"], f"{name}.product")
        return add("Add", [product, f"{name}.bias"], f"{name}.z")

    t = add("Tanh", [dense("table", "table")], "t")
    s = add("ReduceMean", [add("Tanh", [dense("series", "series")], "steps"), "time_axis"], "s", keepdims=0)
    i = add("Tanh", [dense("image", add("Reshape", ["image", "flat"], "pixels"))], "i")
    hidden = add("Tanh", [dense("joint", add("Concat", [t, s, i], "features", axis=1))], "hidden")
    ops = {"linear": "Identity", "sigmoid": "Sigmoid", "softmax": "Softmax"}
    for head, (activation, _) in HEADS.items():
        add(ops[activation], [dense(head, hidden)], head)

    def info(name: str, shape: tuple[int, ...]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    graph = helper.make_graph(
        nodes,
        "one_network",
        [info(name, shape) for name, shape in SHAPES.items()],
        [info(head, (units,)) for head, (_, units) in HEADS.items()],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


NETWORKS: dict[str, tuple[str, Callable[[], Any], bool]] = {
    "numpy": ("numpy", lambda: reference, False),
    "torch": ("torch", torch_network, True),
    "jax": ("jax", jax_network, True),
    "flax": ("flax", flax_network, True),
    "equinox": ("equinox", equinox_network, True),
    "tensorflow": ("tensorflow", tensorflow_network, True),
    "onnx": ("onnxruntime", onnx_bytes, False),
}
"""Name -> the package that it needs, the network as its users have it, and whether it has gradients."""
