"""What is read off torch models and their data: streams, heads, kinds; and what is refused in words."""

import dataclasses
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import xai_mimo as xm
from tests.helpers import torch_nets as nets
from xai_mimo.core.errors import NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.model import Differentiable
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector

pytestmark = [pytest.mark.all_frameworks, pytest.mark.usefixtures("one_thread")]


class Giving(nn.Module):
    """Gives what a function makes of its two inputs and a parameter."""

    def __init__(self, give):
        super().__init__()
        self.weight, self.give = nn.Parameter(torch.ones(3)), give

    def forward(self, u, v):
        return self.give(u * self.weight, v)


Pair = namedtuple("Pair", ["risk", "hours"])


@dataclasses.dataclass
class Answer:
    risk: torch.Tensor
    hours: torch.Tensor
    left_out: None = None


@pytest.fixture
def uv(rng):
    return nets.normal(rng, 5, u=(3,), v=(3,))


@pytest.mark.parametrize(
    ("give", "names"),
    [
        (lambda u, v: u, ["output"]),
        (lambda u, v: [u, v], ["output_0", "output_1"]),
        (lambda u, v: {"risk": u, "more": {"hours": v}}, ["risk", "more_hours"]),
        (Pair, ["risk", "hours"]),
        (Answer, ["risk", "hours"]),
    ],
)
def test_heads_are_called_as_the_model_calls_them(give, names, uv):
    adapted = xm.adapt(Giving(give), like=uv)
    assert [h.name for h in adapted.heads] == names
    np.testing.assert_array_equal(adapted.predict(uv)[names[-1]], uv["u" if len(names) == 1 else "v"])


class InOne(nn.Module):
    def __init__(self, pick):
        super().__init__()
        self.pick = pick

    def forward(self, batch, scale=1.0):
        u, v = self.pick(batch)
        return scale * u - v


@pytest.mark.parametrize(
    "model",
    [
        Giving(lambda u, v: u - v),
        InOne(lambda batch: (batch["u"], batch["v"])),
        InOne(lambda batch: batch if isinstance(batch, list) else None),
        nn.Module.__call__ and type("Stars", (nn.Module,), {"forward": lambda self, *given: given[0] - given[1]})(),
        type("Named", (nn.Module,), {"forward": lambda self, *, v, u, none=None: u - v})(),
    ],
    ids=["by name", "one mapping", "one list", "any number", "keywords only"],
)
def test_streams_are_handed_over_as_the_model_takes_them(model, uv):
    np.testing.assert_allclose(xm.adapt(model, like=uv).predict(uv)["output"], uv["u"] - uv["v"], rtol=1e-6)


def test_columns_of_data_frames_are_feature_names(uv):
    frames = {name: pd.DataFrame(x, columns=["a", "b", "c"]) for name, x in uv.items()}
    result = xm.explain(Giving(lambda u, v: (u * v).sum(1)), frames, "gradient")
    assert list(result.u_feature.values) == ["a", "b", "c"]
    np.testing.assert_allclose(result.u.values[0], uv["v"], rtol=1e-6)


