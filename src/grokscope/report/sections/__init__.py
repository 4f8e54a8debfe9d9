"""Sections of a report: each turns plain data into blocks of text, plots, tables, images and downloads.

A section is a file in this folder with ``PLACE``, its place on the page, and ``section(material)``, which returns a
`grokscope.report.sections.blocks.Section`, or None where the runs hold nothing for it. Other people's code adds a
function of the same kind: in process with `grokscope.register`, a package through the entry-point group
``grokscope.sections``. Files without ``PLACE`` are parts that sections share.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from grokscope import registry
from grokscope.progress import watched
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Section, Words

Make = Callable[[Material], Section | None]
PLUGGED_IN = 75.0
"""Where sections of other packages stand: after those on special kinds of runs, before the list of runs."""


def sections_of(material: Material) -> list[Section]:
    """All sections that these runs have, in the page's order."""
    makers = sorted([*_built_in(), *_plugged_in()], key=lambda maker: maker[0])
    sections = [make(material) for _, make in watched(makers, "made sections of the page:")]
    return [section for section in sections if section is not None]


def _built_in() -> list[tuple[float, Make]]:
    modules = [import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)]
    return [(module.PLACE, module.section) for module in modules if hasattr(module, "PLACE")]


def _plugged_in() -> list[tuple[float, Make]]:
    """Those of packages, then those registered in this process, which stand for a package's of the same name."""
    loaders: dict[str, Callable[[], Make]] = {p.name: p.load for p in entry_points(group="grokscope.sections")}
    loaders |= {name: partial(_itself, make) for name, make in registry.sections().items()}
    return [(PLUGGED_IN, _guarded(name, load)) for name, load in loaders.items()]


def _itself(make: Make) -> Make:
    return make


def _guarded(name: str, load: Callable[[], Make]) -> Make:
    """A section of other people's code: its mistakes are told in its place, and cost the others nothing."""

    def make(material: Material) -> Section | None:
        try:
            return load()(material)
        except Exception as error:
            said = f"The plug-in “{name}” could not make this section: {type(error).__name__}: {error}"
            return Section(f"plugin-{name}", name, name, [Words(said, "warning")])

    return make
