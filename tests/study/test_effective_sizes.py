"""``[[effective_size]]`` blocks: read strictly, answered from runs, silent while runs are missing, on the page and in
the terminal."""

import json
import re

import numpy as np
import pytest

from grokscope import cli
from grokscope.report.sections.blocks import Bullets, Plots
from grokscope.report.sections.effective_size import section
from grokscope.results.effective_size import EffectiveSizes
from grokscope.store import Run
from grokscope.study import Study
from grokscope.study.claims import gather
from grokscope.study.effective_size import size_comparison
from grokscope.study.judge import Judge
from grokscope.study.run_state import StudyRun
from grokscope.study.study import shipped_folder
from grokscope.train.plan import make_plan
from tiny import TINY

BLOCK = {"arms": ["more decay", "plain"], "quantity": "end"}
STEPS = 1000


def sized(seeds=5, sizes=(100, 200, 400), block=BLOCK, **more) -> Study:
    arms = [{"name": "plain"}, {"name": "more decay", "regime.weight_decay": 0.5}]
    return Study.from_dict(
        {**TINY, "name": "sized", "schema": 2, "task": {"name": "digits"}, "budget": {"steps": STEPS},
         "axes": {"task.n_train": list(sizes)}, "seeds": list(range(seeds)), "arm": arms, "effective_size": [block],
         "model": {"name": "mlp", "hidden": [8]}, **more}
    )  # fmt: skip


