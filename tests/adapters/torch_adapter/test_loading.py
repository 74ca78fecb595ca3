"""Files of PyTorch: exported programs run nothing of theirs, TorchScript and pickles only where they are trusted."""

import io
import json
import os

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.evil import Evil, evil_pickle
from tests.helpers.frameworks import imported
from tests.helpers.saved_models import (
    exported_file,
    module_file,
    reference,
    rewritten,
    rows,
    scripted_file,
    torch_module,
)
from xai_mimo.core.errors import FileProblem, NotSupported, NotTrusted

torch = imported("torch")
pytestmark = pytest.mark.all_frameworks


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return exported_file(tmp_path_factory.mktemp("exported"))


def answer(model):
    (y,) = xm.adapt(model, like=rows()).predict(rows()).values()
    return y


def assert_says_the_same(model):
    np.testing.assert_allclose(answer(model), reference(rows()), atol=1e-6)


def test_an_exported_program_says_the_same(program, tmp_path):
    assert_says_the_same(xm.load_model(program))
    renamed = tmp_path / "net.pt"
    renamed.write_bytes(program.read_bytes())
    assert_says_the_same(xm.load_model(renamed))


def test_a_scripted_module_is_read_where_it_is_trusted(tmp_path):
    path = scripted_file(tmp_path)
    with pytest.raises(
        NotTrusted, match=r"scripted\.pt' is a TorchScript archive: it holds a program, which can read and"
    ):
        xm.load_model(path)
    assert_says_the_same(xm.load_model(path, trust=True))


