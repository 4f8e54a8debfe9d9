"""Record a training of the Hugging Face Trainer as a run. Needs ``pip install 'grokscope[transformers]'``."""

import math
from typing import TYPE_CHECKING, Any

from grokscope.callbacks.recording import RecordingCallback, in_step

if TYPE_CHECKING:
    TrainerCallback = object  # so that types are checked alike wherever the framework is not installed
else:
    try:
        from transformers import TrainerCallback
    except ImportError as error:
        raise ImportError("the Hugging Face Trainer is not installed: pip install 'grokscope[transformers]'") from error

KEPT = ("learning_rate", "weight_decay", "lr_scheduler_type", "warmup_steps", "per_device_train_batch_size",
        "gradient_accumulation_steps", "num_train_epochs", "max_steps", "max_grad_norm", "bf16", "fp16",
        "label_smoothing_factor")  # fmt: skip
"""Arguments of a training that are kept with the run."""


class GrokscopeCallback(RecordingCallback, TrainerCallback):
    """A callback that records the training as a run, for verdicts, checks of mechanisms and reports.

        from grokscope.callbacks.transformers import GrokscopeCallback

        columns = {"train_acc": "eval_train_accuracy", "id_val_acc": "eval_val_accuracy"}
        Trainer(model, args, eval_dataset={"train": train, "val": val}, compute_metrics=accuracy,
                callbacks=[GrokscopeCallback("runs/mine", columns=columns)])

    Or let it score the network itself, which gives the checks of mechanisms everything they need:

        splits = {"train": (x, y), "id_val": (x_val, y_val)}
        GrokscopeCallback("runs/mine", splits=splits, loss="cross_entropy", every=100,
                          forward=lambda model, x: model(input_ids=x).logits)

    With `checkpoints` the weights are kept wherever the Trainer saves.

    Misleads: the ``loss`` that the Trainer logs is a mean over the steps since it last logged, with dropout on, and no
    score of the train split. To judge train, evaluate it as one of the eval datasets, or give `splits`.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        in_step(lambda: self._begin(args, state, **kwargs), state.is_world_process_zero)

    def _begin(self, args: Any, state: Any, **kwargs: Any) -> None:
        optimizer = kwargs.get("optimizer")
        epochs = args.num_train_epochs if args.max_steps <= 0 else 0
        self._recording.begin(
            kwargs["model"],
            state.global_step,
            optimizer=getattr(optimizer, "optimizer", optimizer),  # accelerate wraps it
            seed=args.seed,
            config=_kept(args),
            steps_per_epoch=max(1, math.ceil(state.max_steps / epochs)) if epochs else 1,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # not when training ends: by then the Trainer may have loaded the weights of the best step
        self._recording.score(state.global_step, last=state.global_step >= state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._recording.note(state.global_step, kwargs.get("logs") or {})

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._checkpoints:
            self._recording.checkpoint(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._recording.end()


def _kept(args: Any) -> dict[str, Any]:
    values = {key: getattr(args, key, None) for key in KEPT}
    return {
        key: str(getattr(value, "value", value)) if isinstance(value, str) else value for key, value in values.items()
    }
