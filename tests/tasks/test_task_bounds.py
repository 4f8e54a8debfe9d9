"""A size that no memory holds is refused by the name of its key, before anything of that size is made."""

import sys
from pathlib import Path

import pytest

from tiny import TINY, tiny

sys.path.insert(0, str(Path(__file__).parent.parent / "fuzz"))
from mutations import GIGABYTE, in_child

WILD = [10**18, 10**12, -1, 0, True, float("nan"), float("inf"), 2.5, 10**400]
SIZES = {
    "modular": ["p"],
    "digits": ["n_train"],
    "parity": ["n", "k", "n_train", "n_val"],
    "competing-features": ["n_train", "n_test", "signal_dims"],
    "mheight": ["train_per_group", "val_per_group", "pool_per_group"],
    "hospitals": ["n_train", "n_eval", "image_size", "hospitals", "patients", "slides"],
    "camelyon17": ["n_train", "image_size"],
    "table": ["image_size"],
}
NEEDED = {"table": {"path": "nowhere.csv"}}


@pytest.mark.parametrize(("task", "key"), [(t, k) for t, keys in SIZES.items() for k in keys])
@pytest.mark.parametrize("value", WILD, ids=lambda v: str(v)[:6])
def test_no_task_has_such_a_size(task, key, value):
    with pytest.raises(ValueError, match=rf"\$\.task.*\b{key}\b|\$\.task\.{key}") as caught:
        tiny({"task": {"name": task, **NEEDED.get(task, {}), key: value}})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("key", ["n_eval", "n_train"])
def test_a_table_and_camelyon17_take_no_endless_subset(key):
    with pytest.raises(ValueError, match=f"{key} must be at most"):
        tiny({"task": {"name": "table", "path": "x.csv", key: 10**18}})


LARGE = {
    "modular": {"p": 31_000},
    "parity": {"n": 100_000, "n_train": 10**6},
    "competing-features": {"n_train": 1_000_000, "n_test": 1},
    "mheight": {"train_per_group": 40_000_000, "val_per_group": 1, "pool_per_group": 41_000_000},
    "hospitals": {"n_train": 10**9},
}
"""Within the bounds of every key, and yet more than a machine's memory."""


def build(task, changes):
    try:
        tiny({"task": {"name": task, **changes}}).task.build(0)
    except ValueError as error:
        return str(error)
    return "built"


@pytest.mark.parametrize("task", LARGE)
def test_what_memory_cannot_hold_is_not_begun(task, monkeypatch):
    monkeypatch.setenv("GROKSCOPE_MEMORY", str(8 * GIGABYTE))
    words = in_child("tasks.test_task_bounds", "build", task, LARGE[task], memory=4 * GIGABYTE, seconds=120)
    assert "do not fit in 8.6 GB of memory" in words
    assert any(key in words for key in LARGE[task])


MODELS = [
    ("mlp", "digits", {"hidden": [10**6, 10**6]}),
    ("embedding-mlp", "modular", {"embedding": 10**6, "hidden": [10**6]}),
    ("transformer", "modular", {"width": 10**6, "heads": 1}),
    ("transformer", "modular", {"layers": 10_000, "width": 8192, "heads": 1}),
    ("small-resnet", "hospitals", {"width": 10**6}),
    ("code-resnet", "mheight", {"channels": 10**6}),
]


@pytest.mark.parametrize(("model", "task", "changes"), MODELS)
def test_a_network_that_memory_cannot_hold_is_not_begun(model, task, changes):
    from tiny import small_task

    config = tiny({"task": small_task(task), "model": {"name": model, **changes}})
    data = config.task.build(0)
    with pytest.raises(ValueError, match=r"\$\.model\.\w.*GB of weights do not fit"):
        config.model.build(data, max(data.classes, 1))


@pytest.mark.parametrize(
    ("model", "key", "value"),
    [
        ("mlp", "hidden", [10**18]),
        ("mlp", "hidden", [1] * 20_000),
        ("embedding-mlp", "embedding", 10**18),
        ("quadratic-mlp", "width", 10**18),
        ("transformer", "layers", 10**9),
        ("transformer", "mlp_width", 10**9),
        ("small-resnet", "blocks", 10**9),
        ("code-resnet", "channels", 10**18),
    ],
)
def test_no_network_has_such_a_size(model, key, value):
    with pytest.raises(ValueError, match=rf"\$\.model.*{key}"):
        tiny({"model": {"name": model, key: value}})


def test_a_filter_window_that_memory_cannot_hold_is_refused_by_its_key():
    from grokscope.train.driver import make_engine

    regime = {**TINY["regime"], "grad_filter": {"name": "grokfast_ma", "window": 10**12}}
    config = tiny({"regime": regime})
    _, engine = make_engine(config, config.task.build(0))
    with pytest.raises(ValueError, match=r"\$\.regime\.grad_filter\.window: .* GB of gradients do not fit"):
        engine.advance(1, False, lambda: False)
