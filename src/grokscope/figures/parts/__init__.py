"""The parts of a dissection as they are shown, one file each: what is drawn, its key, its words and its numbers.

A part is a file in this folder with ``PICTURE``, a `grokscope.figures.picture.Picture` under the name that the part has
among the records. It needs no other mention: files beside the records, the page and the details of a run go through
`pictures`.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from grokscope.figures.picture import Picture
from grokscope.results.dissection import PARTS


@cache
def pictures() -> tuple[Picture, ...]:
    """All pictures, in the order of the parts of a dissection."""
    modules = [import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)]
    return tuple(sorted((module.PICTURE for module in modules), key=lambda picture: PARTS.index(picture.name)))