def test_a_declaration_takes_the_place_of_rows_and_renames_what_they_tell(uv):
    model = Giving(lambda u, v: {"y": u.sum(1) + v.sum(1)})
    declared = xm.adapt(model, streams={"u": 3, "v": ["p", "q", "r"]}, heads={"risk": "binary"})
    assert declared.streams == (Stream("u", (3,)), Stream("v", (3,), features=("p", "q", "r")))
    assert declared.heads == (Head("risk", (), "binary"),)
    np.testing.assert_allclose(declared.predict(uv)["risk"], (uv["u"] + uv["v"]).sum(1), rtol=1e-5)
    renamed = xm.adapt(model, like=list(uv.values()), streams={"left": 3, "right": 3})
    assert [s.name for s in renamed.streams] == ["left", "right"]
    np.testing.assert_allclose(renamed.predict(list(uv.values()))["y"], (uv["u"] + uv["v"]).sum(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("give", "kind", "kind_from"),
    [
        (lambda u, v: torch.softmax(u, -1), "multiclass", "final softmax"),
        (lambda u, v: nn.functional.softmax(u, 1).to(torch.float64), "multiclass", "final softmax"),
        (lambda u, v: torch.log_softmax(u, 1), "multiclass", "final log-softmax"),
        (lambda u, v: torch.softmax(u[:, :2], 1)[:, 1], "binary", "final softmax"),
        (lambda u, v: torch.softmax(u, 1)[:, 1], "regression", ""),
        (lambda u, v: torch.softmax(u, 0), "regression", ""),
        (lambda u, v: torch.softmax(u[:, :, None] * v[:, None], -1)[:, :, 0], "regression", ""),
        (lambda u, v: torch.sigmoid(u), "multilabel", "final sigmoid"),
        (lambda u, v: torch.sigmoid(u[:, :1]).squeeze(-1), "binary", "final sigmoid"),
        (lambda u, v: torch.sigmoid(u)[:, 0], "binary", "final sigmoid"),
        (lambda u, v: torch.sigmoid(u) * 2, "regression", ""),
        (lambda u, v: torch.sigmoid(v.detach() * 1), "regression", ""),
    ],
)
def test_kinds_are_seen_in_the_last_operation_and_never_in_values(give, kind, kind_from, uv):
    head = xm.adapt(Giving(give), like=uv).heads[0]
    assert (head.kind, head.kind_from) == (kind, kind_from)


def test_code_that_hides_its_last_operation_is_looked_at_without(rng):
    model, x = nets.seeded(nets.Tables).eval(), nets.normal(rng, 4, left=(3,), right=(4,))
    scripted = torch.jit.script(model)
    for _ in range(4):  # fused after some calls
        fused = scripted(*(torch.from_numpy(v).requires_grad_() for v in x.values()))
    assert "Softmax" not in fused[0].grad_fn.name()
    for source in (scripted, torch.compile(model, backend="eager")):
        seen = [head.kind_from for head in xm.adapt(source, like=x).heads]
        assert seen == ["final softmax", "final sigmoid", ""]


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (
            Giving(lambda u, v: u.sum()),
            ShapeMismatch,
            r"output 'output' has shape \(\) for 4 rows; expected the batch axis",
        ),
        (Giving(lambda u, v: u.T), ShapeMismatch, r"output 'output' has shape \(3, 4\) for 4 rows"),
        (Giving(lambda u, v: 1 / 0), NotSupported, "'Giving' does not take the streams .*ZeroDivisionError"),
        (
            Giving(lambda u, v: u.detach().numpy()),
            NotSupported,
            "'Giving' gives a ndarray as output 'output'; expected",
        ),
        (nn.Linear(3, 2), NotSupported, r"'Linear' does not take the streams \(u \(4, 3\) float32, v"),
        (nn.Linear(3, 2, device="meta"), NotSupported, "weights of 'Linear' are on the device 'meta'.*to_empty"),
        (torch.ones(3), NotSupported, "a Tensor of PyTorch is no model"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(model, error, text, uv):
    with pytest.raises(error, match=text):
        xm.adapt(model, like=uv)


def test_rows_of_another_width_are_not_said_to_be_missing(uv):
    with pytest.raises(NotSupported) as told:
        xm.adapt(nn.Linear(7, 2), like=uv["u"])
    text = str(told.value)
    assert text.endswith(
        "(4x3 and 7x2). Its parameters are input. It has them all; are the rows of the shape that it reads, the batch "
        "axis first?"
    )


def test_outputs_that_are_no_heads_may_be_left_out_by_naming_the_others(uv):
    model = Giving(lambda u, v: (u.sum(1), v.mean()))
    with pytest.raises(ShapeMismatch, match=r"output 'output_1' has shape \(\) for 4 rows"):
        xm.adapt(model, like=uv)
    adapted = xm.adapt(model, like=uv, heads={"output_0": 1})
    assert [h.name for h in adapted.heads] == ["output_0"]
    np.testing.assert_allclose(adapted.predict(uv)["output_0"], uv["u"].sum(1), rtol=1e-5)


def test_a_keyword_that_was_not_given_is_named(uv):
    class Wanting(nn.Module):
        def forward(self, u, *, mask):
            return u * mask

    with pytest.raises(UnknownName, match="no stream for a parameter of 'Wanting' is called 'mask'; there are: u"):
        xm.adapt(Wanting(), like={"u": uv["u"]})


def test_a_module_alone_says_what_to_give():
    with pytest.raises(NotSupported, match=r"streams of 'Linear' cannot be read off.*adapt\(model, like=x\)"):
        xm.adapt(nn.Linear(2, 1))


def test_weights_made_in_inference_mode_are_refused(uv):
    with torch.inference_mode():
        model = nn.Linear(3, 1)
    with pytest.raises(NotSupported, match=r"made inside torch\.inference_mode\(\), so that nothing made of them"):
        xm.adapt(model, like=uv["u"])


def test_an_answer_of_another_shape_later_is_named(uv):
    adapted = xm.adapt(Giving(lambda u, v: u if len(u) < 5 else u[:, :2]), like=uv)
    with pytest.raises(ShapeMismatch, match=r"'Giving' gave shape \(5, 2\) for head 'output'; expected \(5, 3\)"):
        adapted.predict(uv)


def test_a_module_that_remembers_is_found_out(uv):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, u, v):
            self.calls += 1
            return u * self.calls

    with pytest.raises(NotSupported, match="model 'Counting' is random, or keeps a state from call to call"):
        xm.explain(Counting(), uv, "gradient")


def test_dropout_and_batch_norm_are_read_in_evaluation_mode(rng):
    model, x = nets.seeded(nets.Tables), nets.normal(rng, 6, left=(3,), right=(4,))
    ours = xm.adapt(model, like=x).predict(x)["output_0"]
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        expected = model.eval()(*(torch.from_numpy(v) for v in x.values()))[0]
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-5)


