"""Workers that train several runs as one stack: each run once, whoever else is at work, and exactly after a death."""

import pytest

from grokscope import cli
from grokscope.execute.protocol import Silent
from grokscope.store import Run, claims, find_runs, lock
from grokscope.study import Study
from grokscope.study.together import Together
from grokscope.study.worker import Worker
from tiny import TINY, TINY_TOML

pytestmark = pytest.mark.usefixtures("one_thread")


def study(**more: object) -> Study:
    return Study.from_dict({**TINY, "seeds": [0, 1, 2, 3], **more})


def stacked(made: Study, root, **more: object) -> Worker:
    return Worker(made.entries, root, together=Together("stacked"), **more)


def members(root) -> dict[int, int]:
    """Seed -> runs of the stack that trained it; 0 for one that was trained alone."""
    return {run.seed: (run.facts.get("stacked") or {}).get("members", 0) for run in find_runs(root)}


def test_a_worker_claims_several_runs_and_trains_them_as_a_stack(tmp_path):
    assert [o.state for o in stacked(study(), tmp_path).work()] == ["done"] * 4
    assert members(tmp_path) == dict.fromkeys(range(4), 4)
    for run in find_runs(tmp_path):
        newest = claims.newest(run.path)
        assert newest is not None
        assert newest.released
        assert claims.deaths(run.path) == 0
    assert stacked(study(), tmp_path).work() == []


def test_half_of_what_is_left_stays_for_others_and_a_size_is_kept_to(tmp_path):
    runs = study(seeds=list(range(20))).status(tmp_path)
    assert [len(Together("stacked").take(runs[:n])) for n in (20, 10, 6, 3, 1)] == [10, 5, 4, 3, 1]
    assert len(Together("stacked", size=16).take(runs)) == 16
    assert len(Together("one").take(runs)) == 1
    two_kinds = study(axes={"model.hidden": [[8], [6]]}).status(tmp_path)
    assert {tuple(s.entry.config.model.hidden) for s in Together("stacked").take(two_kinds)} == {(8,)}  # type: ignore[attr-defined]


def test_a_worker_takes_runs_of_equal_settings_and_whole_pieces_of_one_order(tmp_path):
    """Two workers that begin at different runs take different pieces, and not half of the same ones each."""
    axes = {"regime.lr": [1e-2, 3e-3, 1e-3]}
    runs = study(seeds=list(range(8)), axes=axes).status(tmp_path)
    pieces = set()
    for place in range(len(runs)):
        todo = [*runs[place:], *runs[:place]]
        taken = Together("stacked", size=4).take(todo)
        assert runs[place] in taken
        assert len({s.entry.config.regime.lr for s in taken}) == 1
        pieces.add(frozenset(s.run.id for s in taken))
    assert sorted(map(len, pieces)) == [4] * 6
    assert len(frozenset.union(*pieces)) == 24
    for place in range(3):  # the last piece is whole as well
        assert len(Together("stacked", size=5).take([*runs[place:7], *runs[:place]])) == 5


def test_a_worker_asks_the_probe_for_each_mixture_of_settings(tmp_path, monkeypatch):
    asked = []

    def probe(configs, *_):
        asked.append(configs[0].regime.optimizer.name)
        return 3.0 if asked[-1] == "adamw" else 0.8

    monkeypatch.setattr("grokscope.train.stacked.probe.speedup", probe)
    made = study(axes={"regime.optimizer": ["adamw", "muon"]})
    worker = Worker(made.entries, tmp_path, together=Together("auto", 4))
    assert [o.state for o in worker.work()] == ["done"] * 8
    assert sorted(asked) == ["adamw", "muon"]
    for run in find_runs(tmp_path):
        stacked_with = (run.facts.get("stacked") or {}).get("members", 0)
        assert stacked_with == (4 if run.config["regime"]["optimizer"]["name"] == "adamw" else 0)


def test_a_run_that_another_process_trains_is_left_to_it_and_the_rest_is_stacked(tmp_path):
    held = tmp_path / study().entries[1].config.run_id()
    with lock.claimed(held):
        outcomes = stacked(study(), tmp_path).work()
    assert sorted((o.state, o.job.config.seed) for o in outcomes) == [
        ("done", 0), ("done", 2), ("done", 3), ("elsewhere", 1)
    ]  # fmt: skip
    assert [o.state for o in stacked(study(), tmp_path).work()] == ["done"]


def test_a_lost_claim_stops_the_writing_of_that_member_only(tmp_path, monkeypatch):
    monkeypatch.setattr("grokscope.train.stacked.driver._Work._beat_every", 0.0)  # told of progress at every step
    taken: dict[str, object] = {}

    class Robber(Silent):
        def progress(self, job, step, total, steps_per_s):
            if step >= 21 and job.config.seed == 2 and not taken:
                assert step < total
                claims.take(job.run, claims.newest(job.run), 120.0)
                taken["rows"] = (job.run / "results" / "metrics.jsonl").read_bytes()
                taken["run"] = job.run

    outcomes = stacked(study(), tmp_path, board=Robber()).work()
    assert sorted((o.state, o.job.config.seed) for o in outcomes) == [
        ("done", 0), ("done", 1), ("done", 3), ("elsewhere", 2)
    ]  # fmt: skip
    run = Run(taken["run"])  # type: ignore[arg-type]
    assert (run.path / "results" / "metrics.jsonl").read_bytes() == taken["rows"]
    assert not (run.path / "checkpoints" / "final.safetensors").exists()


def test_auto_asks_the_probe_once_for_each_kind_and_does_as_it_says(tmp_path, monkeypatch):
    asked = []

    def probe_that_finds(answer: float):
        return lambda configs, *_: asked.append(len(configs)) or answer

    for answer, stacks in ((0.9, 0), (2.0, 4)):
        monkeypatch.setattr("grokscope.train.stacked.probe.speedup", probe_that_finds(answer))
        root = tmp_path / str(stacks)
        worker = Worker(study(seeds=list(range(8))).entries, root, together=Together("auto", 4))
        assert [o.state for o in worker.work()] == ["done"] * 8
        assert set(members(root).values()) == {stacks}
    assert asked == [4, 4]


def test_what_cannot_be_stacked_is_refused_before_anything_trains_and_auto_trains_it_alone(tmp_path, capsys):
    file, root = tmp_path / "study.toml", tmp_path / "runs"
    text = LONG.format(steps=20).replace("[0, 1, 2, 3]", "[0, 1]")
    file.write_text(text.replace("[regime]", '[regime]\nautocast = "bfloat16"'))
    assert cli.run(["worker", str(file), "--root", str(root), "--engine", "stacked"]) == 2
    assert "cannot be stacked: $.regime.autocast" in capsys.readouterr().err
    assert not find_runs(root)
    assert cli.run(["worker", str(file), "--root", str(root), "--stack", "4"]) == 2
    assert "needs engine = stacked or auto" in capsys.readouterr().err
    assert cli.run(["worker", str(file), "--root", str(root), "--engine", "auto"]) == 0
    assert set(members(root).values()) == {0}


LONG = (
    "seeds = [0, 1, 2, 3]\n"
    + TINY_TOML
    + """
[budget]
steps = {steps}
[evaluate]
every = 50
at = [0]
[checkpoint]
every = 200
[hardware]
resume_every_s = 0.0
"""
)
