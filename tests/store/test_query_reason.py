"""SQL over runs: a run that cannot be judged has no verdict, and its reason stands beside it."""

from grokscope.results.milestones import Milestone
from grokscope.store.query import _verdict_columns
from results.verdict_samples import verdict


def test_a_null_verdict_comes_with_its_reason():
    judged = verdict(None, reason="one column, named twice", T_fit=Milestone(5), peak=float("nan"))
    row = _verdict_columns({"id_val": judged})
    assert row["verdict"] is None
    assert row["reason"] == "one column, named twice"
    assert row["T_fit"] == 5
    assert row["peak"] is None
    assert list(_verdict_columns({})) == list(row)
    assert set(_verdict_columns({}).values()) == {None}
