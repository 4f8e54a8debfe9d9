"""Convert stored inputs to network inputs: images to floats; precision and compilation are set here."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Network:
    """A model with its input conversion, mixed precision and compilation, called like a model.

    uint8 images (n, c, h, w) become float32 in [0, 1], standardized by the task's ``mean`` and ``std`` per channel
    where its facts have them, in channels-last order; all else passes unchanged. Images stay uint8 in memory: a quarter
    of the bytes.
    """

    def __init__(self, model: nn.Module, meta: dict[str, Any]):
        self.model: nn.Module = model
        self.run: Callable[[Tensor], Tensor] = model
        self.dtype: torch.dtype | None = None
        self.device = next(model.parameters()).device
        shape = (1, -1, 1, 1)
        self.mean = torch.tensor(meta.get("mean", 0.0), device=self.device).view(shape)
        self.std = torch.tensor(meta.get("std", 1.0), device=self.device).view(shape)

    def mix(self, sample: Tensor) -> str | None:
        """Compute in bfloat16 from now on, where it is safe to (torch's autocast). Where the device cannot, go on in
        float32 and return why."""
        self.dtype = torch.bfloat16
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*autocast")  # torch warns where it switches it off
            why = self._failure(sample)
        if why is not None:
            self.dtype = None
            return f"$.regime.autocast: training in float32, because bfloat16 failed: {why}"
        return None

    def compile(self, sample: Tensor) -> str | None:
        """Compile the network from now on. Where that fails on the sample (no compiler, an unsupported operation), go
        on without and return why."""
        self.run = torch.compile(self.model)
        why = self._failure(sample)
        if why is not None:
            self.run = self.model
            return f"$.hardware.compile: training without compilation, because it failed: {why}"
        return None

    @property
    def compiled(self) -> bool:
        """Whether calls run past the model's hooks."""
        return self.run is not self.model

    def _failure(self, sample: Tensor) -> str | None:
        """Why the network does not run on the sample. In eval mode: a trial must not count in a batch norm's
        averages."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                self(sample)
        except Exception as error:
            if str(error):
                return str(error).splitlines()[0]
            return type(error).__name__
        finally:
            self.model.train(training)
        return None

    def prepare(self, x: Tensor) -> Tensor:
        """What the model itself takes."""
        if x.dtype != torch.uint8:
            return x
        return ((x.float() / 255 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (n, k) in float32."""
        return self._through(self.run, x)

    def eager(self, x: Tensor) -> Tensor:
        """The same without compilation: hooks on the model's parts are called."""
        return self._through(self.model, x)

    def _through(self, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.dtype is None:
            return run(self.prepare(x))
        with torch.autocast(self.device.type, self.dtype):
            return run(self.prepare(x)).float()
