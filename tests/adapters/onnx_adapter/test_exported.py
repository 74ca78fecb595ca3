"""Networks of PyTorch as its own exporter writes them, with a free and with a fixed batch."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.testing import check_adapter

pytestmark = [pytest.mark.all_frameworks, pytest.mark.slow]


@pytest.mark.parametrize("batch", [None, 1, 2], ids=["free", "one", "two"])
@pytest.mark.filterwarnings("ignore")  # of the exporter's own code
def test_an_exported_network_answers_as_the_network(batch, tmp_path):
    torch = imported("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.table = torch.nn.Embedding(5, 3), torch.nn.Linear(4, 8)
            self.risk, self.fault = torch.nn.Linear(11, 1), torch.nn.Linear(11, 3)

        def forward(self, table, ids):
            hidden = torch.cat([torch.tanh(self.table(table)), self.words(ids).mean(1)], 1)
            return torch.sigmoid(self.risk(hidden)), torch.softmax(self.fault(hidden), -1), hidden.sum(1)

    torch.manual_seed(0)
    net, path = Net().eval(), tmp_path / "net.onnx"
    rows = {
        "table": np.random.default_rng(0).normal(size=(5, 4)).astype("float32"),
        "ids": np.random.default_rng(1).integers(0, 5, (5, 6)),
    }
    tensors = {name: torch.from_numpy(x) for name, x in rows.items()}
    axis = torch.export.Dim("batch")
    torch.onnx.export(
        net,
        tuple(x[: batch or 2] for x in tensors.values()),
        path,
        input_names=list(rows),
        output_names=["risk", "fault", "hours"],
        dynamo=True,
        dynamic_shapes=({0: axis}, {0: axis}) if batch is None else None,
        verbose=False,
    )
    model = xm.adapt(path)
    assert [(h.name, h.shape, h.kind, h.kind_from) for h in model.heads] == [
        ("risk", (1,), "binary", "final sigmoid"),
        ("fault", (3,), "multiclass", "final softmax"),
        ("hours", (), "regression", ""),
    ]
    with torch.no_grad():
        for values, expected in zip(model.predict(rows).values(), net(**tensors), strict=True):
            np.testing.assert_allclose(values, expected, atol=1e-6)
    check_adapter(model, rows)
