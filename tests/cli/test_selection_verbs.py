"""Peaks and rules of selection on the command line: what was looked up on ood_test is stamped wherever it stands."""

import json
import re
from pathlib import Path

import pytest

import grokscope as gs
from grokscope.cli import run as cli

ORACLE = "oracle (chosen on ood_test)"
SPLITS = ("train", "id_val", "ood_val", "ood_test")


def write_run(folder: Path, seed: int = 0, splits: tuple[str, ...] = SPLITS) -> Path:
    """Fitted by step 20; ood_test peaks at 30 and decays, ood_val peaks at 50, id_val rises."""
    rows = []
    for step in range(10, 410, 10):
        scores = {
            "train": 0.6 if step < 20 else 1.0,
            "id_val": 0.5 + step / 1000,
            "ood_val": 0.7 - abs(step - 50) / 2000,
            "ood_test": 0.8 - abs(step - 30) / 1000,
        }
        rows.append({"step": step, "epoch": step / 4, **{f"{s}_acc": scores[s] for s in splits}})
    facts = {"kind": "classification", "threshold": 0.95, "steps_per_epoch": 4}
    facts["splits"] = {s: {"n": 1000, "trivial_acc": 0.5} for s in splits}
    config = {"task": {"name": "x"}, "regime": {"name": "r"}, "seed": seed}
    (folder / "results").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"schema": 1, "config": config, "facts": facts}))
    (folder / "results" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(tmp_path / "runs" / "one")


def printed(capsys, *words) -> str:
    assert cli([str(w) for w in words]) == 0
    return capsys.readouterr().out


def test_verdicts_stamp_a_peak_on_ood_test(run, capsys):
    out = printed(capsys, "verdict", run)
    peaks = [line for line in out.splitlines() if re.match(r"one\s+ood_test", line)]
    assert [ORACLE in line for line in peaks] == [True]
    assert out.count("peak_id_val") == out.count("peak_ood_val") == 1
    reason = next(line for line in out.splitlines() if line.startswith("ood_test: ungrokked"))
    assert reason.endswith(f"this peak is an {ORACLE}")
    found = json.loads(printed(capsys, "verdict", run, "--json"))["one"]
    assert {s: v["milestones"]["peak_rule"] for s, v in found.items()} == {
        "id_val": "peak_id_val", "ood_val": "peak_ood_val", "ood_test": ORACLE,
    }  # fmt: skip


def test_show_and_compare_stamp_it_too(run, tmp_path, capsys):
    assert f"this peak is an {ORACLE}" in printed(capsys, "show", run)
    shown = json.loads(printed(capsys, "show", run, "--json"))["verdicts"]
    assert shown["ood_test"]["milestones"]["peak_rule"] == ORACLE
    other = write_run(tmp_path / "runs" / "two", seed=1)
    table = printed(capsys, "compare", run, other)
    stamped = [line.partition(", oracle")[0] for line in table.splitlines() if ORACLE in line]
    assert stamped == ["peak", "drop"]
    assert len(re.findall(r"^peak \[score\]  ", table, re.MULTILINE)) == 2, "of the splits that may be chosen on"
    splits = json.loads(printed(capsys, "compare", run, other, "--json"))["splits"]
    notes = {s["split"]: {row["name"]: row["note"] for row in s["levels"]} for s in splits}
    assert notes["ood_test"]["peak"] == ORACLE
    assert notes["ood_val"]["peak"] == notes["ood_test"]["end"] == ""


def test_a_listing_in_json_says_what_its_peaks_are(run, tmp_path, capsys):
    write_run(tmp_path / "runs" / "two", splits=("train", "ood_test"))
    rows = json.loads(printed(capsys, "ls", run.parent, "--json"))
    assert {r["id"]: r["peak_rule"] for r in rows} == {"one": "peak_ood_val", "two": ORACLE}


def test_rules_are_applied_to_runs(run, capsys):
    out = printed(capsys, "verdict", run.parent, "--rule", "peak:ood_val", "oracle", "mean_last=2", "step=100")
    assert re.search(r"one +peak_ood_val +50 +12\.5 +1 +0\.55 +0\.7 +0\.78 ", out)
    assert re.search(rf"one +{re.escape(ORACLE)} +30 +7\.5 +1 +0\.53 +0\.69 +0\.8 ", out)
    assert re.search(r"one +mean_last=2 +400 +100 +1 +0\.895 ", out)
    assert "reserved for reporting" in out
    assert "only to be reported" not in printed(capsys, "verdict", run, "--rule", "peak_ood_val")
    found = json.loads(printed(capsys, "verdict", run, "--rule", "oracle", "peak_ood_val", "--json"))["one"]
    assert found["oracle=ood_test"]["label"] == ORACLE
    assert (found["peak_ood_val"]["step"], found["peak_ood_val"]["epoch"]) == (50, 12.5)
    assert found["peak_ood_val"]["bias"]["evaluations"] == 40
    assert found["peak_ood_val"]["values"]["ood_test"] == pytest.approx(0.78)


def test_rules_are_applied_to_anybodys_log(tmp_path, capsys):
    log = tmp_path / "log.csv"
    log.write_text("epoch,train_acc,val_acc\n1,0.5,0.4\n2,1.0,0.6\n3,1.0,0.5\n")
    columns = {"step": "epoch", "train": "train_acc", "held_out": {"val": "val_acc"}}
    assert gs.select(log, "oracle=val", **columns).step == 2
    words = ["verdict", log, "--step", "epoch", "--train", "train_acc", "--held-out", "val=val_acc", "--rule", "final"]
    found = json.loads(printed(capsys, *words, "--json"))[str(log)]["final"]
    assert (found["step"], found["values"], found["epoch"]) == (3, {"train": 1.0, "val": 0.5}, None)


def test_the_public_name_takes_whatever_the_verdict_takes(run):
    from grokscope.trajectory import from_run, select

    assert gs.select(run, "oracle") == gs.select(gs.open_run(run), "oracle")
    assert gs.select(run, "oracle") == select(from_run(gs.open_run(run)), "oracle")
    assert isinstance(gs.select(run), gs.Selection)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rule", "peak_ood_tset"], "unknown rule 'peak_ood_tset'"),
        (["--rule", "peak_ood_test"], "only under the name 'oracle'"),
        (["--rule", "oracle=site_9"], "one: rule 'oracle=site_9' uses site_9, which this trajectory lacks"),
        (["--rule", "final", "--criteria.fit", "0.9"], "--rule uses no thresholds"),
    ],
)
def test_mistakes_are_one_message(run, capsys, words, message):
    assert cli(["verdict", str(run), *words]) == 2
    assert message in capsys.readouterr().err
