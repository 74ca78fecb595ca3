"""Samples of every kind of file that version 0.1.0 writes, made with version 0.1.0 before the rooms moved.

Do not run this again with later code, unless to compare: the files are kept so that later code can be held against
them (``tests/test_first_version.py``). They were made with

    KERAS_BACKEND=jax JAX_PLATFORMS=cpu python -m tests.data.first_version.make

The ``config.json`` inside the ``.keras`` files names each of our classes twice. By ``registered_name``, "xai_mimo>" and
the class's name, a class is found once it has been imported. ``module`` says where it stood in 0.1.0, and Keras 3.15
does not follow it for packages other than its own:

    xai_mimo.layers.flint               FLINT
    xai_mimo.layers.flint_head          InterpreterHead
    xai_mimo.layers.flint_networks      BinAverage
    xai_mimo.layers.identity_mlp        IdentityMLP
    xai_mimo.layers.imv_cells           IMVTensorCell, IMVFullCell
    xai_mimo.layers.imv_losses          MixtureNLL, MixtureEM, MixtureMean
    xai_mimo.layers.imv_lstm            IMVLSTM
    xai_mimo.layers.mail                MAIL
    xai_mimo.layers.mhex                MHEXHead
    xai_mimo.layers.mhex_networks       AddPositions
    xai_mimo.layers.mhex_supervision    DeepSupervision
    xai_mimo.layers.mimo_attention      MIMOAttentionLayer

``model.weights.h5`` holds the weights of a layer by number, in the order in which ``build`` makes them, and the layer by
its class in a list of layers ("layers/mail", FLINT's "layers/entropy_pair") or by the attribute that holds it
(``IMVLSTM``: "cell" and "phi"; the terms of FLINT: "_spread"). To rename one of these, or to make weights in another
order, needs a way to read the old files.
"""

import dataclasses
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from xai_mimo.analysis.assembly import Settings

import xai_mimo as xm
from xai_mimo.core.errors import NotSupported
from xai_mimo.explainers import Interception, Occlusion, PositionMaps
from xai_mimo.layers import (
    FLINT,
    IMVLSTM,
    MAIL,
    IdentityMLP,
    IMVFullCell,
    IMVTensorCell,
    InterpreterHead,
    MHEXHead,
    MIMOAttentionLayer,
    MixtureEM,
    MixtureMean,
    MixtureNLL,
    add_mhex,
    small_encoder,
    small_resnet,
)
from xai_mimo.studies.demo import run_demo

HERE = Path(__file__).parent
ROWS = 8
FEATURES = {"thermal": ["air", "process"], "wear": ["tool", "bearing", "belt"]}
FAST = Settings(ks=(2,), steps=3, controls=1, ceilings=False, resamples=200)
WORDS = ("<pad>", "good", "bad", "film", "the", "never")


def tabular(heads: Any) -> keras.Model:
    """Two named streams and two named heads, which are what ``heads`` gives behind two layers of their own."""
    inputs = {"thermal": keras.Input((2,), name="thermal"), "wear": keras.Input((3,), name="wear")}
    read = heads(inputs)
    risk = layers.Dense(1, activation="sigmoid", name="risk")(read["risk"])
    kind = layers.Dense(3, activation="softmax", name="kind")(read["kind"])
    return keras.Model(inputs, {"risk": risk, "kind": kind})


def mail_local() -> keras.Model:
    mail = MAIL({"risk": 2, "kind": 3}, 4, scoring="local", rescale=True, feature_names=FEATURES, name="mail")
    return tabular(mail)


def mail_dense() -> keras.Model:
    """As published: lists in and out."""
    inputs = [keras.Input((2,), name="a"), keras.Input((3,), name="b")]
    return keras.Model(inputs, MAIL([1, 2], name="mail")(inputs))


