"""The house has one direction: who may import whom, and what must stay light."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import grokscope

ROOT = Path(grokscope.__file__).parent

LINE = [
    {"config", "configio", "files", "headers", "identity", "limits", "regimes", "registry", "seeds", "terminal"},
    {"vocabulary"},
    {"codes"},
    {"tasks"},
    {"measure"},
    {"models"},
    {"store"},
    {"train"},
    {"recorder"},
    {"trajectory"},
    {"verdicts"},
    {"mechanism"},
    {"dissect"},
    {"inference"},
    {"foreign"},
    {"study", "execute"},
    {"report"},
    {"archive"},
    {"commands", "cli"},
]
"""Rooms in the order of the line: each may import from itself and from those before it."""

FORBIDDEN = {"report": {"train", "dissect", "study", "execute"}, "trajectory": {"train"}, "tasks": {"models"}}
"""What a room could import by the order alone, but must not: the report only reads the store."""

SHORTCUTS = {("study.study", "report")}
"""``study.report("report.html")`` is promised to users; it imports only when called."""

MODULES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in ROOT.rglob("*.py")}


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path, lazy: bool) -> set[str]:
    """Modules of this package that a file imports, as names below grokscope; imports for type checkers do not count,
    those inside functions only when `lazy`."""
    tree = _parse(path)
    skipped = {id(n) for top in ast.walk(tree) if _skips(top, lazy) for n in ast.walk(top)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "grokscope":
            assert node.level == 0
            base = node.module.removeprefix("grokscope").removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                found.add(inner if inner in MODULES else base)
        if isinstance(node, ast.Import):
            found |= {a.name.removeprefix("grokscope.") for a in node.names if a.name.startswith("grokscope.")}
    return found - {""}


def _skips(node: ast.AST, lazy: bool) -> bool:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    return not lazy and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


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
        if name not in ("", "__init__", "__main__")
        for other in imported(path, lazy=True)
        if rank(other) > rank(name) or room(other) in FORBIDDEN.get(room(name), ())
        if (name, room(other)) not in SHORTCUTS
    ]
    assert wrong == []


def test_shortcuts_import_only_when_called():
    for name, target in SHORTCUTS & {(n, t) for n in MODULES for t in map(room, MODULES)}:
        assert target not in {room(other) for other in imported(MODULES[name], lazy=False)}


def test_no_circular_imports():
    graph = {name: imported(path, lazy=False) - {name} for name, path in MODULES.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError naming the cycle
    assert set(graph) <= set(order)


def test_the_finder_of_imports_sees_what_it_should(tmp_path):
    file = tmp_path / "x.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nfrom grokscope import seeds, configio\nimport grokscope.registry\n"
        "if TYPE_CHECKING:\n    from grokscope.train import driver\n"
        "def f():\n    from grokscope.store.run import Run\n"
    )
    assert imported(file, lazy=True) == {"seeds", "configio", "registry", "store.run"}
    assert imported(file, lazy=False) == {"seeds", "configio", "registry"}


LIGHT = [
    "",
    "vocabulary.splits",
    "config",
    "configio",
    "registry",
    "seeds",
    "models.config",
    "train.schedules",
    "cli",
    "commands",
]
NO_TORCH = [
    "vocabulary",
    "tasks",
    "trajectory",
    "codes",
    "report",
    "verdicts",
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
    assert first_heavy(["seeds", "tasks.data"], ("numpy",)) == "tasks.data imports numpy"


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
