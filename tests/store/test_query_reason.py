"""SQL over runs: a run that cannot be judged has no verdict, and its reason stands beside it."""

from grokscope.store.query import _verdict_columns


def test_a_null_verdict_comes_with_its_reason():
    found = {"T_fit": {"at": 5, "censored": False}, "peak": None}
    splits = {"id_val": {"verdict": None, "qualifier": None, "reason": "one column, named twice", "milestones": found}}
    row = _verdict_columns(splits)
    assert row["verdict"] is None
    assert row["reason"] == "one column, named twice"
    assert row["T_fit"] == 5
    assert _verdict_columns({})["reason"] is None
