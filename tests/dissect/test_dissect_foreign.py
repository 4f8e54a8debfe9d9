"""Networks of other people: fed as they were trained, judged first by their accuracy, and nothing guessed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import stained, tiny_resnet
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import nn

from grokscope.cli import run as cli
from grokscope.dissect.features import collect
from grokscope.dissect.foreign import Feeding, dissect_table, output_map
from grokscope.results.settings import Settings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FAST = Settings(draws=19, permutations=49, resamples=99, probe_controls=1, halves=2, regularization=(1e-2,))


class Scaled(nn.Module):
    """A network trained on other inputs: it undoes their scaling before the same network reads them."""

    def __init__(self, inner: nn.Module, mean, std):
        super().__init__()
        self.inner = inner
        self.mean, self.std = (nn.Parameter(torch.tensor(v).view(1, -1, 1, 1), False) for v in (mean, std))

    def forward(self, x):
        return self.inner(x * self.std + self.mean)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """(folder with tables.csv of two labels in three hospitals, a network of accuracy near 1 that reads [0, 1])."""
    folder = tmp_path_factory.mktemp("foreign")
    x, y, e, g = stained(360)
    images = np.clip(128 + 30 * x, 0, 255).astype(np.uint8)
    rows = {"text": [], "whole": []}
    for i, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i}.png")
        for kind, names in (("text", ("healthy", "tumor")), ("whole", ("0", "1"))):
            rows[kind].append(f"{i}.png,{names[y[i]]},{e[i]},train,{g[i]}")
    for kind, lines in rows.items():
        (folder / f"{kind}.csv").write_text("path,label,environment,split,group\n" + "\n".join(lines) + "\n")
    model = tiny_resnet().eval()
    ready = torch.from_numpy(images).float() / 255
    h = collect(model, ready, ["pooled"]).sites["pooled"]
    scale = h.std(0) + 1e-6
    fitted = LogisticRegression(C=10).fit((h - h.mean(0)) / scale, y)
    weight = fitted.coef_[0] / scale
    with torch.no_grad():
        model.fc.weight.copy_(torch.tensor(np.stack([-weight / 2, weight / 2])))
        bias = (fitted.intercept_[0] - weight @ h.mean(0)) / 2
        model.fc.bias.copy_(torch.tensor([-bias, bias]))
    return folder, model


def of(result):
    return result.accuracy[0].correct, result.where.cell, [e.verdict for e in result.m4.erasures]


@pytest.fixture
def here(data, monkeypatch):
    monkeypatch.chdir(data[0])
    (data[0] / "mine_scaling.py").write_text("def scale(x):\n    return x.float() / 127.5 - 1\n")
    return data


def test_networks_of_three_conventions_give_one_result(here):
    folder, model = here
    plain = dissect_table(model, folder / "text.csv", settings=FAST)
    assert plain.accuracy[0].accuracy > 0.7
    wrapped = {"settings": FAST, "head": "inner.fc"}
    imagenet = Scaled(model, MEAN, STD)
    imagenet = dissect_table(imagenet, folder / "text.csv", feeding=Feeding(mean=MEAN, std=STD), **wrapped)
    own = Scaled(model, (0.5,), (0.5,))
    own = dissect_table(own, folder / "text.csv", feeding=Feeding(prepare="mine_scaling:scale"), **wrapped)
    assert of(plain) == of(imagenet) == of(own)
    assert plain.reliance is not None
    for other in (imagenet, own):
        assert other.reliance is not None
        assert other.reliance.env_gap == pytest.approx(plain.reliance.env_gap, rel=1e-3)
    assert imagenet.inputs is not None
    assert "minus 0.485, 0.456, 0.406" in str(imagenet.inputs.images)


def test_a_network_fed_wrongly_is_at_chance_and_nothing_else_is_said(here):
    folder, model = here
    wrong = Feeding(mean=(90.0,), std=(0.01,))
    found = dissect_table(model, folder / "text.csv", settings=FAST, feeding=wrong)
    assert found.accuracy[0].verdict == "at chance"
    assert (found.reliance, found.m1.probes, found.m4.erasures, found.m5.curves) == (None, (), (), ())
    assert found.where.cell == "cannot tell"
    for words in ("--mean and --std", "--labels", "evaluation mode", "always the most frequent class"):
        assert words in found.where.reason


def test_labels_in_the_wrong_order_are_below_chance_and_said(here):
    folder, model = here
    found = dissect_table(model, folder / "text.csv", settings=FAST, order=("tumor", "healthy"))
    assert found.accuracy[0].verdict == "below chance"
    assert "the order of the labels comes first" in found.where.reason


def test_whole_numbers_are_output_indices_and_text_is_sorted():
    assert output_map(["0", "2"], 3)[0] == {"0": 0, "2": 2}
    assert output_map(["b", "a"], 2)[0] == {"a": 0, "b": 1}
    assert output_map(["b", "a"], 3, ("c", "b", "a"))[0] == {"c": 0, "b": 1, "a": 2}
    assert output_map(["04", "1"], 2)[0] == {"04": 0, "1": 1}


@pytest.mark.parametrize(
    ("names", "outputs", "order", "message"),
    [
        (["1", "2"], 2, (), r"label 2: whole-number labels are output indices.*2 outputs \(0 to 1\)"),
        (["a", "b"], 3, (), "2 labels .* 3 outputs; name all the labels"),
        (["a", "b"], 2, ("a",), "1 labels for the network's 2 outputs"),
        (["a", "b"], 2, ("a", "c"), "lacks b"),
        (["a", "b"], 2, ("a", "a"), "repeated"),
    ],
)
def test_labels_that_do_not_fit_the_outputs_are_refused(names, outputs, order, message):
    with pytest.raises(ValueError, match=message):
        output_map(names, outputs, order)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5,)}, "belong together"),
        ({"mean": (0.5,), "std": (0.0,)}, "must be positive"),
        ({"mean": (0.5, 0.5), "std": (1.0, 1.0)}, "one for each of 3 channels"),
        ({"mean": (0.5,), "std": (1.0,), "prepare": "a:b"}, "two ways"),
    ],
)
def test_contradicting_scalings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Feeding(**options)


def test_the_command_line_puts_accuracy_first_and_prints_the_map(here, capsys):
    folder, model = here
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, folder / "w.ckpt")
    here = Path(__file__).parent
    (folder / "mine_network.py").write_text(
        f"import sys\nsys.path.insert(0, {str(here)!r})\nfrom networks import TinyResNet as build\n"
    )
    line = "dissect --model mine_network:build --weights w.ckpt --data whole.csv --draws 19 --no-figures"
    words = line.split()
    assert cli([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found)[:2] == ["accuracy", "inputs"]
    assert found["inputs"]["labels"] == {"0": 0, "1": 1}
    assert found["accuracy"][0]["accuracy"] > 0.7
    record = json.loads((folder / "dissection" / "mechinterp" / "m1.json").read_text())
    assert list(record)[:3] == ["schema", "rules", "accuracy"]
    assert cli([*words[:6], "text.csv", *words[7:], "--labels", "tumor,healthy"]) == 0
    out = capsys.readouterr().out
    assert out.index("tumor -> 0") < out.index("accuracy") < out.index("below chance")
    assert "environment_pooled" not in out
    for bad, message in ((["--mean", "0.5"], "belong together"), (["--head", "fcc"], "did you mean 'fc'")):
        assert cli([*words, *bad]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert "Traceback" not in err
    assert cli(["dissect", "runs", "--mean", "0.5", "--std", "0.5"]) == 2
    assert "only with --model" in capsys.readouterr().err
