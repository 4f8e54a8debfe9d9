"""The section on cost: operations and time to generalize beside the steps, and nothing where nothing was recorded."""

import json

from grokscope.report.read.material import collect
from grokscope.report.sections.blocks import Table
from grokscope.report.sections.cost import section
from grokscope.store import find_runs
from grokscope.trajectory.series import from_run
from report.synthetic import GROKKED, MEMORIZED, write_run

ASKED = {"title": None, "study": None, "expectations": None, "criteria": None, "split": None, "remake": None}


def cells(root):
    made = section(collect(find_runs(root), **ASKED, out=root / "r.html"))
    if made is None:
        return None
    table = next(block for block in made.blocks if isinstance(block, Table))
    return {row.label: row.cells for row in table.groups[0].rows}


def put(folder, **costs):
    path = folder / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **costs}))


def test_costs_to_generalize_are_those_of_the_steps(tmp_path):
    assert cells(tmp_path) is None
    for seed in range(3):
        write_run(tmp_path, "late", seed, GROKKED)
        write_run(tmp_path, "never", seed, MEMORIZED, weight_decay=0.0)
    assert cells(tmp_path) is None, "runs of before costs were recorded"
    counts = [{"step": 2, "products": 900, "elementwise": 100}, {"step": 101, "products": 1900, "elementwise": 100}]
    last = {}
    for run in find_runs(tmp_path):
        put(run.path, flops=counts, seconds=0.01 * run.status["step"])
        last[run.label] = from_run(run).last_step
    rows = cells(tmp_path)
    assert rows is not None
    runs, steps, per_step, flops, ms, seconds = (cell.sort for cell in rows["late"])
    assert (runs, per_step, ms) == (3, 2, 10), "operations of a step are in thousands"
    assert flops == (100 * 1000 + (steps - 100) * 2000) / 1e6
    assert seconds == steps * 0.01
    never = rows["never"]
    assert never[1].sort == last["never"]
    assert [str(cell.main).startswith("> ") for cell in never] == [False, True, False, True, False, True]