def mail_settings() -> keras.Model:
    """The other scorings, normalisers and layouts, one layer behind the other, each over steps."""
    inputs = {"a": keras.Input((4, 2), name="a"), "b": keras.Input((4, 3), name="b")}
    stream = MAIL({"a": 2, "b": 3}, scoring="stream", normalizer="sigmoid", streams="hierarchical", name="stream")
    additive = MAIL(
        {"a": 2, "b": 3}, 3, scoring="additive", normalizer="sparsemax", temperature=0.5, rescale=True, name="additive"
    )
    static = MAIL({"y": 1}, scoring="static", use_bias=False, kernel_regularizer="l2", name="static")
    return keras.Model(inputs, static(additive(stream(inputs))))


def mimo_attention() -> keras.Model:
    inputs = [keras.Input((2,), name="a"), keras.Input((3,), name="b")]
    return keras.Model(inputs, MIMOAttentionLayer(2, [1, 2], 5, name="mail")(inputs))


def imv_tensor() -> keras.Model:
    series = {"weather": keras.Input((5, 2), name="weather"), "load": keras.Input((5, 1), name="load")}
    settings = {"feature_names": ["wind", "sun", "load"], "share_output": True, "attend_last": True}
    return keras.Model(series, IMVLSTM(3, heads={"now": 1, "next": 2}, name="imv", **settings)(series))


def imv_full() -> keras.Model:
    """A mixture, and a step with Adam behind it, so that its file holds the optimizer's state."""
    series = keras.Input((5, 3), name="series")
    settings = {"logit_activation": "linear", "hidden_layer": True, "dropout": 0.1, "seed": 1, "cell_regularizer": "l2"}
    model = keras.Model(series, IMVLSTM(2, "full", output="mixture", name="imv", **settings)(series))
    model.compile(keras.optimizers.Adam(0.01), loss=MixtureNLL(reduction="sum"))
    model.fit(drawn((ROWS, 5, 3)), drawn((ROWS, 1)), batch_size=ROWS, verbose=0)
    return model


def imv_em() -> keras.Model:
    series = keras.Input((5, 3), name="series")
    model = keras.Model(series, IMVLSTM(2, output="mixture", min_scale=0.01, name="imv")(series))
    model.compile("sgd", loss=MixtureEM())
    return model


def imv_mean() -> keras.Model:
    """Steps that are padding, and the mean of a mixture."""
    series = keras.Input((5, 3), name="series")
    mixture = IMVLSTM(2, output="mixture", name="imv")(layers.Masking(name="mask")(series))
    return keras.Model(series, MixtureMean(name="mean")(mixture))


def imv_cells() -> keras.Model:
    """Both cells by themselves, in a layer of Keras."""
    series = keras.Input((5, 3), name="series")
    read = [layers.RNN(cell(3, 2, name="cell"), name=cell.__name__.lower()) for cell in (IMVTensorCell, IMVFullCell)]
    return keras.Model(series, [layer(series) for layer in read])


def identity_mlp() -> keras.Model:
    table = keras.Input((4,), name="table")
    identity = IdentityMLP(
        depth=3,
        heads={"kind": 3, "amount": 1},
        regression=["amount"],
        scale="adapt",
        scale_to=0.9,
        identity_penalty=0.01,
        stream_name="table",
        name="identity",
    )
    model = keras.Model(table, identity(table))
    identity.adapt(drawn((64, 4)))
    return model


def identity_image() -> keras.Model:
    image = keras.Input((3, 3, 1), name="image")
    settings = {"activation": "leaky_relu", "class_activation": "linear", "scale": (-1.0, 2.0), "alpha": 0.8}
    return keras.Model(image, IdentityMLP(3, 2, name="identity", **settings)(image))


def mhex() -> keras.Model:
    image = keras.Input((6, 6, 1), name="image")
    code = layers.Conv2D(4, 3, padding="same", activation="relu", name="see")(image)
    branch = layers.Conv2D(4, 3, padding="same", name="branch")(code)
    code = MHEXHead(heads={"kind": 2, "light": 1}, use_bias=True, name="mhex")([branch, code])
    pooled = layers.GlobalAveragePooling2D(name="pool")(code)
    kind = layers.Dense(2, activation="softmax", name="kind")(pooled)
    return keras.Model(image, {"kind": kind, "light": layers.Dense(1, name="light")(pooled)})


