"""A torch model as one module for hooks: its numbers, what it leaves, what is none."""

import contextlib
import threading

import numpy as np
import pytest
import torch

import xai_mimo as xm
from tests.helpers import torch_nets as nets
from xai_mimo.core.errors import NotSupported, ShapeMismatch
from xai_mimo.core.model import Hookable, require
from xai_mimo.core.targets import Selector

pytestmark = [pytest.mark.all_frameworks, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def tables(rng):
    model = nets.seeded(nets.Tables)
    rows = nets.normal(rng, 4, left=(3,), right=(4,))
    return model, rows, xm.adapt(model, like=rows)


def tensors(rows):
    return [torch.from_numpy(x).requires_grad_() for x in rows.values()]


def test_it_gives_all_units_of_all_heads_in_order(tables):
    _, rows, adapted = tables
    expected = np.concatenate([y.reshape(4, -1) for y in adapted.predict(rows).values()], axis=1)
    with adapted.hookable() as module:
        assert not any(m.training for m in module.modules())
        np.testing.assert_array_equal(module(*tensors(rows)).detach().numpy(), expected)


def test_its_submodules_are_the_users_own_and_hooks_fire(tables):
    model, rows, adapted = tables
    seen = []
    with adapted.hookable() as module:
        assert dict(module.named_children()) == dict(model.named_children())
        module.hours.register_forward_hook(lambda m, given, made: seen.append(given[0].detach().numpy()))
        module(*tensors(rows))
    np.testing.assert_array_equal(seen, rows["left"][None])


def test_its_gradients_are_the_models_and_exact_zeros_where_a_head_reads_nothing(tables):
    _, rows, adapted = tables
    _, expected = adapted.gradients(rows, [Selector("hours", "output_2", np.full(4, 1))])
    with adapted.hookable() as module:
        given = tensors(rows)
        left, right = torch.autograd.grad(module(*given)[:, 5].sum(), given)
    np.testing.assert_array_equal(left.numpy(), expected["left"][0])
    np.testing.assert_array_equal(right.numpy(), 0)
    assert expected["left"].any()


def test_a_model_that_is_a_single_layer_is_hooked_itself(rng):
    model = nets.seeded(lambda: torch.nn.Linear(3, 2))
    rows = nets.normal(rng, 4, x=(3,))
    with xm.adapt(model, like=rows).hookable() as module:
        assert list(module.children()) == [model]


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(tables, fails):
    model, rows, adapted = tables
    model.hours.rule, model.hours.weight.requires_grad = "the user's own", False
    model.register_forward_hook(lambda *_: None)
    before, attributes = nets.state(model), [set(vars(m)) for m in model.modules()]
    storage, weight = model.hours.weight.data_ptr(), model.hours.weight.detach().clone()
    broken = pytest.raises(RuntimeError, match="broken on purpose") if fails else contextlib.nullcontext()
    with broken, adapted.hookable() as module:
        module.hours.register_forward_hook(lambda *_: None)
        module.hours.register_forward_pre_hook(lambda *_: None, with_kwargs=True)
        module.hours.activations = {"much": torch.zeros(3)}
        del module.hours.rule
        module.hours.weight.data = torch.zeros(2, 3)
        module.hours.weight.requires_grad_(True)
        module.classes.train()
        module(*tensors(rows)).sum().backward()
        torch.rand(3)
        if fails:
            raise RuntimeError("broken on purpose")
    after = nets.state(model)
    for what, value in before.items():
        np.testing.assert_equal(after[what], value, err_msg=what)
    assert [set(vars(m)) for m in model.modules()] == attributes
    assert model.hours.rule == "the user's own"
    assert model.hours.weight.data_ptr() == storage
    torch.testing.assert_close(model.hours.weight.detach(), weight, rtol=0, atol=0)


def test_half_precision_comes_in_and_goes_out_as_float32(tables):
    model, rows, _ = tables
    adapted = xm.adapt(model.bfloat16(), like=rows)
    with adapted.hookable() as module:
        given = tensors(rows)
        out = module(*given)
        assert out.dtype == torch.float32
        assert torch.autograd.grad(out.sum(), given)[0].dtype == torch.float32


def test_heads_before_their_links_and_other_descriptions_stay_hookable(tables):
    _, rows, adapted = tables
    logits, found = adapted.before_link(["output_0", "output_1"])
    assert set(found) == {"output_0", "output_1"}
    with require(logits, Hookable, for_="a test").hookable() as module:
        expected = np.concatenate([y.reshape(4, -1) for y in logits.predict(rows).values()], axis=1)
        np.testing.assert_array_equal(module(*tensors(rows)).detach().numpy(), expected)
    assert isinstance(adapted.renamed(adapted.streams), Hookable)


def test_what_does_not_run_module_by_module_is_not_hookable(tables, rng):
    model, rows, _ = tables
    for other in (
        torch.jit.script(model),
        torch.compile(model, backend="eager"),
        lambda left, right: model(left, right),
    ):
        adapted = xm.adapt(other, like=rows)
        with pytest.raises(
            NotSupported,
            match=r"^a\.DeepLift needs a model of PyTorch modules that can be hooked, .* is none\. Hooks would never fire",
        ):
            require(adapted, Hookable, for_="a.DeepLift")


def test_replaced_maps_and_another_number_of_streams_are_refused(tables):
    _, rows, adapted = tables
    with adapted.hookable() as module, pytest.raises(ShapeMismatch, match="each of the streams left, right; got 1"):
        module(tensors(rows)[0])


def test_two_threads_do_not_see_each_others_hooks(tables):
    _, _, adapted = tables
    entered, waited = threading.Event(), []

    def other():
        entered.set()
        with adapted.hookable() as module:
            waited.append(len(module.hours._forward_hooks))

    with adapted.hookable() as module:
        module.hours.register_forward_hook(lambda *_: None)
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait()
        thread.join(0.1)
        assert not waited
    thread.join()
    assert waited == [0]
