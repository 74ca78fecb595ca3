"""Every kind of torch model keeps the contract of adapters."""

import numpy as np
import pytest
import torch

import xai_mimo as xm
from tests.helpers import torch_nets as nets
from xai_mimo.testing import check_adapter

pytestmark = [pytest.mark.all_frameworks, pytest.mark.usefixtures("one_thread")]


def keeps_the_contract(model, rows, *, adapted=None, watched=None, **settings):
    watched = model if watched is None else watched

    def change():
        with torch.no_grad():
            for p in watched.parameters():
                p.mul_(1.5).add_(0.1)

    check_adapter(
        xm.adapt(model, like=rows),
        rows,
        state=lambda: nets.state(watched),
        limited=lambda bytes_: xm.adapt(model, like=rows, max_memory=bytes_),
        change_weights=change,
        **settings,
    )


def test_tables_and_a_tuple_of_heads(rng):
    model = nets.seeded(nets.Tables)
    rows = nets.normal(rng, 5, left=(3,), right=(4,))
    keeps_the_contract(model, rows, broken=lambda: nets.broken(model))


def test_pictures_and_a_mapping_of_heads(rng):
    model = nets.seeded(nets.Pictures)
    rows = nets.normal(rng, 3, picture=(2, 6, 6), table=(2,))
    keeps_the_contract(model, rows, broken=lambda: nets.broken(model))


def test_a_recurrent_network(rng):
    model = nets.seeded(nets.Sequence)
    keeps_the_contract(model, nets.normal(rng, 3, signal=(4, 3)))


def test_token_ids_beside_a_table(rng):
    model = nets.seeded(nets.Tokens)
    rows = {"ids": rng.integers(0, 11, (4, 5)), **nets.normal(rng, 4, table=(2,))}
    keeps_the_contract(model, rows)


def test_a_transformer_encoder(rng):
    model = nets.seeded(nets.Encoder)
    keeps_the_contract(model, nets.normal(rng, 3, steps=(4, 3)))


def test_half_precision_comes_in_and_goes_out_as_float32(rng):
    model = nets.seeded(nets.Tables).bfloat16()
    rows = nets.normal(rng, 4, left=(3,), right=(4,))
    adapted = xm.adapt(model, like=rows)
    assert adapted.precision == "bfloat16"
    assert {s.dtype for s in adapted.streams} == {"float32"}
    assert {y.dtype.name for y in adapted.predict(rows).values()} == {"float32"}
    # bfloat16 tells 8 bits apart: chunks of other lengths round otherwise, and differences of outputs are too coarse.
    keeps_the_contract(model, rows, tolerance=2e-2, slope_tolerance=np.inf)


def test_a_scripted_and_a_traced_module(rng):
    rows = nets.normal(rng, 4, left=(3,), right=(4,))
    scripted = torch.jit.script(nets.seeded(nets.Tables))
    keeps_the_contract(scripted, rows)
    assert [s.name for s in xm.adapt(scripted, like=list(rows.values())).streams] == ["left", "right"]
    traced = torch.jit.trace(nets.seeded(nets.Tables).eval(), tuple(torch.from_numpy(x) for x in rows.values()))
    keeps_the_contract(traced, rows)


def test_a_compiled_module(rng):
    model = nets.seeded(nets.Tables)
    rows = nets.normal(rng, 4, left=(3,), right=(4,))
    keeps_the_contract(torch.compile(model, backend="eager"), rows, watched=model)


@pytest.mark.parametrize("rows_of_export", ["any", "fixed"])
def test_an_exported_program(rows_of_export, rng):
    model, rows = nets.seeded(nets.Tables).eval(), nets.normal(rng, 4, left=(3,), right=(4,))
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        model,
        tuple(torch.from_numpy(x) for x in rows.values()),
        dynamic_shapes={name: {0: batch} for name in rows} if rows_of_export == "any" else None,
    )
    adapted = xm.adapt(program, like=rows)
    check_adapter(adapted, rows, limited=lambda bytes_: xm.adapt(program, like=rows, max_memory=bytes_))
    with torch.no_grad():
        expected = model(*(torch.from_numpy(x) for x in rows.values()))
    for y, wanted in zip(adapted.predict(rows).values(), expected, strict=True):
        np.testing.assert_allclose(y, wanted.numpy(), rtol=1e-5, atol=1e-6)


def test_a_hugging_face_model_of_ids_and_a_mask(rng):
    import transformers

    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
    )
    model = nets.seeded(lambda: transformers.BertModel(config))
    mask = np.ones((4, 5), np.int64)
    mask[1, 3:], mask[2, 4:] = 0, 0
    rows = {"input_ids": rng.integers(0, 30, (4, 5)), "attention_mask": mask}
    adapted = xm.adapt(model, like=rows)
    assert [h.name for h in adapted.heads] == ["last_hidden_state", "pooler_output"]
    assert adapted.where_floats_begin() == "embeddings.dropout"
    assert adapted.tail("encoder.layer.1").held == ("attention_mask",)
    with torch.no_grad():
        expected = model.eval()(**{name: torch.from_numpy(x) for name, x in rows.items()})
    model.train()
    np.testing.assert_allclose(adapted.predict(rows)["pooler_output"], expected.pooler_output.numpy(), atol=1e-5)
    keeps_the_contract(model, rows, layers=["embeddings.dropout", "encoder.layer.1"])