def test_each_module_gets_its_own_mode_back(rng):
    model, x = nets.seeded(nets.Tables), nets.normal(rng, 3, left=(3,), right=(4,))
    model.norm.eval()
    for compiled in (model, torch.compile(model, backend="eager")):
        xm.adapt(compiled, like=x).predict(x)
        assert not model.norm.training
        assert model.training
        assert model.drop.training
        assert torch.backends.mha.get_fastpath_enabled()


def test_a_model_may_write_into_what_it_is_given(uv):
    def give(u, v):
        v += 1
        return (v * u).sum(1)

    before = {name: x.copy() for name, x in uv.items()}
    adapted = xm.adapt(Giving(give), like=uv)
    slopes = adapted.gradients(uv, [Selector("output", "output", np.zeros(5, int))])[1]
    np.testing.assert_allclose(slopes["u"][0], before["v"] + 1, rtol=1e-6)
    for name, x in uv.items():
        np.testing.assert_array_equal(x, before[name])


def test_a_function_of_tensors_is_a_model_with_gradients(uv):
    net = nets.seeded(lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2)))

    def risk(u: torch.Tensor, v: torch.Tensor):
        return torch.sigmoid(net(u - v))

    adapted = xm.adapt(risk, like=uv)
    assert isinstance(adapted, Differentiable)
    assert adapted.heads[0].kind_from == "final sigmoid"
    assert adapted.streams[0].dtype == "float32"
    p = adapted.predict(uv)["output"]
    slopes = adapted.gradients(uv, [Selector("a", "output", np.zeros(5, int))])[1]
    expected = (p * (1 - p))[:, :1] * net[1].weight.detach().numpy()[0]
    np.testing.assert_allclose(slopes["u"][0], expected, rtol=1e-4)
    assert net.training
    before = adapted.fingerprint()
    with torch.no_grad():
        net[1].bias += 1
    assert adapted.fingerprint() != before


def test_convolutions_tell_which_axis_holds_channels(rng):
    x = nets.normal(rng, 2, x=(3, 8))
    assert xm.adapt(nn.Conv1d(3, 4, 3), like=x["x"]).streams[0].axes == ("channel", "time")
    assert xm.adapt(nn.Linear(8, 2), like=x["x"]).streams[0].axes == ("time", "feature")
    picture = nets.normal(rng, 2, x=(3, 8, 8))["x"]
    scripted = torch.jit.script(nn.Conv2d(3, 4, 3))
    assert xm.adapt(scripted, like=picture).streams[0].axes == ("channel", "height", "width")


