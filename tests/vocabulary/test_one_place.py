"""What a new split, measurement, verdict or part of a dissection costs: the files that must be opened, counted."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import grokscope
from grokscope.vocabulary.splits import NAMES

ROOT = Path(grokscope.__file__).parent
HELD_OUT = set(NAMES) - {"train"}

MAKERS = ("vocabulary/", "tasks/", "train/single_example.py")
"""Who may list splits by name: the vocabulary, tasks (each names the splits that it makes), and the readable reference
of the compiled engine, which trains one task."""


def lists_of_splits(file: Path) -> list[int]:
    """Lines of literal collections in which two splits or more stand, as words of their own or at the end of one."""
    lines = []
    for node in ast.walk(ast.parse(file.read_text())):
        items: list[ast.expr] = []
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            items = node.elts
        if isinstance(node, ast.Dict):
            items = [*(key for key in node.keys if key), *node.values]
        words = [i.value for i in items if isinstance(i, ast.Constant) and isinstance(i.value, str)]
        named = set(words) & set(NAMES)
        named |= {name for name in HELD_OUT for word in words if word.endswith(f"_{name}")}
        if len(named) > 1 and named & HELD_OUT:
            lines.append(node.lineno)
    return lines


def test_no_other_module_lists_the_splits():
    listing = {
        str(file.relative_to(ROOT)): lines for file in sorted(ROOT.rglob("*.py")) if (lines := lists_of_splits(file))
    }
    assert {name: lines for name, lines in listing.items() if not name.startswith(MAKERS)} == {}


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ('x = ("ood_val", "ood_test")', 1),
        ('x = {"peak_ood_val": 1, "peak_id_val": 2}', 1),
        ('x = {"a": "ood_val", "b": "ood_test"}', 1),
        ('x = ["train", "held_out"]', 0),
        ('x = ("ood_val", "final")', 0),
    ],
)
def test_the_finder_of_lists_sees_what_it_should(code, count, tmp_path):
    file = tmp_path / "x.py"
    file.write_text(code + "\n")
    assert len(lists_of_splits(file)) == count


A_NEW_MEASUREMENT = '''

@register
@dataclass(frozen=True, kw_only=True)
class MyMargin(Measurement):
    """A number that is always 2."""

    name: ClassVar[str] = "my_margin"
    needs = frozenset()
    columns = (Column("my_margin", "margin of mine", "as I measure it", "logits", panel=True),)

    def __call__(self, view: "View") -> Mapping[str, Any]:
        return {"my_margin": 2.0}
'''
A_NEW_SPLIT = (
    '    Split("ood_far", "a third unseen environment, only reported", unseen=True, selects=False, speaks=4),\n'
)

USES = """
import sys, numpy as np
import grokscope as gs
from grokscope.archive.fields import is_ours
from grokscope.recorder import Recorder
from grokscope.report.build import build_report
from grokscope.study.dissected import SCENES
from grokscope.study.expect import HELD_OUT
from grokscope.task_data import Split, TaskData
from grokscope.trajectory.selection import parse_rule, peak_rule
from grokscope.vocabulary.columns import describe

folder, page = sys.argv[1:]
x, y = np.zeros((4, 1), np.float32), np.array([0, 1, 0, 1])
TaskData("classification", {"train": Split(x, y), "ood_far": Split(x, y)}, 2, 0.9)
names = {"train": 100, "id_val": 500, "ood_far": 500}
with Recorder(folder, n=names, trivial=dict.fromkeys(names, 0.1)) as rec:
    for step in range(1, 61):
        late = 0.1 if step < 40 else 0.99
        own = {"ood_far_acc": late, "not_described": 3.0}
        rec.log(step * 10, train_acc=min(1.0, step / 5), train_loss=1 / step, id_val_acc=late, **own)
run = gs.open_run(folder)
judged = gs.verdict(run, split="ood_far")["ood_far"]
assert judged.verdict == "grokked", judged
assert describe("ood_far_env1_acc").title == "ood_far accuracy, environment 1"
assert is_ours("ood_far_irm") and "ood_far" in HELD_OUT and "ood_far" in SCENES
assert peak_rule("ood_far") == parse_rule("oracle=ood_far").label == "oracle (chosen on ood_far)"
try:
    parse_rule("peak_ood_far")
except ValueError as error:
    assert "possible only under the name 'oracle=ood_far'" in str(error), error
else:
    raise AssertionError("a reported split must not be chosen on")
tables = {"task": {"name": "modular", "p": 7}, "model": {"name": "embedding-mlp"}, "budget": {"steps": 20},
          "measure": ["my_margin"]}