def runs_of(study, root, score, gen=None, state=None):
    """Runs whose held-out accuracy ends at `score(arm, n, seed)`, or that reach .9 at the step `gen` says."""
    runs = []
    for entry in study.entries:
        arm, n, seed = entry.arms[0], entry.config.task.train_size(), entry.config.seed
        at = STEPS + 1 if gen is None else gen(arm, n, seed)
        end = 0.95 if gen else score(arm, n, seed)
        rows = [_row(step, 0.2 if gen and step < at else end) for step in range(0, STEPS + 1, 10)]
        folder = root / entry.config.run_id()
        (folder / "results").mkdir(parents=True)
        facts = {"kind": "classification", "threshold": 0.9, "steps_per_epoch": 1,
                 "splits": {s: {"n": 10_000, "trivial_acc": 0.1} for s in ("train", "id_val")}}  # fmt: skip
        config = {"task": {"name": "x"}, "regime": {"name": "r"}, "seed": 0}
        (folder / "config.json").write_text(json.dumps({"schema": 1, "config": config, "facts": facts}))
        (folder / "results" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        now = (state or {}).get((arm, n, seed), "done")
        runs.append(StudyRun(entry, Run(folder), now, STEPS, make_plan(entry.config, n)))
    return runs


def _row(step, held):
    train = 1.0 if step >= 50 else 0.3
    counts = {"train": round(train * 10_000), "id_val": round(held * 10_000)}
    row = {"step": step}
    for split, count in counts.items():
        row |= {f"{split}_loss": 1.0, f"{split}_acc": count / 1e4, f"{split}_correct": count, f"{split}_n": 10_000}
    return row


def compared(study, root, score=None, **more):
    judge = Judge(None, neighbors=False)
    runs = [judge.sound(s) for s in runs_of(study, root, score, **more)]
    (question,) = study.sizes
    found = size_comparison(question, runs, judge)
    assert found is not None
    return found


def doubled(arm, n, seed):
    """The other arm does with n what the plain one does with 2 n; seeds differ by .02."""
    factor = 2 if arm == "more decay" else 1
    return 0.3 + 0.1 * np.log2(factor * n / 100) + 0.02 * seed + 0.001 * ((seed * 7 + n // 100 * factor) % 5)


def test_a_regime_worth_twice_the_data_is_found(tmp_path):
    found = compared(sized(), tmp_path, doubled)
    first, middle, last = found.answers
    assert first.size == pytest.approx(200, rel=0.02)
    assert (first.low, first.high) == (100, 400)
    assert (first.conclusion, first.paired, first.seeds, first.level) == ("larger", True, 5, 0.9375)
    assert "more decay at 100 performs like plain at about 20" in first.says
    assert first.says.endswith("(93.75 %: between 100 and 400; 5 seeds): equivalent to a larger training set")
    assert (middle.low, middle.conclusion) == (200, "larger")
    assert (last.size, last.sign, last.low, last.high) == (None, ">", 400, None)
    assert "above 400, the largest size that was run" in last.says
    assert [cell.fit for cell in found.plain_cells] == pytest.approx([c.mean for c in found.plain_cells])


@pytest.mark.parametrize(
    ("at", "score", "word"),
    [
        ([100, 200], doubled, "held"),
        ([100], lambda arm, n, s: doubled("plain", n, s) + 0.001 * ((s + len(arm)) % 3 - 1), "cannot tell"),
        ([200, 400], lambda arm, n, s: doubled("plain" if arm == "more decay" else "more decay", n, s), "refuted"),
    ],
)
def test_what_a_claim_that_few_act_as_more_is_told(at, score, word, tmp_path):
    assert compared(sized(block={**BLOCK, "at": at}), tmp_path, score).word == word


def test_unfinished_runs_leave_such_a_claim_open(tmp_path):
    assert compared(sized(), tmp_path, doubled, state={("plain", 200, 3): "partial"}).word == "open"


def test_a_claim_names_an_effective_size_and_gets_what_the_saved_runs_say():
    folder = shipped_folder()
    assert folder is not None
    gathered = gather([folder / "hospitals_sizes.toml"], [], [folder / "results"])
    claim = next(c for c in gathered.claims.claims if c.id == "small-data-acts-larger")
    names = ["effective size in unseen hospitals", "effective size in training hospitals"]
    assert [e.name for e in claim.evidence] == names
    first = claim.evidence[0]
    assert first.asked == "grokking-favorable performs like standard with a larger training set"
    assert "grokking-favorable at 400 performs like standard at about" in first.seen
    assert (first.word, first.finished, first.planned) == ("cannot tell", 24, 24)
    assert claim.words == "inconclusive"
    assert gathered.figures["small-data-acts-larger"].column == "ood_test_acc"


def test_the_name_of_another_block_is_refused():
    block = {**BLOCK, "name": "small"}
    claimed = [{"id": "a", "claim": "b", "source": "c", "verified_by": ["small"]}]
    study = sized(block=block, claimed=claimed)
    assert study.claimed[0].verified_by == ("small",)
    with pytest.raises(ValueError, match=r"effective_size\[0\]\.name: 'small' is the name of another block"):
        sized(block=block, expect=[{"name": "small", "verdict": "grokked", "where": {"arm": "plain"}}])
    with pytest.raises(ValueError, match=r"effective_size\[0\]\.name: expected a text, got 3"):
        sized(block={**BLOCK, "name": 3})


def test_where_the_arms_do_the_same_nothing_is_called_larger_or_smaller(tmp_path):
    found = compared(sized(), tmp_path, lambda arm, n, s: doubled("plain", n, s) + 0.001 * ((s + len(arm)) % 3 - 1))
    middle = found.answers[1]
    assert middle.conclusion == "not told apart"
    assert (middle.low, middle.high) == (100, 400)


def test_a_plain_curve_that_does_not_rise_says_nothing(tmp_path):
    rng = np.random.default_rng(0)
    flat = compared(sized(), tmp_path / "flat", lambda *_: 0.5 + 0.02 * rng.normal())
    assert {a.conclusion for a in flat.answers} == {"cannot tell"}
    assert "no size that was run can be ruled out" in flat.answers[0].says
    fallen = compared(sized(), tmp_path / "fallen", lambda arm, n, s: 0.8 - n / 1000 + 0.01 * s + rng.normal() / 500)
    assert {a.conclusion for a in fallen.answers} == {"cannot tell"}
    assert fallen.answers[0].size is None
    assert "does not do better with more examples" in fallen.notes[0]


def test_two_seeds_and_missing_runs_say_so(tmp_path):
    few = compared(sized(seeds=2), tmp_path / "few", doubled)
    assert {a.conclusion for a in few.answers} == {"cannot tell"}
    assert "2 seeds finished in plain at every size, and 3 are needed" in few.notes[0]
    open_ = compared(sized(), tmp_path / "open", doubled, state={("plain", 200, 1): "partial"})
    assert open_.unfinished
    assert "29 of 30 runs are finished" in open_.answers[0].says


def test_a_failed_run_costs_its_seed_and_is_told(tmp_path):
    found = compared(sized(seeds=6), tmp_path, doubled, state={("plain", 200, 1): "failed"})
    assert found.answers[0].seeds == 5
    assert found.answers[0].size == pytest.approx(200, rel=0.02)
    assert any("1 run failed and are left out" in note for note in found.notes)
    assert any("3 runs without runs of the same seed" in note for note in found.notes)


def test_arms_without_common_seeds_are_compared_as_wholes(tmp_path):
    arms = [{"name": "plain"}, {"name": "more decay", "regime.weight_decay": 0.5, "seeds": [10, 11, 12, 13, 14]}]
    study = sized(arm=arms)
    found = compared(study, tmp_path, lambda arm, n, s: doubled(arm, n, s % 10))
    assert not found.answers[0].paired
    assert found.answers[0].size == pytest.approx(200, rel=0.03)
    assert "Welch" in found.answers[0].method


def test_times_are_read_off_too_and_what_was_not_reached_is_cut_and_told(tmp_path):
    study = sized(block={**BLOCK, "quantity": "T_gen", "at": [100]})

    def gen(arm, n, seed):
        return 80_000 / (n * (2 if arm == "more decay" else 1)) + 10 * seed

    (answer,) = compared(study, tmp_path / "all", gen=gen).answers
    assert answer.size == pytest.approx(200, rel=0.05)
    assert answer.conclusion == "larger"
    late = compared(
        study, tmp_path / "late", gen=lambda arm, n, s: gen(arm, n, s) + 2000 * ((arm, n) == ("plain", 100))
    )
    assert late.answers[0].size == pytest.approx(200, rel=0.05)
    assert "5 runs did not reach it by 1,000" in late.notes[0]
    never = compared(study, tmp_path / "never", gen=lambda arm, n, s: 2000 if arm == "more decay" else gen(arm, n, s))
    assert never.answers[0].conclusion == "cannot tell"
    assert "no run of more decay reached it" in never.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": "ende"}, "$.effective_size[0].quantity: unknown quantity 'ende'; did you mean 'end'"),
        ({"arms": ["more decay", "plian"]}, "no run of this study has plian"),
        ({"arms": ["plain"]}, "expected the names of two arms"),
        ({"of": {"arm": "plain"}}, "give the arms in one way"),
        ({"at": [150]}, "more decay has no size 150; it has 100, 200 and 400"),
        ({"at": 100}, "expected a list of sizes"),
        ({"split": "test"}, "unknown held-out split 'test'"),
        ({"sizes": [1]}, "$.effective_size[0].sizes: unknown key"),
    ],
)
def test_faults_are_named(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        sized(block={**BLOCK, **change})


def test_one_size_of_the_plain_arm_or_two_runs_of_a_seed_are_refused():
    with pytest.raises(ValueError, match="plain has one size only, 100"):
        sized(sizes=(100,))
    with pytest.raises(ValueError, match="several runs of seed 0 at size 100; add conditions"):
        sized(axes={"task.n_train": [100, 200], "regime.lr": [1e-3, 1e-2]})


def test_the_page_shows_curves_and_answers(tmp_path):
    found = compared(sized(), tmp_path, doubled)
    sizes = EffectiveSizes(study="sized", comparisons=(found,))
    sizes.write(tmp_path / "sizes.json")
    assert EffectiveSizes.read(tmp_path / "sizes.json") == sizes

    class Asked:
        study = {"effective_sizes": sizes.to_dict()}  # noqa: RUF012

    page = section(Asked())  # pyright: ignore[reportArgumentType]
    assert page is not None
    (bullets,) = (block for block in page.blocks if isinstance(block, Bullets))
    (plots,) = (block for block in page.blocks if isinstance(block, Plots))
    assert len(bullets.lines) == 3
    assert "performs like plain at about 20" in plots.panels[0].alt
    Asked.study = {}
    assert section(Asked()) is None  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_from_the_file_to_terminal_page_and_json(tmp_path, capsys, monkeypatch):
    """Real runs of a moment: what they say is chance, that they say it everywhere alike is not."""
    monkeypatch.chdir(tmp_path)
    text = """
schema = 2
name = "small"
seeds = [0, 1, 2]
task = { name = "modular", p = 7 }
model = { name = "embedding-mlp", embedding = 4, hidden = [8] }
budget = { steps = 40 }
evaluate = { every = 10, at = [0] }
axes = { "task.train_fraction" = [0.3, 0.5, 0.7] }
arm = [{ name = "plain" }, { name = "decay", regime.weight_decay = 1.0 }]

[[effective_size]]
arms = ["decay", "plain"]
quantity = "end"
"""
    (tmp_path / "small.toml").write_text(text)
    assert cli.run(["study", "size", "small.toml"]) == 1
    assert "0 of 18 runs are finished" in capsys.readouterr().out
    assert cli.run(["study", "run", "small.toml", "--workers", "0"]) == 0
    capsys.readouterr()
    assert cli.run(["study", "size", "small.toml", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [a["n"] for a in data["comparisons"][0]["answers"]] == [15, 24, 34]
    assert cli.run(["study", "size", "small.toml"]) == 0
    assert data["comparisons"][0]["answers"][0]["says"] in capsys.readouterr().out
    assert cli.run(["study", "report", "small.toml"]) == 0
    assert "Effective size of the training set" in (tmp_path / "report_small.html").read_text()
    assert json.loads((tmp_path / "report_small_effective_sizes.json").read_text()) == data
    assert cli.run(["study", "size", "small.toml", "--arms", "plain"]) == 2
    assert "no block has runs of both arms" in capsys.readouterr().err