def mhex_logits() -> keras.Model:
    tokens = keras.Input((4, 3), name="tokens")
    branch = layers.Dense(3, name="branch")(tokens)
    code, logits = MHEXHead(2, return_logits=True, name="mhex")([branch, tokens])
    return keras.Model(tokens, [layers.GlobalAveragePooling1D(name="pool")(code), logits])


def mhex_supervised() -> keras.Model:
    """What ``add_mhex`` gives, compiled."""
    resnet = small_resnet((6, 6, 1), {"kind": 2, "light": 1}, widths=(3,))
    kinds = {"kind": "multiclass", "light": "regression"}
    model = add_mhex(resnet, kinds=kinds, weight={"kind": 0.5, "light": 0.1}, block_weights={"block_1_mhex": 2.0})
    loss = {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "light": "mse"}
    model.compile(keras.optimizers.SGD(0.01), loss=loss)
    return model


def mhex_inference() -> keras.Model:
    return mhex_supervised().inference()


def mhex_encoder() -> keras.Model:
    """Token 0 is padding; positions of its own."""
    encoder = small_encoder(len(WORDS), 5, {"good": 2}, blocks=1, width=8, attention_heads=2, dropout=0.1)
    return add_mhex(encoder, kinds="multiclass").inference()


def flint() -> keras.Model:
    """By design: a head of classes and one of quantities, the default networks."""
    image = keras.Input((6, 6, 1), name="image")
    code = layers.Conv2D(2, 3, activation="relu", name="code")(image)
    pooled = layers.GlobalAveragePooling2D(name="pool")(code)
    kind = layers.Dense(3, activation="softmax", name="kind")(pooled)
    predictor = keras.Model(image, {"kind": kind, "load": layers.Dense(2, name="load")(pooled)}, name="predictor")
    settings = {"weights": {"sparsity": 0.05}, "head_weights": {"load": 0.5}, "reconstruction_loss": "absolute"}
    model = FLINT(predictor, ["code"], 3, kinds={"load": "regression"}, seed=3, **settings)
    model.compile(keras.optimizers.SGD(0.01), loss={"kind": "sparse_categorical_crossentropy", "load": "mse"})
    return model


def flint_post_hoc() -> keras.Model:
    """After the fact, with an optimizer, a step of it and no loss."""
    model = table_flint(post_hoc=True)
    model.compile("adam")
    model.fit(drawn((ROWS, 4)), batch_size=ROWS, verbose=0)
    return model


def flint_interpreter() -> keras.Model:
    return table_flint(post_hoc=False).interpreter()


def table_flint(*, post_hoc: bool) -> FLINT:
    """Without a decoder, with networks and a schedule of one's own."""
    table = keras.Input((4,), name="table")
    hidden = layers.BatchNormalization(name="norm")(layers.Dense(5, activation="tanh", name="tap")(table))
    predictor = keras.Model(table, layers.Dense(1, activation="sigmoid", name="alarm")(hidden), name="predictor")
    dictionary = keras.Sequential([keras.Input((5,)), layers.Dense(3, activation="relu", name="attributes")])
    head = InterpreterHead({"alarm": 1}, dropout=0.0, kernel_regularizer="l1", seed=2, name="interpreter")
    schedule = {1: {"fidelity": 0.0}, 3: {"fidelity": 0.5}}
    settings = {"dictionary": dictionary, "interpreter": head, "schedule": schedule, "post_hoc": post_hoc}
    return FLINT(predictor, ["tap"], 3, decoder=False, **settings)