trained = gs.train_run(gs.load_run(tables), folder + "s").run
assert trained.rows()[-1]["my_margin"] == 2.0
build_report([run, trained], page, formats=())
html = open(page, encoding="utf-8").read()
assert "oracle (chosen on ood_far)" in html
described, others = html.index("margin of mine against step"), html.index("not described against step")
assert html.index('id="diagnostics"') < described < html.index('id="other-columns"') < others
"""


def test_a_new_split_and_a_new_measurement_are_one_file_each(tmp_path):
    """A copy of the package with one split and one measurement more: tasks, recorder, rules of selection, verdicts,
    expectations, archives and the page know the split, a run takes the measurement and the page draws its column as it
    says. What remains is the task that makes the split and, by ``make reference``, the reference."""
    package = tmp_path / "grokscope"
    shutil.copytree(ROOT, package, ignore=shutil.ignore_patterns("__pycache__"))
    table = package / "vocabulary" / "splits.py"
    before = table.read_text()
    table.write_text(
        before.replace(
            '"""In the order in which', "SPLITS = (\n    *SPLITS,\n" + A_NEW_SPLIT + ')\n"""In the order in which'
        )
    )
    assert table.read_text() != before
    measurements = package / "train" / "measurements" / "standard.py"
    imports = "from grokscope.vocabulary.column_table import Column\n"
    code = measurements.read_text().replace("from grokscope.registry", imports + "from grokscope.registry", 1)
    measurements.write_text(code + A_NEW_MEASUREMENT)
    _use(USES, tmp_path)


A_NEW_VERDICT = {
    "vocabulary/verdicts.py": [
        ('    "recovered-to-baseline",\n]', '    "recovered-to-baseline",\n    "lucky",\n]'),
        (
            '"""From grokked to what never came about',
            "KINDS += (VerdictKind(name='lucky', meaning='held-out is perfect before train', outcome='at once', "
            "code='L', color=('#123456', '#abcdef'), marker='h', train='M1 1', held_out='M2 2', predicate='got lucky', "
            "may_change=True),)\n" + '"""From grokked to what never came about',
        ),
    ],
    "trajectory/verdict.py": [
        (
            "    if not e.fitted:\n",
            "    if not e.fitted and e.reached:\n        return 'lucky', None\n    if not e.fitted:\n",
        )
    ],
    "trajectory/reasons.py": [
        (
            '        "diverged": _diverged,\n',
            "        'lucky': lambda e, c: 'held-out came first',\n        \"diverged\": _diverged,\n",
        )
    ],
}
"""File -> what is written there for one verdict more."""

USES_A_VERDICT = """
import sys
import grokscope as gs
from grokscope.mechanism.case import OUTCOMES
from grokscope.report.read.first_screen import WAITING
from grokscope.report.read.glossary import word
from grokscope.report.read.phase import CODES
from grokscope.figures.style import color

with gs.Recorder(sys.argv[1]) as rec:
    for step in range(1, 60):
        rec.log(step, train_acc=0.5, id_val_acc=min(1.0, step / 20))
judged = gs.verdict(sys.argv[1])["id_val"]
assert (judged.verdict, judged.reason) == ("lucky", "held-out came first"), judged
assert OUTCOMES["lucky"] == "at once"
assert "lucky" in WAITING
assert (CODES["lucky"], word("lucky").marker, color("lucky")) == ("L", "h", "#123456")
html = gs.build_report([gs.open_run(sys.argv[1])], sys.argv[2]).read_text()
assert "held-out is perfect before train" in html
assert "held-out came first" in html
assert "#abcdef" in html
"""


def test_a_new_verdict_is_three_files(tmp_path):
    """A copy of the package with one verdict more: what it is and how it looks, when it is given, and why. The page,
    its glossary, phase diagrams and the checks of mechanisms know it."""
    package = tmp_path / "grokscope"
    shutil.copytree(ROOT, package, ignore=shutil.ignore_patterns("__pycache__"))
    _change(package, A_NEW_VERDICT)
    _use(USES_A_VERDICT, tmp_path)


