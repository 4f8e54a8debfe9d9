"""What was done to a run while it trained stands on its page: when it began, what it referred to, why it never did."""

from grokscope.report import build_report
from grokscope.report.read.subjects import flat
from grokscope.store import find_runs
from grokscope.store.intervened import FILE
from grokscope.train.driver import train
from grokscope.train.fork import fork
from tiny import tiny

ITEMS = [{"name": "hold_norm", "rho": 0.9, "from": 20}, {"name": "freeze", "from": "T_fit"}]


def page_of(run):
    out = run.path.parent / "page.html"
    build_report(find_runs(run.path.parent), out)
    return out.read_text()


def test_the_page_lists_them(tmp_path):
    run = train(tiny({"regime.interventions": ITEMS, "regime.lr": 1e-9}), tmp_path)
    html = page_of(run)
    assert "hold_norm (rho 0.9, of total, reference start, strength 1): after step 20 to the end; reference" in html
    assert "freeze (of head, strength 1): never began, for train was not fitted by step 60" in html
    (run.path / FILE).write_text("[]")
    assert "is not a record of interventions; delete it" in page_of(run), "and the rest of the page is there"


def test_a_fork_on_the_page_names_its_parent(tmp_path):
    parent = train(tiny({"checkpoint.states": [20]}), tmp_path)
    child = train(fork(parent, {"regime.interventions": ITEMS}, at=20), tmp_path)
    html = page_of(child)
    assert f"run {parent.id}, step 20" in html
    assert "exact yes" in html


def test_settings_have_a_row_for_each_parameter_of_an_intervention():
    settings = flat({"regime": {"interventions": ITEMS, "lr": 1}})
    assert settings["regime.interventions.0"] == "hold_norm"
    assert settings["regime.interventions.1.from"] == "T_fit"
    assert "regime.interventions" not in settings
    assert flat({"regime": {"interventions": []}}) == {"regime.interventions": []}
