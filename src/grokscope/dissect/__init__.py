"""Where is the shortcut stored? The battery M1, M4, M5, M6 on one checkpoint, with its controls and its calibration.

``grokscope.dissect(model, images, labels, environments, ...)`` runs all of it (`grokscope.dissect.battery.dissect`);
the modules hold one idea each. The package itself can be called, because the function is promised under its name.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        from grokscope.dissect.battery import dissect

        return dissect(*args, **options)


sys.modules[__name__].__class__ = _Callable
