"""What can be named as a side, and what is said of what cannot."""

import json
import shutil

import pytest

import grokscope as gs
from comparison.planted import arm, log, write
from grokscope.cli import run as cli
from grokscope.comparison import Options, two_sides
from grokscope.comparison import sides as sides_room
from grokscope.comparison.member import member_of_run
from grokscope.report.read.subjects import gather
from grokscope.store import find_runs
from tiny import TINY


def sides(a, b=None, **options):
    return two_sides(a, b, Options(**options))


def test_one_place_with_two_arms_is_two_sides(tmp_path):
    arm(tmp_path, "a", [300, 320])
    arm(tmp_path, "b", [300, 320], lr=1e-2)
    first, second = sides(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    assert (len(first.members), len(second.members)) == (2, 2)


def test_an_arm_is_named_behind_its_place(tmp_path):
    for name, lr in (("a", 1e-3), ("b", 1e-2), ("c", 1e-1)):
        arm(tmp_path, name, [300, 320], lr=lr)
    first, second = sides(f"{tmp_path}::a", f"{tmp_path}::c")
    assert [m.id.split("_")[1] for m in (*first.members, *second.members)] == ["a", "a", "c", "c"]
    with pytest.raises(ValueError, match=r"no arm 'bb'; did you mean 'b'\?; there are a, b, c"):
        sides(f"{tmp_path}::bb", f"{tmp_path}::c")
    with pytest.raises(ValueError, match=r"3 arms \(a, b, c\), but two sides are needed; give two of them"):
        sides(tmp_path)


def test_runs_trajectories_and_lists_are_sides(tmp_path):
    folder = write(tmp_path, "a", 0, 300)
    first, second = sides(gs.open_run(folder), [log(300), log(320)])
    assert (first.kind, second.kind, len(second.members)) == ("runs", "logs", 2)
    assert len({m.id for m in second.members}) == 2


@pytest.mark.parametrize("again", ["path", "copy", "overlap"])
def test_one_run_on_both_sides_is_refused(tmp_path, again):
    one, two = arm(tmp_path / "runs", "a", [300, 320])
    if again == "path":
        with pytest.raises(ValueError, match=r"both sides are .*: give two sides that share no run"):
            sides(one, one)
    elif again == "overlap":
        with pytest.raises(ValueError, match="on both sides is"):
            sides(one, tmp_path / "runs")
    else:
        record = (one / "config.json").read_text()
        config = gs.load_run({**TINY, "seed": 0})
        from grokscope import configio

        whole = json.dumps({**json.loads(record), "config": configio.dump(config)})
        (one / "config.json").write_text(whole)
        shutil.copytree(one, tmp_path / "copy")
        with pytest.raises(ValueError, match=r"is a copy of .*: comparing a run with itself is uninformative"):
            sides(one, tmp_path / "copy")
    assert two.exists()


def test_the_same_settings_trained_twice_are_two_runs(tmp_path):
    one, two = write(tmp_path / "here", "a", 0, 300), write(tmp_path / "there", "a", 0, 310)
    found = gs.compare(one, two)
    assert found.settings == ()
    assert found.a.name != found.b.name


def test_no_split_in_common_names_both_sides_and_the_remedy(tmp_path):
    run = write(tmp_path, "a", 0, 300, split="ood_test")
    with pytest.raises(ValueError, match=r"a, seed 0 has ood_test; log has id_val; give the column of a log"):
        gs.compare(run, log(300))
    other = write(tmp_path, "b", 0, 300)
    with pytest.raises(ValueError, match="both sides have no held-out split 'id_vall'; did you mean 'id_val'"):
        gs.compare(other, log(300), split="id_vall")


def test_a_run_without_evaluations_is_an_error_that_says_so(tmp_path):
    one, two = write(tmp_path, "a", 0, 300), write(tmp_path, "b", 0, 300, state="failed")
    (two / "results" / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"b, seed 0 has none \(planted failure\)"):
        gs.compare(one, two)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{a}", "{b}", "{c}"], "compare takes two sides, but 3 were given: quote a pattern"),
        (["{a}", "nowhere"], "nowhere: no such file or folder"),
        (["{a}", "nowhere/*.csv"], "no file matches"),
        (["{a}", "{b}", "--names", "x", "x"], "both sides are called 'x'"),
        (["{a}", "{b}", "--names", "x"], "names: expected two, got 1"),
        (
            ["{a}", "{log}", "--step", "step", "--train", "acc", "--held-out", "id_val=vall"],
            "no column 'vall'; did you mean 'val'?",
        ),
        (
            ["{a}", "{log}::x", "--train", "acc", "--held-out", "id_val=val"],
            "logs have no arms without a group pattern",
        ),
        (["digits", "{a}"], "has begun in"),
        (["{a}"], "1 arm (a), but two sides are needed"),
    ],
)
def test_mistakes_are_one_message(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.csv").write_text("step,acc,val\n0,0.1,0.1\n10,1.0,0.2\n")
    places = {"log": str(tmp_path / "log.csv")}
    places |= {name: str(write(tmp_path / "runs", name, 0, 300, lr=10.0**-i)) for i, name in enumerate("abc")}
    assert cli(["compare", *(word.format(**places) for word in words)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_logs_of_two_groups_are_two_sides_with_their_seeds(tmp_path):
    for name, T_gen in (("fast", 300), ("slow", 600)):
        for seed in range(3):
            rows = "".join(f"{s},{1.0 if s > 50 else 0.2},{0.99 if s >= T_gen else 0.1}\n" for s in range(0, 1001, 10))
            (tmp_path / f"{name}_s{seed}.csv").write_text("step,acc,val\n" + rows)
    group = r"(?P<g>\w+)_s(?P<seed>\d+)"
    found = gs.compare(f"{tmp_path}/*.csv", group=group, step="step", train="acc", held_out="val")
    assert (found.a.name, found.b.name) == ("fast", "slow")
    assert [r.seed for r in found.a.runs] == [0, 1, 2]
    test = next(t for t in found.tests if t.quantity.endswith("T_gen")).test
    assert (test.effect, test.paired) == (0.5, True)


def test_a_study_knows_its_runs_and_which_have_not_begun(tmp_path):
    study = gs.Study.from_dict({**TINY, "name": "s", "axes": {"regime.lr": [1e-2, 1e-3]}, "seeds": [0, 1]})
    study.only(seeds=[0]).run(0, tmp_path)
    found = gs.compare(study, root=tmp_path)
    assert (found.a.name, found.b.name) == ("lr=0.01", "lr=0.001")
    assert [(s.finished, s.waiting) for s in found.sides] == [(1, 1), (1, 1)]
    assert [s.key for s in found.settings] == ["regime.lr"]
    assert found.same_data == "same"


def test_arms_named_by_one_run_of_each_configuration_are_those_named_by_all(tmp_path):
    """One label for several configurations, seeds out of order, branches of several parents, another data version."""
    for seed in (11, 2, 30):
        write(tmp_path, "same name", seed, 300, lr=1e-3)
        write(tmp_path / "more", "same name", seed, 300, lr=1e-2)
        write(tmp_path / "more", "other 10", seed, 300)
        write(tmp_path / "more", "other 9", seed, 300)
    for i, folder in enumerate(sorted((tmp_path / "more").iterdir())):
        record = json.loads((folder / "config.json").read_text())
        if "same-name" in folder.name:
            record["config"]["start"] = {"run": f"parent_s{i}-{i:08x}", "step": 100 * (i % 2)}
        if folder.name.endswith("1e"):
            record["facts"]["data"]["version"] = 2
        (folder / "config.json").write_text(json.dumps(record))
    members = [member_of_run(run) for folder in (tmp_path, tmp_path / "more") for run in find_runs(folder)]
    every = gather([sides_room._subject(m) for m in members], by_name=True)
    assert len({s.group for s in every}) > 5
    named = sides_room._named_apart(members)
    assert [(m.arm, m.seed, str(m.path)) for m in named] == [(s.group, s.seed, s.path) for s in every]