def test_a_whole_module_is_read_where_it_is_trusted(tmp_path):
    path = module_file(tmp_path)
    with pytest.raises(NotTrusted, match=r"was written by torch\.save and is a pickle.*torch\.export\.save") as refused:
        xm.load_model(path)
    assert "trust=True), or --trust on the command line" in str(refused.value)
    assert_says_the_same(xm.load_model(path, trust=True))


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_alone_are_refused_with_what_to_do(zipped, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(torch_module().state_dict(), path, _use_new_zipfile_serialization=zipped)
    # The old format has several pickles one behind the other, which only reading tells apart.
    with pytest.raises(
        NotSupported, match=r"holds weights without the module .* module\.load_state_dict\(torch\.load\('"
    ):
        xm.load_model(path, trust=not zipped)


def test_a_checkpoint_of_weights_and_numbers_is_weights(tmp_path):
    torch.save({"epoch": 3, "model": torch_module().state_dict(), "loss": 0.5}, tmp_path / "epoch.pt")
    with pytest.raises(NotSupported, match="holds weights without the module"):
        xm.load_model(tmp_path / "epoch.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_of_torch_runs_where_it_is_trusted_alone(zipped, tmp_path):
    mark = tmp_path / "it-ran"
    torch.save({"weights": Evil(mark)}, tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(NotTrusted):
        xm.load_model(tmp_path / "evil.pt")
    assert not mark.exists()
    with pytest.raises(NotSupported):
        xm.load_model(tmp_path / "evil.pt", trust=True)
    assert mark.exists()


def test_a_module_whose_class_is_not_there_says_so(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(torch_module(), tmp_path / "good.pt")
    rewritten(
        tmp_path / "good.pt",
        path,
        lambda name, c: c.replace(b"torch.nn.modules.linear\n", b"nowhere.nn.modules.linear\n"),
    )
    with pytest.raises(
        FileProblem, match=r"m\.pt' cannot be unpickled: .*nowhere.*its classes must be found under the na"
    ):
        xm.load_model(path, trust=True)


def torch_bytes(value):
    written = io.BytesIO()
    torch.save(value, written)
    return written.getvalue()


def edited(change):
    """A change of the program in an archive: ``change(program)`` edits it in place."""

    def edit(name, content):
        if not name.endswith("models/model.json"):
            return content
        found = json.loads(content)
        change(found)
        return json.dumps(found).encode()

    return edit


def with_expression(text):
    def change(program):
        sizes = program["graph_module"]["graph"]["tensor_values"]["input"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = text

    return edited(change)


def refuses(program, tmp_path, change, more=(), match=""):
    path = rewritten(program, tmp_path / "evil.pt2", change, more)
    with pytest.raises(NotTrusted, match=match):
        xm.load_model(path)


def unchanged(name, content):
    return content


def test_a_pickle_among_the_example_inputs_is_not_read(program, tmp_path, capfd):
    mark = tmp_path / "it-ran"

    def change(name, content):
        return torch_bytes(((Evil(mark),), {})) if "sample_inputs" in name else content

    with pytest.raises(NotTrusted, match=r"holds a pickled object \(among its weights or example inputs\)") as refused:
        xm.load_model(rewritten(program, tmp_path / "evil.pt2", change))
    assert "weights_only" not in str(refused.value)  # torch's own words tell to read it unchecked
    assert not mark.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    assert capfd.readouterr().err == ""


class Blocked:
    """Of a module that torch never lets through, which it says in other words than of those that it does not know."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_of_a_module_that_torch_blocks_is_refused_in_the_same_words(program, tmp_path):
    mark = tmp_path / "it-ran"

    def change(name, content):
        return torch_bytes(((Blocked(mark),), {})) if "sample_inputs" in name else content

    with pytest.raises(NotTrusted, match=r"holds a pickled object \(among its weights or example inputs\)"):
        xm.load_model(rewritten(program, tmp_path / "evil.pt2", change))
    assert not mark.exists()


def test_a_pickle_in_the_place_of_weights_is_not_read(program, tmp_path):
    mark = tmp_path / "it-ran"

    def change(name, content):
        if name.endswith("weights_config.json"):
            return content.replace(b'"use_pickle": false', b'"use_pickle": true')
        return torch_bytes(Evil(mark)) if "weights/weight_" in name else content

    with pytest.raises(FileProblem):
        xm.load_model(rewritten(program, tmp_path / "evil.pt2", change))
    assert not mark.exists()


@pytest.mark.parametrize("prefix", ["custom_obj_", "CUSTOM_OBJ_"])
def test_a_pickled_object_is_refused(prefix, program, tmp_path):
    mark = tmp_path / "it-ran"
    more = [(f"net/data/constants/{prefix}0", evil_pickle(mark))]
    refuses(program, tmp_path, unchanged, more, match=r"holds a pickled object \(net/data/constants/")

    def change(name, content):
        if not name.endswith("constants_config.json"):
            return content
        entry = {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
        return json.dumps({"config": {"c": entry}}).encode()

    refuses(program, tmp_path, change, match=r"holds a pickled object \(custom_obj_0\)")
    assert not mark.exists()


def test_a_compiled_library_is_refused(program, tmp_path):
    more = [("net/data/aotinductor/model/lib.so", b"\x7fELF")]
    refuses(
        program, tmp_path, unchanged, more, match="holds a compiled library .* would run code when it is read or ca"
    )


@pytest.mark.parametrize(
    "text",
    [
        "__import__('pathlib').Path({mark!r}).touch() or Symbol('s0')",
        "eval('1')",
        "(lambda: open({mark!r}, 'w'))()",
        "[open({mark!r}, 'w') for x in [1]]",
        "Symbol.__class__",
        "Symbol('s0').func(1)",
        "sympify('open(1)')",
        "f'{{open(1)}}'",
        "Symbol('s0') if 1 else 2",
        "L['\"); open(1)'] > 3",
        '1 == 1 # "',
        "b'\"' == 1",
    ],
)
def test_an_expression_that_is_none_of_sizes_is_refused(text, program, tmp_path):
    mark = tmp_path / "it-ran"
    refuses(
        program, tmp_path, with_expression(text.format(mark=str(mark))), match="holds an expression that is none of s"
    )

    def guard(program):
        program["guards_code"] = [text.format(mark=str(mark))]

    refuses(program, tmp_path, edited(guard), match="holds a guard that is none of sizes")

    def constrain(program):
        program["range_constraints"] = {text.format(mark=str(mark)): {"min_val": 0, "max_val": None}}

    if "." not in text or "(" in text:
        refuses(program, tmp_path, edited(constrain), match="holds a name that is none")
    assert not mark.exists()


@pytest.mark.parametrize(
    "target", ["torch.os.system", "torch.load", "torch.ops.aten.from_file.default", "#triton", "os.system"]
)
def test_a_call_of_what_is_no_operator_is_refused(target, program, tmp_path):
    def change(program):
        program["graph_module"]["graph"]["nodes"][0]["target"] = target

    refuses(program, tmp_path, edited(change), match="holds a call of what is no operator")


def test_names_that_differ_in_capitals_alone_are_refused(program, tmp_path):
    path = rewritten(program, tmp_path / "two.pt2", unchanged, [("net/models/MODEL.json", b"{}")])
    with pytest.raises(FileProblem, match="two files in the archive have one name"):
        xm.load_model(path)


@pytest.mark.parametrize("text", ["x=open('m')", "x'", 'x"', "x\ny", "x;y", "x)", "x[0]", "x@y", "x\\"])
def test_a_name_that_is_python_is_refused(text, program, tmp_path):
    def rename(program):
        program["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = text

    def rename_argument(program):
        program["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [text]

    def rename_key(program):
        signature = program["graph_module"]["module_call_graph"][0]["signature"]
        signature["in_spec"] = json.dumps([1, {"type": "builtins.dict", "context": json.dumps([text])}])

    for change in (rename, rename_argument, rename_key):
        refuses(program, tmp_path, edited(change), match=r"holds a name that is none \(")


def test_texts_that_say_where_a_program_comes_from_may_be_anything(program, tmp_path):
    def change(program):
        program["graph_module"]["graph"]["nodes"][0]["metadata"]["stack_trace"] = 'File "a.py", in f\n  (x) = open()'

    assert_says_the_same(xm.load_model(rewritten(program, tmp_path / "said.pt2", edited(change))))


def test_an_archive_behind_another_is_refused(program, tmp_path):
    """Readers that trust the offsets in it see the first, Python sees the last."""
    mark = tmp_path / "it-ran"
    evil = rewritten(program, tmp_path / "evil.pt2", with_expression(f"open({str(mark)!r}, 'w')")).read_bytes()
    (tmp_path / "both.pt2").write_bytes(evil + program.read_bytes())
    with pytest.raises(FileProblem, match=r"both\.pt2' is not .*: the archive is damaged or was cut short"):
        xm.load_model(tmp_path / "both.pt2")
    assert not mark.exists()


def test_a_program_with_guards_and_computed_sizes_is_read_without_trust(tmp_path):
    class Windows(torch.nn.Module):
        def forward(self, x, z):
            steps = x.shape[1]
            y = x.mean(dim=1, keepdim=True) * (steps // 2) + x.new_zeros(x.shape[0] * 2, 1)[: x.shape[0]]
            return torch.sigmoid(y + 1 if 2 * steps > z.shape[1] + 3 else y) + z.sum(dim=1, keepdim=True)

    free = ({0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO},) * 2
    exported = torch.export.export(Windows(), (torch.zeros(4, 6), torch.zeros(4, 3)), dynamic_shapes=free)
    torch.export.save(exported, tmp_path / "windows.pt2")
    rng = np.random.default_rng(0)
    x = {"x": rng.normal(size=(3, 7)).astype("float32"), "z": rng.normal(size=(3, 2)).astype("float32")}
    (y,) = xm.adapt(xm.load_model(tmp_path / "windows.pt2"), like=x).predict(x).values()
    expected = 1 / (1 + np.exp(-(3 * x["x"].mean(axis=1) + 1))) + x["z"].sum(axis=1)
    np.testing.assert_allclose(y[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_file_that_was_cut_short_is_refused(share, program, tmp_path):
    whole = program.read_bytes()
    for end in ("pt2", "pt"):
        (tmp_path / f"cut.{end}").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(FileProblem, match=rf"cut\.{end}' is not .* damaged or was cut short"):
            xm.load_model(tmp_path / f"cut.{end}")


def test_an_archive_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "net.pt2", a=np.ones(3))
    (tmp_path / "net.pt2.npz").rename(tmp_path / "net.pt2")
    with pytest.raises(
        FileProblem, match=r"is not an exported program of PyTorch .*: there is no program in the archive"
    ):
        xm.load_model(tmp_path / "net.pt2")
    (tmp_path / "net.pt2").rename(tmp_path / "net.pt")
    with pytest.raises(FileProblem, match="is not a file of PyTorch: there is no model in the archive"):
        xm.load_model(tmp_path / "net.pt")
    (tmp_path / "net.pth").write_text("hello")
    with pytest.raises(FileProblem, match=r"net\.pth' is not a file of PyTorch\.$"):
        xm.load_model(tmp_path / "net.pth")
