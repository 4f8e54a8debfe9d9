"""Record a Lightning training as a run. Needs ``pip install 'grokscope[lightning]'``, or pytorch_lightning."""

import math
from typing import TYPE_CHECKING, Any

from grokscope.callbacks.recording import RecordingCallback, in_step

if TYPE_CHECKING:
    Callback = object  # so that types are checked alike wherever the framework is not installed
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback
        except ImportError as error:
            raise ImportError("Lightning is not installed: pip install 'grokscope[lightning]'") from error


class GrokscopeCallback(RecordingCallback, Callback):
    """A callback that records the training as a run, for verdicts, checks of mechanisms and reports.

        from grokscope.callbacks.lightning import GrokscopeCallback

        splits = {"train": (x, y), "id_val": (x_val, y_val)}
        Trainer(callbacks=[GrokscopeCallback("runs/mine", splits=splits, loss="cross_entropy", every=100)])

    scores the network itself, which gives the checks of mechanisms everything they need. Or it takes what the module
    logs:

        columns = {"train_acc": "train_acc", "id_val_acc": "val_acc"}
        Trainer(callbacks=[GrokscopeCallback("runs/mine", columns=columns)])

    Steps are optimizer steps (``trainer.global_step``). Held-out columns are taken when a validation ends, and train
    columns at the end of an epoch with a validation: at any other moment Lightning still shows the values of an earlier
    one. Sanity checks are left out. With `checkpoints` the weights are kept when training ends.

    Misleads: a train accuracy that is logged while it is learned is a mean over an epoch of weights, with dropout on;
    give `splits` to score train and held-out alike.
    """

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        in_step(lambda: self._begin(trainer, pl_module), trainer.is_global_zero)

    def _begin(self, trainer: Any, pl_module: Any) -> None:
        known: dict[str, Any] = {"config": {"max_steps": trainer.max_steps, "max_epochs": trainer.max_epochs}}
        if len(trainer.optimizers) == 1:
            known["optimizer"] = trainer.optimizers[0]
        batches = trainer.num_training_batches
        finite = isinstance(batches, int) and batches > 0  # of an endless loader it is infinite
        if finite and pl_module.automatic_optimization:  # else the module steps as often as it likes
            known["steps_per_epoch"] = math.ceil(batches / trainer.accumulate_grad_batches)  # the last may be of fewer
        self._recording.begin(pl_module, trainer.global_step, **known)
        for kind in AVERAGING:
            if any(_is_a(callback, kind) for callback in trainer.callbacks):
                self._recording.say(_which_weights(kind, bool(self._recording.columns)))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._recording.score(trainer.global_step, last=_is_last(trainer))
        if self._recording.train and trainer.is_last_batch:
            # Reading them makes Lightning keep them: what is logged by step alone can be read at this moment only, and
            # at the end of the epoch it would show an older value
            dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._recording.note(trainer.global_step, trainer.callback_metrics, self._recording.held_out)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if not self._recording.train:
            return
        # in every process: metrics may be computed by all of them together, and the others wait for nobody else
        logged = trainer.callback_metrics
        if self._recording.pending == trainer.global_step or not self._recording.held_out:
            self._recording.note(trainer.global_step, logged, self._recording.train)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self._checkpoints:
            self._recording.checkpoint(trainer.global_step)
            earlier = trainer.callbacks[: trainer.callbacks.index(self)]
            if any(_is_a(callback, kind) for callback in earlier for kind in AVERAGING):
                self._recording.say("the checkpoint at the end holds the averaged weights")
        self._recording.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._recording.end("interrupted" if isinstance(exception, KeyboardInterrupt) else "failed", exception)


AVERAGING = ("WeightAveraging", "StochasticWeightAveraging")
"""Callbacks that keep an average of the weights. The first also validates with it."""


def _which_weights(averaging: str, logged: bool) -> str:
    """Of which weights the rows are, beside a callback that averages them."""
    if averaging == "WeightAveraging" and logged:
        return (
            "WeightAveraging: held-out scores are of the averaged weights, with which Lightning validates; train "
            "scores and norms are of the weights that are trained"
        )
    return f"{averaging}: scores and norms are of the weights that are trained, not of their average"


def _is_a(callback: Any, kind: str) -> bool:
    """By name, for versions of Lightning differ in which of them there are."""
    return any(above.__name__ == kind for above in type(callback).__mro__)


def _is_last(trainer: Any) -> bool:
    """Whether the batch was the last one that is planned. When training ends is too late: other callbacks may have put
    averaged weights in place by then."""
    last_epoch = trainer.current_epoch + 1 == trainer.max_epochs
    return trainer.global_step == trainer.max_steps or (last_epoch and trainer.is_last_batch)