MODELS: tuple[Callable[[], keras.Model], ...] = (
    mail_local,
    mail_dense,
    mail_settings,
    mimo_attention,
    imv_tensor,
    imv_full,
    imv_em,
    imv_mean,
    imv_cells,
    identity_mlp,
    identity_image,
    mhex,
    mhex_logits,
    mhex_supervised,
    mhex_inference,
    mhex_encoder,
    flint,
    flint_post_hoc,
    flint_interpreter,
)


def drawn(shape: tuple[int, ...], seed: int = 11) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def stir(model: keras.Model) -> keras.Model:
    """Move every weight a little up, for some start at zero and would not be missed; variances stay positive."""
    rng = np.random.default_rng(5)
    for weight in model.weights:
        if "float" in weight.dtype:
            weight.assign(weight + rng.uniform(0, 0.3, weight.shape))
    return model


def inputs_of(name: str, model: keras.Model) -> dict[str, np.ndarray]:
    """Rows for each input by its name."""
    if name == "mhex_encoder":
        return {"text": np.random.default_rng(2).integers(0, len(WORDS), (ROWS, 5)).astype("int32")}
    model = getattr(model, "network", model)
    found = {t.name: drawn((ROWS, *t.shape[1:]), seed) for seed, t in enumerate(keras.tree.flatten(model.input))}
    if name == "imv_mean":
        found["series"][::2, :2] = 0.0  # padding in front
    return found


def labels_of(name: str) -> dict[str, np.ndarray]:
    """Labels for each output, where the model was compiled with the losses of its outputs."""
    kind = np.arange(ROWS) % 2
    several = {
        "mhex_supervised": {"kind": kind, "light": drawn((ROWS, 1))},
        "flint": {"kind": kind, "load": drawn((ROWS, 2))},
    }
    one = {"": drawn((ROWS, 1))} if name in ("imv_full", "imv_em") else {}
    return several.get(name, one)


def numbers(name: str, model: keras.Model) -> dict[str, np.ndarray]:
    """What a model says of its rows: ``input/<name>``, ``output/<number>`` and ``map/<layer>/<map>``.

    Of models with losses also ``label/<head>`` ("label/" with a single output) and ``loss``. Two have no maps: cells sow none, and the inputs of a ``DeepSupervision`` cannot be read off.
    """
    x = inputs_of(name, model)
    kept = {f"input/{stream}": values for stream, values in x.items()}
    given = x if len(x) > 1 else next(iter(x.values()))
    outputs = keras.tree.flatten(model.predict(given, verbose=0))
    kept |= {f"output/{i}": values for i, values in enumerate(outputs)}
    if labels := labels_of(name):
        kept |= {f"label/{head}": values for head, values in labels.items()}
        kept["loss"] = np.array(model.evaluate(given, labels.get("", labels), return_dict=True, verbose=0)["loss"])
    try:
        maps = xm.intercept(model, x)
    except NotSupported:
        return kept
    return kept | {f"map/{key}": values.values for key, values in maps.data_vars.items()}


