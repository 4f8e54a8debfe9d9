"""Which verdict stands for a run in tables."""

import pytest

from grokscope.store.query import run_rows
from grokscope.store.run import Run
from grokscope.vocabulary.splits import speaking
from results.verdict_samples import verdict


@pytest.mark.parametrize(
    ("splits", "speaks"),
    [
        (("id_val", "ood_test", "ood_val"), "ood_val"),
        (("id_val", "ood_test"), "ood_test"),  # the published layout
        (("id_val",), "id_val"),
        (("site_9", "id_val"), "id_val"),
        (("site_9", "site_8"), "site_9"),
    ],
)
def test_an_unseen_environment_speaks_for_a_run(splits, speaks):
    assert speaking({s: {} for s in splits}) == speaks


def test_a_run_without_ood_val_is_listed_by_what_happened_on_ood_test(tmp_path):
    """Its id_val generalized: as a headline that would hide what the study is about."""
    run = Run(tmp_path / "imported-00000000")
    run.path.mkdir()
    (run.path / "config.json").write_text('{"schema": 1, "config": {"regime": {"name": "r"}, "seed": 0}, "facts": {}}')
    (run.path / "status.json").write_text('{"state": "done", "step": 3000}')

    def judge(_run, _state):
        names = {"id_val": "generalized", "ood_test": "ungrokked"}
        return {split: verdict(name, split) for split, name in names.items()}

    (row,) = run_rows(tmp_path, judge)
    assert (row["split"], row["verdict"]) == ("ood_test", "ungrokked")
