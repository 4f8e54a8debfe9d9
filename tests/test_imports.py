"""The house has one direction: who may import whom, and what must stay light."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import grokscope

ROOT = Path(grokscope.__file__).parent

LINE = [
    {"limits", "progress", "seeds", "terminal"},
    {"checks", "files", "fit_rule", "headers", "moment", "registry", "tomlio"},
    {"child", "storage"},
    {"vocabulary"},
    {"task_data"},
    {"components", "flat_regime"},
    {"config"},
    {"configio", "identity", "overlay", "regimes"},
    {"results"},
    {"figures"},
    {"codes"},
    {"tasks"},
    {"measure"},
    {"models"},
    {"store"},
    {"train"},
    {"recording"},
    {"recorder"},
    {"callbacks"},
    {"trajectory"},
    {"verdicts"},
    {"track"},
    {"measuring"},
    {"mechanism"},
    {"dissect"},
    {"inference"},
    {"foreign"},
    {"study", "execute"},
    {"report"},
    {"comparison"},
    {"archive"},
    {"commands", "cli"},
]
"""Rooms in the order of the line: each may import from itself and from those before it."""

FORBIDDEN = {"report": {"train", "dissect", "study", "execute"}, "trajectory": {"train"}, "tasks": {"models"}}
"""What a room could import by the order alone, but must not: the report only reads the store."""

LAZY = {
    ("study.study", "report"): 'promised to users: `study.report("report.html")`',
    ("study.study", "report.read.subjects"): "what that call hands to the report",
    ("measure", "measuring.checkpoints"): "promised to users: `gs.measure(run, ...)`, under the name of the room",
    ("recorder", "track.chosen"): "promised to users: `Recorder(folder, track=...)`",
    ("recorder", "track.mirrors"): "the mirrors that it names; they end with what the recording came to, its verdict",
    ("components", "config"): "types only: what a component is checked against and built from",
    ("components", "train.evaluate"): "the same: what a measurement sees",
    ("components", "train.interventions.base"): "the same, and the object that does nothing at any hook",
    ("config", "configio"): "a run knows its own identity: `config.run_id()` is promised to users",
    ("config", "identity"): "the same: the identity is computed from the written form of a config",
}
"""Imports up the line, or in a circle, that are allowed: (who, what) -> why. They run only when somebody calls."""

REPORT = [
    {"report.read"},
    {"report.draw"},
    {"report.sections"},
    {"report.layout", "report.figure_files", "report.templating", "report.beside"},
    {"report.page"},
    {"report.build"},
    {"report.claims"},
    {"report"},
]
"""The line inside the report: plain data, then drawing, then sections made of both, then the page."""

WITHIN = {
    "report": ["read", "draw", "sections", "layout", "page", "build"],
    "tasks": ["images", "camelyon17", "hospitals"],
}
"""The order of folders inside a room: plain data before drawing, drawing before sections; what others write in its
layout before those who write it."""

MODULES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in ROOT.rglob("*.py")}


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path, when_called: bool = True) -> set[str]:
    """Modules of this package that a file imports, as names below grokscope: at its top, inside functions and for type
    checkers. Without `when_called` only those that importing the file imports too."""
    tree = _parse(path)
    skipped = set() if when_called else {id(n) for top in ast.walk(tree) if _waits(top) for n in ast.walk(top)}
    return {name for node in ast.walk(tree) if id(node) not in skipped for name in _named(node)} - {""}


def _named(node: ast.AST) -> set[str]:
    """What one import statement names; of other nodes nothing. Packages above a named module do not count: theirs are
    the public names, made from what lies in them."""
    if isinstance(node, ast.Import):
        return {a.name.removeprefix("grokscope.") for a in node.names if a.name.startswith("grokscope.")}
    if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] != "grokscope":
        return set()
    assert node.level == 0
    base = node.module.removeprefix("grokscope").removeprefix(".")
    inner = [f"{base}.{alias.name}".removeprefix(".") for alias in node.names]
    return {module if module in MODULES else base for module in inner}


def _waits(node: ast.AST) -> bool:
    """Whether what lies within is not run by importing the file."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def room(module: str) -> str:
    return module.split(".")[0]


def rank(module: str) -> int:
    for i, rooms in enumerate(LINE):
        if room(module) in rooms:
            return i
    raise AssertionError(f"room {room(module)!r} has no place in the line of tests/test_imports.py")


def test_imports_point_down_the_line():
    wrong = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if name not in ("__init__", "__main__")
        for other in imported(path)
        if _points_up(name, other) and (name, other) not in LAZY
    ]
    assert wrong == []