def comparisons(models: dict[str, keras.Model]) -> dict[str, Any]:
    """By name of its file. Together they fill every part of a record."""
    found, twice = {}, dataclasses.replace(FAST, ceilings=True)
    table = inputs_of("mail_local", models["mail_local"])
    labels = {"risk": np.arange(ROWS) % 2, "kind": np.arange(ROWS) % 3}
    truth = {"risk": {"thermal": ["air"]}, "kind": {"thermal": ["process"], "wear": ["tool"]}}
    streams = [xm.Stream(name, (len(features),), features=tuple(features)) for name, features in FEATURES.items()]
    named = xm.adapt(models["mail_local"], streams=streams)
    methods = ["interception", "shapley"]
    words = {"title": "A table", "command": "python table.py"}
    result = xm.compare(named, table, methods, labels=labels, truth=truth, settings=twice, **words)
    task = {"model": "mail_local", "head": "risk", "metric": "auroc"}
    task |= {"estimate": 0.75, "low": 0.5, "high": 1.0, "seeds": 3}
    found["table"] = dataclasses.replace(result, record={**result.to_dict(), "task": [task]})

    image = inputs_of("mhex", models["mhex"])
    regions = np.zeros((ROWS, 6, 6), dtype=bool)
    regions[:, 1:4, 2:5] = True
    methods = {"grad_cam": "grad_cam", "position_maps": PositionMaps(), "patches": Occlusion("patches", patch=3)}
    known = {"targets": ["kind"], "labels": {"kind": np.arange(ROWS) % 2}, "truth": {"kind": {"image": regions}}}
    found["image"] = xm.compare(models["mhex"], image, methods, **known, settings=FAST)

    text = inputs_of("mhex_encoder", models["mhex_encoder"])
    encoder = xm.adapt(models["mhex_encoder"], heads={"good": "multiclass"})
    methods = ["position_maps", "occlusion"]
    found["text"] = xm.compare(encoder, text, methods, vocabulary={"text": WORDS}, settings=FAST)

    imv, series = models["imv_tensor"], inputs_of("imv_tensor", models["imv_tensor"])
    methods = {"attention": Interception("attention"), "integrated_gradients": "integrated_gradients"}
    found["series"] = xm.compare(imv, series, methods, targets=["now"], settings=FAST)
    methods = {"attention": Interception("attention"), "contribution": Interception("contribution")}
    whole = {"targets": ["now"], "space": "variables", "settings": FAST}
    found["variables"] = xm.compare(imv, series, methods, **whole)

    found["function"] = xm.compare(function(), {"sensors": drawn((ROWS, 3))}, ["shapley", "occlusion"], settings=twice)
    return found


def function() -> Any:
    """One stream and two heads, in NumPy."""

    def by_hand(sensors: np.ndarray) -> dict[str, np.ndarray]:
        return {"risk": 1 / (1 + np.exp(-sensors[:, 0] * sensors[:, 1])), "life": sensors @ [1.0, -2.0, 0.5]}

    return xm.adapt(by_hand, streams={"sensors": 3}, heads={"risk": "binary", "life": "regression"})


def save_model(model: keras.Model, path: Path) -> None:
    """Save it as ever; then compress the archive, whose members stay as Keras wrote them, to a sixth."""
    model.save(path)
    compress(path)


def compress(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def demo() -> None:
    """The network and the rows that ``xai-mimo demo`` leaves behind, which ``xai-mimo report`` reads."""
    with tempfile.TemporaryDirectory() as folder:
        run_demo(Path(folder), rows=400, heads=("HDF",), epochs=2, explain=ROWS)
        for name in ("model.keras", "data.npz"):
            (HERE / f"demo_{name}").write_bytes((Path(folder) / name).read_bytes())
    compress(HERE / "demo_model.keras")


def main() -> None:
    """Write every sample beside this file."""
    keras.utils.set_random_seed(7)
    models = {make.__name__: stir(make()) for make in MODELS}
    kept = {}
    for name, model in models.items():
        save_model(model, HERE / f"{name}.keras")
        kept |= {f"{name}/{key}": values for key, values in numbers(name, model).items()}
    table, sensors = inputs_of("mail_local", models["mail_local"]), {"sensors": drawn((ROWS, 3))}
    made = comparisons(models)
    for name, result in made.items():
        result.to_json(HERE / f"{name}.json")
    datasets = {
        "shapley": xm.explain(function(), sensors, "shapley"),
        "interception": xm.explain(models["mail_local"], table, "interception"),
        "maps": xm.intercept(models["mail_local"], table),
        "joined": made["table"].explanations,
    }
    for name, dataset in datasets.items():
        xm.save(dataset, HERE / f"{name}.nc")
        numeric = {k: v.values for k, v in dataset.variables.items() if np.issubdtype(v.dtype, np.number)}
        kept |= {f"{name}.nc/{key}": values for key, values in numeric.items()}
    np.savez_compressed(HERE / "numbers.npz", **kept)
    demo()


if __name__ == "__main__":
    main()
