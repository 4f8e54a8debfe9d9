"""Dissect an external network on a table of images: its input format, and the mapping of outputs to labels.

Nothing is guessed of its inputs. Images become numbers in [0, 1]; any other scaling is named. Whole-number labels are
output indices; text labels are matched to outputs in sorted order unless the order is given, and the match is told.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.config import require
from grokscope.dissect.battery import Unseen, dissect
from grokscope.dissect.progress import Watch
from grokscope.dissect.sites import the_head
from grokscope.registry import nearest
from grokscope.results.dissection import Dissection
from grokscope.results.sample import Inputs
from grokscope.results.settings import Settings
from grokscope.task_data import Split
from grokscope.tasks.table import Table
from grokscope.vocabulary.splits import SEEN, TRAIN, UNSEEN

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Feeding:
    """How images are turned into what the network reads: not at all beyond [0, 1], by mean and standard deviation of
    each channel, or by a function of the user's (uint8 (n, 3, H, W) -> what the network reads)."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    prepare: str | None = None

    def __post_init__(self) -> None:
        require(bool(self.mean) == bool(self.std), "--mean and --std belong together: give both, or neither")
        require(not (self.mean and self.prepare), "--mean/--std and --prepare are two ways to scale: give one")
        require(
            len(self.mean) in (0, 1, 3), f"--mean: one number or one for each of 3 channels, got {len(self.mean):,}"
        )
        require(len(self.std) == len(self.mean), f"--std: {len(self.std):,} numbers for {len(self.mean):,} of --mean")
        require(all(s > 0 for s in self.std), f"--std: must be positive, got {self.std}")

    @property
    def words(self) -> str:
        if self.prepare:
            return f"prepared by {self.prepare}"
        if self.mean:
            return f"[0, 1], minus {_numbers(self.mean)}, divided by {_numbers(self.std)}"
        return "[0, 1], not standardized"

    def function(self) -> "Callable[[Tensor], Tensor]":
        """Raises ValueError when --prepare cannot be found."""
        import torch

        if self.prepare:
            return look_up(self.prepare, "--prepare")
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean or (0.0,)).view(shape)
        std = torch.tensor(self.std or (1.0,)).view(shape)
        return lambda x: (x.float() / 255 - mean.to(x.device)) / std.to(x.device)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)


def look_up(target: str, option: str) -> Any:
    """module:function, looked up in the present folder first.

    Raises:
        ValueError: for another form, a module or a name that does not exist, naming the option.
    """
    module, _, name = target.partition(":")
    require(bool(module and name), f"{option}: expected module:function, got {target!r}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{option}: {error}") from None
    finally:
        sys.path.pop(0)


def output_map(names: Sequence[str], outputs: int, order: Sequence[str] = ()) -> tuple[dict[str, int], str]:
    """(label -> index of the network's output, how that was decided).

    names: the table's labels; outputs: the network's number of classes; order: labels in the order of the outputs.

    Raises:
        ValueError: for whole numbers that are no output, another number of text labels than outputs, or an order that
            lacks a label, repeats one or has another length.
    """
    if order:
        return _ordered(names, outputs, order), "as --labels says"
    if all(n.isdecimal() and str(int(n)) == n for n in names):
        beyond = [n for n in names if int(n) >= outputs]
        require(
            not beyond,
            f"label {', '.join(beyond)}: whole-number labels are output indices, and the network has {outputs} outputs "
            f"(0 to {outputs - 1}); name the labels in the outputs' order with --labels",
        )
        return {n: int(n) for n in names}, "whole numbers are output indices"
    require(
        len(names) == outputs,
        f"the table has {len(names):,} labels ({', '.join(names[:5])}) and the network {outputs} outputs; name all the "
        "labels, in the order of the outputs, with --labels",
    )
    return {n: i for i, n in enumerate(sorted(names))}, "in sorted order; set another with --labels"


def _ordered(names: Sequence[str], outputs: int, order: Sequence[str]) -> dict[str, int]:
    require(len(set(order)) == len(order), f"--labels: a label is repeated in {', '.join(order)}")
    require(len(order) == outputs, f"--labels: {len(order):,} labels for the network's {outputs} outputs")
    missing = [n for n in names if n not in order]
    require(not missing, f"--labels: lacks {', '.join(missing)}, which the table has")
    return {n: i for i, n in enumerate(order)}


def build(target: str) -> "nn.Module":
    """Call module:function, which builds the network.

    Raises:
        ValueError: when it cannot be found, fails, or returns something else.
    """
    from torch import nn

    factory = look_up(target, "--model")
    try:
        network = factory()
    except Exception as error:
        raise ValueError(f"--model: {target} failed ({type(error).__name__}: {error})") from error
    require(isinstance(network, nn.Module), f"--model: {target} gave a {type(network).__name__}, not a torch Module")
    return network


def dissect_table(
    network: "nn.Module",
    table: Path,
    *,
    split: str | None = None,
    feeding: Feeding | None = None,
    order: Sequence[str] = (),
    image_size: int | None = None,
    sites: Sequence[str] = (),
    steer_sites: Sequence[str] = (),
    head: str | None = None,
    settings: Settings | None = None,
    watch: Watch | None = None,
) -> Dissection:
    """Dissect a network on a table of images (path, label, environment, split, optional group).

    Raises:
        ValueError: for whatever does not fit together, naming the option and the remedy.
    """
    feeding, settings = feeding or Feeding(), settings or Settings()
    task = Table(path=str(table), image_size=image_size).look(settings.seed)
    named = split or next((n for n in (*SEEN, TRAIN) if n in task.splits), next(iter(task.splits)))
    require(named in task.splits, f"--split: {table} has no split {named!r}{nearest(named, list(task.splits))}")
    outputs = max(int(getattr(the_head(network, head)[1], "out_features", 2)), 2)
    mapping, how = output_map([str(v) for v in task.meta["labels"]], outputs, order)
    index = np.array([mapping[str(v)] for v in task.meta["labels"]], np.int64)
    sample, unseen = task.splits[named], _unseen(task.splits, named, index)
    if sample.env is None:
        raise ValueError(f"{table}: has no environments")
    return dissect(
        network.eval(),
        sample.x,
        index[sample.y],
        sample.env,
        sample.group,
        list(sites) or None,
        unseen=unseen,
        settings=settings,
        prepare=feeding.function(),
        steer_sites=steer_sites,
        head=head,
        watch=watch,
        split=named,
        inputs=Inputs(images=feeding.words, labels=mapping, labels_by=how),
    )


def _unseen(splits: Mapping[str, Split], named: str, index: np.ndarray) -> dict[str, Unseen]:
    away = {n: s for n, s in splits.items() if n in UNSEEN and n != named}
    return {n: Unseen(s.x, index[s.y], s.env, s.group) for n, s in away.items()}