def test_heads_before_their_final_sigmoid_or_softmax(rng):
    model, x = nets.seeded(nets.Tables), nets.normal(rng, 4, left=(3,), right=(4,))
    exported = torch.export.export(nets.seeded(nets.Tables).eval(), tuple(map(torch.from_numpy, x.values())))
    model.eval()
    with torch.no_grad():
        seen = model.norm(
            torch.tanh(model.left(torch.from_numpy(x["left"])) + model.right(torch.from_numpy(x["right"])))
        )
        logits, odds = model.classes(seen).numpy(), model.choice(seen).numpy()[:, 0]
    for source in (model, torch.compile(model, backend="eager"), exported):
        adapted = xm.adapt(source, like=x)
        cut, where = adapted.before_link([h.name for h in adapted.heads])
        assert where == {"output_0": "before its final softmax", "output_1": "before its final sigmoid"}
        assert [h.unit for h in cut.heads] == ["logit", "log-odds", ""]
        assert cut.fingerprint() != adapted.fingerprint()
        answer = cut.predict(x)
        np.testing.assert_allclose(answer["output_0"], logits, atol=1e-5)
        np.testing.assert_allclose(answer["output_1"], odds, atol=1e-5)
        slopes = cut.gradients(x, [Selector("y", "output_1", np.zeros(4, int))])[1]["left"]
        p = adapted.predict(x)["output_1"]
        through = adapted.gradients(x, [Selector("y", "output_1", np.zeros(4, int))])[1]["left"]
        np.testing.assert_allclose(slopes[0] * (p * (1 - p))[:, None], through[0], atol=1e-6)
    assert xm.adapt(torch.jit.script(model), like=x).before_link(["output_0"])[1] == {}


@pytest.mark.parametrize(
    "write", [lambda p, z: p.mul_(0.99), lambda p, z: p.view(-1).mul_(0.99), lambda p, z: z.mul_(1.02)]
)
def test_probabilities_that_were_written_into_end_in_no_sigmoid(write, uv):
    def give(u, v):
        z = u[:, :1] * 1
        p = torch.sigmoid(z)
        write(p, z)
        return p

    adapted = xm.adapt(Giving(give), like=uv, heads={"output": "binary"})
    assert adapted.before_link(["output"])[1] == {}


@pytest.mark.parametrize(
    "give", [lambda u, v: torch.softmax(u[:, :, None] * v[:, None, :3], 1), lambda u, v: torch.softmax(u, -1)[:, :2]]
)
def test_a_softmax_over_another_axis_or_some_of_its_values_end_in_no_softmax(give, uv):
    assert xm.adapt(Giving(give), like=uv, heads={"output": "multiclass"}).before_link(["output"])[1] == {}


def test_what_a_sigmoid_in_place_writes_over_is_what_it_read(uv):
    adapted = xm.adapt(Giving(lambda u, v: (u[:, :1] * 2).sigmoid_()), like=uv, heads={"output": "binary"})
    np.testing.assert_allclose(adapted.before_link(["output"])[0].predict(uv)["output"], 2 * uv["u"][:, :1], rtol=1e-6)


def test_modules_that_are_put_in_later_are_read_in_evaluation_mode_too(rng):
    model, x = nets.seeded(nets.Tables).train(), nets.normal(rng, 4, left=(3,), right=(4,))
    adapted = xm.adapt(model, like=x)
    before = adapted.fingerprint()
    model.left = nn.Sequential(nn.Dropout(0.9), model.left, nn.Tanh())
    anew = xm.adapt(model, like=x)
    np.testing.assert_array_equal(adapted.predict(x)["output_0"], anew.predict(x)["output_0"])
    assert before != adapted.fingerprint() == anew.fingerprint()
    assert model.left[0].training


def test_random_states_are_left_as_they_were_by_what_draws(uv):
    model = Giving(lambda u, v: u + 0 * torch.rand_like(u))
    before = nets.state(model)
    adapted = xm.adapt(model, like=uv)
    adapted.predict(uv)
    adapted.gradients(uv, [Selector("y", "output", np.zeros(5, int))])
    np.testing.assert_equal(nets.state(model), before)