A_NEW_PART = {
    "dissect/lengths.py": """
from grokscope.dissect.erasure import Bench
from grokscope.results.lengths import M7
import numpy as np

def run_m7(bench: Bench) -> M7:
    by_code = bench.sample.environments
    return M7(lengths=tuple(float(np.linalg.norm(bench.h[by_code == e], axis=1).mean()) for e in np.unique(by_code)))
""",
    "results/lengths.py": """
from dataclasses import dataclass
from grokscope.results.record import Record

@dataclass(frozen=True, kw_only=True)
class M7(Record):
    lengths: tuple[float, ...] = ()
    cannot_tell: str | None = None
""",
    "figures/parts/lengths.py": """
from grokscope.figures.dissection_panels import ENVIRONMENT, draw_runs, panel_axes
from grokscope.figures.keys import Entry
from grokscope.figures.picture import Picture

def draw(figure, runs, groups=()):
    (axes,) = panel_axes(figure, ["mean length of the features"])
    draw_runs(axes, range(len(runs[0].m7.lengths)), [d.m7.lengths for d in runs], ENVIRONMENT)

PICTURE = Picture(
    name="m7", title="M7. Lengths", brief="M7, lengths", words="Mean length of the features in each environment.",
    part=lambda d: d.m7, draw=draw, axes=lambda _: 1, key=lambda _: (Entry("environment", ENVIRONMENT),),
    in_words=lambda d: f"{len(d.m7.lengths)} environments measured",
    data=lambda d: [{"environment": e, "length_of_mine": v} for e, v in enumerate(d.m7.lengths)],
)
""",
}
"""New files for one more part of a dissection."""
WHERE_A_PART_IS_NAMED = {
    "dissect/battery.py": [
        (
            "from grokscope.dissect.neurons",
            "from grokscope.dissect.lengths import run_m7\nfrom grokscope.dissect.neurons",
        ),
        ("from grokscope.results.neurons", "from grokscope.results.lengths import M7\nfrom grokscope.results.neurons"),
        ("        m6=findings.m6,\n", "        m6=findings.m6,\n        m7=findings.m7,\n"),
        ("    m6: M6\n", "    m6: M6\n    m7: M7\n"),
        ("m4, m5, m6 = _nothing", "m4, m5, m6, m7 = _nothing"),
        ("_Findings(m1, m4, m5, m6, ", "_Findings(m1, m4, m5, m6, m7, "),
        ("M6(cannot_tell=reason)\n", "M6(cannot_tell=reason), M7(cannot_tell=reason)\n"),
        ("return m4, m5, run_m6(bench, pooled_probes)", "return m4, m5, run_m6(bench, pooled_probes), run_m7(bench)"),
    ],
    "results/dissection.py": [
        ("from grokscope.results.neurons", "from grokscope.results.lengths import M7\nfrom grokscope.results.neurons"),
        (
            "PartFile = ProbesFile | ErasuresFile | SteeringFile | NeuronsFile\n",
            "@dataclass(frozen=True, kw_only=True)\nclass LengthsFile(Checkpoint):\n    NAME: ClassVar[str] = 'm7'\n"
            "    m7: M7\n\n\nPartFile = ProbesFile | ErasuresFile | SteeringFile | NeuronsFile | LengthsFile\n",
        ),
        (
            "    m6: M6 | None = field(default=None, repr=False)\n",
            "    m6: M6 | None = field(default=None, repr=False)\n    m7: M7 | None = None\n",
        ),
        ("class Dissection(NeuronsFile, ", "class Dissection(LengthsFile, NeuronsFile, "),
    ],
}
"""File -> what is written there for it."""

USES_A_PART = """
import csv, io, sys
from dataclasses import replace
from pathlib import Path
import grokscope as gs
from grokscope.dissect.battery import dissect_features
from grokscope.dissect.calibrate import BASE
from grokscope.dissect.planted import plant
from grokscope.dissect.saving import save_dissection
from grokscope.results import Dissection, Settings

p = plant(replace(BASE, n=240, d=8, neurons=2), 0)
small = Settings(
    draws=4, permutations=19, resamples=19, probe_controls=1, halves=2, ks=(0, 2), erasers=("mean_diff", "leace")
)
measured = dissect_features({"pooled": p.features}, p.head, p.labels, p.environments, p.groups, settings=small)
assert len(measured.m7.lengths) == len(set(p.environments))
with gs.Recorder(sys.argv[1]) as rec:
    for step in range(1, 60):
        rec.log(step, train_acc=min(1.0, step / 10), id_val_acc=min(1.0, step / 20))
folder = save_dissection(measured, sys.argv[1])
assert Dissection.read(folder).m7 == measured.m7
assert (folder / "m7.png").read_bytes().startswith(b"\\x89PNG")
html = gs.build_report([gs.open_run(sys.argv[1])], sys.argv[2]).read_text()
assert "M7. Lengths" in html and "Mean length of the features in each environment." in html
assert "M7, lengths" in html, "the details of the run"
assert f"{len(measured.m7.lengths)} environments measured" in html, "in words, for who cannot see the figure"
tables = [p.read_text() for p in Path(sys.argv[2]).parent.rglob("*.csv")]
assert "length_of_mine" in html or any("length_of_mine" in table for table in tables), "the numbers behind the figure"
"""


def test_a_new_part_of_a_dissection_is_five_files(tmp_path):
    """A copy of the package with one analysis more: what it computes and where it is run, its record and where its
    file is named, and how it is shown. It is measured, written and read back, drawn beside the records and on the page,
    in words and as a table."""
    package = tmp_path / "grokscope"
    shutil.copytree(ROOT, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in A_NEW_PART.items():
        assert not (package / name).exists()
        (package / name).write_text(text)
    _change(package, WHERE_A_PART_IS_NAMED)
    assert len(A_NEW_PART) + len(WHERE_A_PART_IS_NAMED) == 5
    _use(USES_A_PART, tmp_path)


def _change(package, files):
    """Write changes, (old, new), into files of a copy of the package."""
    for name, changes in files.items():
        text = (package / name).read_text()
        for old, new in changes:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (package / name).write_text(text)


def _use(code, folder):
    """Run code on the copy of the package in a folder."""
    script = folder / "uses.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(folder / "runs" / "mine"), str(folder / "page.html")]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