def test_imports_point_down_the_line_of_the_report():
    parts = {name: path for name, path in MODULES.items() if room(name) == "report"}
    wrong = [
        f"{name} imports {other}"
        for name, path in parts.items()
        for other in imported(path)
        if other in parts and report_rank(other) > report_rank(name)
    ]
    assert len({report_rank(name) for name in parts}) == len(REPORT)
    assert wrong == []


def report_rank(module: str) -> int:
    part = ".".join(module.split(".")[:2])
    return next(i for i, parts in enumerate(REPORT) if part in parts)


def _points_up(name: str, other: str) -> bool:
    return rank(other) > rank(name) or room(other) in FORBIDDEN.get(room(name), ())


def place(module: str) -> int | None:
    """Where a module's folder stands in the order inside its room; None where there is none."""
    outer, _, inner = module.partition(".")
    order = WITHIN.get(outer, [])
    folder = inner.split(".")[0]
    return order.index(folder) if folder in order else None


@pytest.mark.parametrize("outer", WITHIN)
def test_imports_point_down_inside_a_room(outer):
    pairs = [
        (name, other)
        for name, path in MODULES.items()
        if room(name) == outer and place(name) is not None
        for other in imported(path)
        if room(other) == outer and place(other) is not None
    ]
    assert any(place(name) > place(other) for name, other in pairs)
    assert [f"{name} imports {other}" for name, other in pairs if place(name) < place(other)] == []


def test_allowed_exceptions_run_only_when_called():
    for name, other in LAZY:
        assert other in imported(MODULES[name]), f"{name} no longer imports {other}: take it off the list"
        assert other not in imported(MODULES[name], when_called=False)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of a circle, empty without one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_circular_imports():
    graph = {name: {o for o in imported(path) - {name} if (name, o) not in LAZY} for name, path in MODULES.items()}
    assert len(graph) > 100
    assert circle(graph) == []


def test_a_circle_through_a_function_or_a_type_would_be_noticed(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    from grokscope.models import mlp\n")
    (tmp_path / "b.py").write_text("if TYPE_CHECKING:\n    from grokscope.models.config import MLP\n")
    graph = {"models.config": imported(tmp_path / "a.py"), "models.mlp": imported(tmp_path / "b.py")}
    assert set(circle(graph)) == {"models.config", "models.mlp"}


def test_the_finder_of_imports_sees_what_it_should(tmp_path):
    file = tmp_path / "x.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nfrom grokscope import seeds, configio\nimport grokscope.registry\n"
        "if TYPE_CHECKING:\n    from grokscope.train import driver\n"
        "def f():\n    from grokscope.store.run import Run\n"
    )
    assert imported(file) == {"seeds", "configio", "registry", "train.driver", "store.run"}
    assert imported(file, when_called=False) == {"seeds", "configio", "registry"}


LIGHT = [
    "",
    "vocabulary.splits",
    "config",
    "configio",
    "registry",
    "seeds",
    "models.config",
    "train.schedules",
    "train.optimizers",
    "train.filters",
    "train.losses",
    "train.engines",
    "train.measurements",
    "track.trackers",
    "cli",
    "commands",
]
NO_TORCH = [
    "vocabulary",
    "results",
    "figures",
    "tasks",
    "trajectory",
    "codes",
    "report",
    "verdicts",
    "track",
    "foreign",
    "store.run",
    "store.metrics",
    "store.lock",
]


def test_light_modules_import_nothing_heavy():
    light = [m for m in LIGHT if m == "" or m in MODULES]
    heavy = ("torch", "sklearn", "matplotlib", "numba", "pandas", "duckdb", "timm")
    assert first_heavy(light, heavy) == ""


def test_rooms_that_only_read_import_no_torch():
    chosen = [m for m in sorted(MODULES) if any(m == r or m.startswith(f"{r}.") for r in NO_TORCH)]
    assert len(chosen) > 10
    assert first_heavy(chosen, ("torch",)) == ""


def test_a_heavy_import_would_be_noticed():
    assert first_heavy(["seeds", "task_data"], ("numpy",)) == "task_data imports numpy"


def first_heavy(modules: list[str], heavy: tuple[str, ...]) -> str:
    """Import the modules one after another in a fresh process; name the first that brings in something heavy."""
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(('grokscope.' + name).rstrip('.'))\n"
        f"    found = [h for h in {heavy!r} if h in sys.modules]\n"
        "    if found: print(name or 'grokscope', 'imports', *found); break\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_module_says_what_it_is():
    silent = [name for name, path in MODULES.items() if path.read_text() and not ast.get_docstring(_parse(path))]
    assert silent == [], "a module starts with a line on its one idea"
