"""What one evaluation records beyond loss and accuracy: norms by group, spectra, margins, Fourier structure, curvature.

``grokscope.measure(run, ["hessian"])`` takes measurements of a run's checkpoints
(`grokscope.measuring.checkpoints.measure`). The package itself can be called, because the function is promised under
its name.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        from grokscope.measuring.checkpoints import measure

        return measure(*args, **options)


sys.modules[__name__].__class__ = _Callable
