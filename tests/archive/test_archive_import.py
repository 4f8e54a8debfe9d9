"""A published archive becomes runs on which every command works; a damaged one, what is left of it, and a list."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from archive_samples import RUN, STANDARD, Evil, config, history, tiny_weights, write_archive, write_run

from grokscope import configio
from grokscope.archive import import_archive
from grokscope.config import Budget
from grokscope.store import find_runs, open_run
from grokscope.store.checkpoints import load_weights
from grokscope.trajectory import from_run, select, verdict

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture
def archive(tmp_path) -> Path:
    return write_archive(tmp_path / "archive")


def content(root: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p.relative_to(root)): (p.stat().st_mtime_ns, p.read_bytes()) for p in root.rglob("*") if p.is_file()}


def edit(path: Path, **changes) -> None:
    data = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (data | changes).items() if v is not None}))


# -- a complete archive -------------------------------------------------------------------------------------------


def test_a_complete_archive_comes_in_whole(archive, tmp_path):
    found = import_archive(archive, tmp_path / "runs")
    assert found.problems == ()
    assert found.left == ("README.md", "figures/")
    assert [run.id for run in found] == list(found.changed)
    assert sorted(run.id for run in find_runs(tmp_path / "runs")) == sorted(found.changed)
    run = found[0]
    assert run.id.startswith("camelyon17_grokking-favorable_n1000_s42-")
    assert (run.status["state"], run.status["step"], run.status["total_steps"]) == ("done", 96000, 96000)
    assert list(run.checkpoints()) == [200 * i * 32 for i in range(1, 16)]
    assert run.record["lineage"]["archive"] == "archive"
    assert run.record["lineage"]["run"] == RUN
    assert (run.path / "mechinterp" / "published" / "m6.png").read_bytes() == b"\x89PNG"
    assert "python train.py" in (run.path / "logs" / "train.log").read_text()
    for name in ("config.json", "results/history.json", "results/summary.json"):
        assert (run.path / "archive" / Path(name).name).read_bytes() == (archive / "runs" / RUN / name).read_bytes()


def test_the_config_is_the_published_one_in_our_words(archive, tmp_path):
    grokking, standard = import_archive(archive, tmp_path)
    one = configio.load_run(grokking.config)
    assert (one.task.name, one.task.n_train, one.task.image_size, one.task.id_val) == ("camelyon17", 1000, 96, "leaky")  # type: ignore[attr-defined]
    assert (one.model.name, one.seed, one.budget) == ("timm", 42, Budget(epochs=3000))
    assert list(one.evaluate.points(3000)) == [1, *range(50, 3001, 50)]
    assert list(one.checkpoint.points(3000)) == list(range(200, 3001, 200))
    from grokscope.overlay import resolve

    for run, recipe in ((grokking, "grokking-favorable"), (standard, "standard")):
        ours = configio.overlay(run.config, {"regime": resolve({"recipe": recipe})})
        assert configio.load_run(ours).regime == configio.load_run(run.config).regime


def test_the_numbers_are_the_published_ones(archive, tmp_path):
    run = import_archive(archive, tmp_path)[0]
    rows, metrics = history(), run.metrics()
    np.testing.assert_array_equal(metrics["step"], [32 * row["epoch"] for row in rows])
    for theirs, ours in {
        "epoch": "epoch", "train_acc": "train_acc", "train_loss": "train_loss", "id_acc": "id_val_acc",
        "ood_acc": "ood_test_acc", "weight_norm": "norm_total", "irm_penalty": "train_irm",
        "effective_rank": "rank_effective", "mean_conf": "mean_conf",
    }.items():  # fmt: skip
        np.testing.assert_allclose(metrics[ours], [row[theirs] for row in rows], rtol=0, atol=1e-15, err_msg=ours)
    assert run.facts["splits"]["ood_test"] == {"n": 85054, "trivial_acc": 0.5}


def test_the_weights_are_the_published_ones(archive, tmp_path):
    run = import_archive(archive, tmp_path)[0]
    assert run.checkpoints()
    for i, path in enumerate(run.checkpoints().values()):
        found, expected = load_weights(path), tiny_weights(i)
        assert found.keys() == expected.keys()
        assert all(found[k].equal(expected[k]) and found[k].dtype == expected[k].dtype for k in found)


def test_norms_of_the_groups_come_from_the_checkpoints(archive, tmp_path):
    run = import_archive(archive, tmp_path)[0]
    metrics = run.metrics()
    logged = ~np.isnan(metrics["norm_head"])
    assert metrics["epoch"][logged].tolist() == list(range(200, 3001, 200))
    assert metrics["norm_head"][logged][0] == pytest.approx(tiny_weights(0)["fc.weight"].norm().item())
    assert any("computed from the checkpoints" in note for note in run.facts["notes"])
    assert any(
        "weight norm differs" in note for note in run.facts["notes"]
    )  # the tiny network is not the one of the log


def test_everything_that_was_done_is_in_the_notes(archive, tmp_path):
    notes = "\n".join(import_archive(archive, tmp_path)[0].facts["notes"])
    for words in (
        "ood_acc -> ood_test_acc (alias)",
        "mean_conf",
        "whole counts over 85,054",
        "drawn by its own code",
        "epochs x 32",
    ):
        assert words in notes


def test_the_verb_prints_what_was_assumed(archive, tmp_path, capsys):
    from grokscope.cli import run as cli

    assert cli(["archive", "import", str(archive), "--root", str(tmp_path / "a")]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert any("the history's weight norm differs by up to" in line for line in notes)
    assert sum("trivial predictor is taken to have 0.5" in line for line in notes) == 1  # once, for both runs
    assert len(notes) == len(set(notes))
    edit(archive / "runs" / RUN / "config.json", extra=1)
    assert cli(["archive", "import", str(archive), "--root", str(tmp_path / "b"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["notes"]
    assert told == {run.id: run.facts["notes"] for run in find_runs(tmp_path / "b")}
    assert cli(["archive", "import", str(archive), "--root", str(tmp_path / "b")]) == 0
    out = capsys.readouterr().out
    assert "note: in 1 of 2 runs: config.json: not understood: extra" in out


@pytest.mark.parametrize("split", ["foo", "train"])
def test_the_size_of_a_split_that_there_is_not_is_refused(archive, tmp_path, split):
    with pytest.raises(ValueError, match=f"n: no held-out split '{split}'; known: id_val, ood_test, ood_val"):
        import_archive(archive, tmp_path / "runs", n={split: 3})
    assert not find_runs(tmp_path / "runs")


def test_it_ungrokked_as_published_and_its_peak_is_an_oracles(archive, tmp_path):
    trajectory = from_run(import_archive(archive, tmp_path)[0])
    found = verdict(trajectory, "ood_test")
    assert found.label == "ungrokked (early-peak)"
    chosen = select(trajectory, "oracle")
    assert (chosen.step / 32, chosen.oracle) == (350, True)
    assert chosen.values["ood_test"] == pytest.approx(0.7336, abs=1e-4)


def test_every_command_works_on_it(archive, tmp_path):
    from grokscope.commands.compare import compare
    from grokscope.commands.look import ls, show, sql
    from grokscope.commands.verdict import verdict as verdicts
    from grokscope.report import build_report

    root = tmp_path / "runs"
    runs = import_archive(archive, root)
    assert "2 runs: 2 done" in str(ls(root))
    assert "85,054 examples" in str(show(runs[0].path))
    assert "regime.weight_decay" in str(compare([str(run.path) for run in runs]))
    rows = sql("select count(*) as n, max(ood_test_acc) as best from metrics", root=root).rows
    assert rows[0]["n"] == 122
    assert "early-peak" in str(verdicts([root]))
    page = build_report(runs, tmp_path / "report.html", formats=()).read_text()
    assert runs[0].id in page


def test_a_split_of_unknown_size_can_be_shown(archive, tmp_path):
    from grokscope.commands.look import show

    rows = [{**row, "ood_acc": round(row["ood_acc"], 4)} for row in history()]
    (archive / "runs" / RUN / "results" / "history.json").write_text(json.dumps(rows))
    run = import_archive(archive, tmp_path / "runs")[0]
    assert "n" not in run.facts["splits"]["ood_test"]
    assert "an unknown number of examples" in str(show(run.path))
    assert verdict(from_run(run), "ood_test").verdict == "ungrokked"
    told = import_archive(archive, tmp_path / "told", n={"ood_test": 85054})[0]
    assert told.facts["splits"]["ood_test"]["n"] == 85054


def test_a_branch_starts_from_its_checkpoint_but_it_cannot_be_extended(archive, tmp_path):
    from grokscope.train.branch import branch
    from grokscope.train.driver import extend

    run = import_archive(archive, tmp_path)[0]
    new = branch(run, {"regime.weight_decay": 0.0, "budget.epochs": 10}, step=200 * 32)
    start = tmp_path / new.run_id() / "checkpoints" / "start.safetensors"
    assert load_weights(start)["fc.weight"].equal(tiny_weights(0)["fc.weight"])
    assert new.hardware.device == "auto"
    assert branch(run, {}, step=None).start.step == 96000  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="was imported"):
        extend(run, Budget(epochs=4000))


def test_training_the_same_config_is_another_run(archive, tmp_path):
    run = import_archive(archive, tmp_path)[0]
    assert configio.load_run(run.config).run_id() != run.id
    assert configio.load_run(run.config).run_id().rpartition("-")[0] == run.id.rpartition("-")[0]


# -- again, and fuller --------------------------------------------------------------------------------------------


def test_a_dissection_of_ours_and_one_of_theirs_do_not_meet(archive, tmp_path):
    from grokscope.archive import export_archive
    from grokscope.files import write_json

    run = import_archive(archive, tmp_path / "runs")[0]
    write_json(run.path / "mechinterp" / "m6.json", {"mine": 1})
    write_json(archive / "runs" / RUN / "mechinterp" / "m1.json", {"theirs": 1})
    found = import_archive(archive, tmp_path / "runs")
    assert found.problems == ()
    assert json.loads((run.path / "mechinterp" / "m6.json").read_text()) == {"mine": 1}
    out = export_archive([run], tmp_path / "out", formats=()).path / "runs" / RUN / "mechinterp"
    assert json.loads((out / "m6.json").read_text()) == {"mine": 1}
    assert json.loads((out / "m1.json").read_text()) == {"theirs": 1}
    assert "K" in json.loads((out / "published" / "m6.json").read_text())


def test_importing_again_changes_nothing(archive, tmp_path):
    from grokscope.verdicts import run_verdicts

    root = tmp_path / "runs"
    first = import_archive(archive, root)
    run_verdicts(first[0])
    before = content(root)
    again = import_archive(archive, root)
    assert (again.changed, again.problems, [r.id for r in again]) == ((), (), [r.id for r in first])
    assert content(root) == before


def test_other_options_read_it_anew(archive, tmp_path):
    import_archive(archive, tmp_path)
    again = import_archive(archive, tmp_path, {"ood_val_acc": "ood_acc"})
    assert len(again.changed) == 2
    assert list(from_run(again[0]).held_out) == ["id_val", "ood_val"]


def test_a_fuller_copy_adds_what_is_new(archive, tmp_path):
    root = tmp_path / "runs"
    folder = archive / "runs" / RUN
    away = tmp_path / "away.pt"
    shutil.move(folder / "checkpoints" / "ep00400.pt", away)
    results = tmp_path / "results"
    shutil.move(folder / "results", results)
    first = import_archive(archive, root)
    assert len(first.problems) == 3  # history, summary, one checkpoint
    kept = content(root / first[0].id)["checkpoints/ep00200.safetensors"]
    shutil.move(away, folder / "checkpoints" / "ep00400.pt")
    shutil.move(results, folder / "results")
    second = import_archive(archive, root)
    assert second.problems == ()
    assert second.changed == (first[0].id,)
    assert len(second[0].rows()) == 61
    assert 400 * 32 in second[0].checkpoints()
    assert content(root / first[0].id)["checkpoints/ep00200.safetensors"] == kept


def test_a_poorer_copy_takes_nothing_away(archive, tmp_path):
    root = tmp_path / "runs"
    run = import_archive(archive, root)[0]
    before = content(run.path)
    for name in ("results", "checkpoints"):
        shutil.rmtree(archive / "runs" / RUN / name)
    again = import_archive(archive, root)
    assert again.changed == ()
    assert content(run.path) == before


def test_a_lost_checkpoint_is_brought_back(archive, tmp_path):
    run = import_archive(archive, tmp_path)[0]
    run.checkpoints()[6400].unlink()
    assert import_archive(archive, tmp_path).changed == (run.id,)
    assert 6400 in run.checkpoints()


# -- damage -------------------------------------------------------------------------------------------------------


def one_problem(archive: Path, root: Path, *words: str) -> list[str]:
    """Import; assert that exactly one message came, of the damaged run, with these words. Returns ids of the runs."""
    found = import_archive(archive, root)
    assert len(found.problems) == 1, found.problems
    for word in (RUN, *words):
        assert word in found.problems[0]
    return [run.record["lineage"]["run"] for run in found]


def test_missing_checkpoints_are_one_message(archive, tmp_path):
    for name in ("ep00200", "ep00800", "final"):
        (archive / "runs" / RUN / "checkpoints" / f"{name}.pt").unlink()
    assert one_problem(archive, tmp_path, "3 of 16 missing: ep00200, ep00800, final") == [RUN, STANDARD]


def test_no_checkpoints_at_all(archive, tmp_path):
    shutil.rmtree(archive / "runs" / RUN / "checkpoints")
    one_problem(archive, tmp_path, "16 of 16 missing")
    assert verdict(from_run(find_runs(tmp_path)[0]), "ood_test").verdict == "ungrokked"


@pytest.mark.parametrize("name", ["results/summary.json", "logs/train.log"])
def test_a_missing_file_is_named(archive, tmp_path, name):
    (archive / "runs" / RUN / name).unlink()
    assert one_problem(archive, tmp_path, f"{name}: missing") == [RUN, STANDARD]


def test_a_checkpoint_cut_short_is_named_and_the_rest_comes(archive, tmp_path):
    path = archive / "runs" / RUN / "checkpoints" / "ep00400.pt"
    path.write_bytes(path.read_bytes()[:500])
    one_problem(archive, tmp_path, "checkpoints/ep00400.pt: cut short", "excluded")
    assert len(find_runs(tmp_path)[0].checkpoints()) == 14


def test_a_checkpoint_with_code_is_refused(archive, tmp_path):
    proof = tmp_path / "ran"
    torch.save({**tiny_weights(0), "x": Evil(proof)}, archive / "runs" / RUN / "checkpoints" / "final.pt")
    one_problem(archive, tmp_path / "runs", "checkpoints/final.pt: refused", "system")
    assert not proof.exists()
    assert not list((tmp_path / "runs").glob("*grokking*/checkpoints/final*"))


def test_another_networks_weights_are_named(archive, tmp_path):
    torch.save({"fc.weight": torch.ones(2, 2)}, archive / "runs" / RUN / "checkpoints" / "ep00400.pt")
    one_problem(archive, tmp_path, "ep00400.pt: not the weights of timm's resnet18")


def test_a_stranger_among_the_checkpoints_is_named(archive, tmp_path):
    (archive / "runs" / RUN / "checkpoints" / "best.pth").write_bytes(b"")
    one_problem(archive, tmp_path, "checkpoints/best.pth: not named like a checkpoint")


@pytest.mark.parametrize(
    ("text", "words"), [(None, "no such file"), ("[{", "not readable as JSON"), ("3", "list of rows")]
)
def test_without_a_history_weights_and_settings_come(archive, tmp_path, text, words):
    path = archive / "runs" / RUN / "results" / "history.json"
    path.unlink() if text is None else path.write_text(text)
    one_problem(archive, tmp_path, "results/history.json", words, "without evaluations")
    run = next(r for r in find_runs(tmp_path) if "grokking" in r.id)
    assert run.rows() == []
    assert len(run.checkpoints()) == 15  # to the end, so it was trained to the end
    assert (run.status["state"], run.status["step"]) == ("done", 96000)


def test_a_history_that_ends_early_makes_an_interrupted_run(archive, tmp_path):
    rows = [row for row in history() if row["epoch"] <= 2000]
    (archive / "runs" / RUN / "results" / "history.json").write_text(json.dumps(rows))
    one_problem(archive, tmp_path, "ends at epoch 2000 of 3000")
    assert find_runs(tmp_path)[0].status["state"] == "interrupted"


def test_an_ambiguous_field_is_a_problem_with_its_remedy(archive, tmp_path):
    rows = [{"val_acc" if k == "ood_acc" else k: v for k, v in row.items()} for row in history()]
    (archive / "runs" / RUN / "results" / "history.json").write_text(json.dumps(rows))
    one_problem(archive, tmp_path / "a", "'val_acc' may be id_val_acc or ood_val_acc", "mapping")
    found = import_archive(archive, tmp_path / "b", {"ood_test_acc": "val_acc"})
    assert found.problems == ()
    assert list(from_run(found[0]).held_out) == ["id_val", "ood_test"]


def test_a_history_in_percent_is_a_problem_with_its_remedy(archive, tmp_path):
    shutil.rmtree(archive / "runs" / STANDARD)
    rows = [{k: 100 * v if k.endswith("_acc") else v for k, v in row.items()} for row in history()]
    (archive / "runs" / RUN / "results" / "history.json").write_text(json.dumps(rows))
    one_problem(archive, tmp_path / "a", "not an accuracy in 0..1", "scale=0.01")
    found = import_archive(archive, tmp_path / "b", scale=0.01)
    assert found.problems == ()
    assert from_run(found[0]).held_out["ood_test"].max() < 0.74


@pytest.mark.parametrize("scale", [0.0, -0.01, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused_before_anything_is_read(archive, tmp_path, scale):
    with pytest.raises(ValueError, match=r"scale: must be a number above 0 \(0.01 for percent\)"):
        import_archive(archive, tmp_path / "a", scale=scale)
    assert not (tmp_path / "a").exists()


def test_a_history_in_shares_is_not_scaled_to_nothing(archive, tmp_path):
    shutil.rmtree(archive / "runs" / STANDARD)
    found = import_archive(archive, tmp_path / "a", scale=0.01)
    assert any("they are already shares; omit scale" in problem for problem in found.problems)
    assert found[0].rows() == []


def test_a_history_without_epochs_says_what_it_has(archive, tmp_path):
    rows = [{"time" if k == "epoch" else k: v for k, v in row.items()} for row in history()]
    (archive / "runs" / RUN / "results" / "history.json").write_text(json.dumps(rows))
    one_problem(archive, tmp_path, "no field is the epoch", "the fields are time, train_loss")
    assert len(import_archive(archive, tmp_path / "b", {"epoch": "time"})[0].rows()) == 61


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_without_a_config_a_run_cannot_come(archive, tmp_path, text):
    path = archive / "runs" / RUN / "config.json"
    path.unlink() if text is None else path.write_text(text)
    assert one_problem(archive, tmp_path, "config.json", "cannot be imported") == [STANDARD]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": "1e-3"}, "$.regime.lr: expected float, got str '1e-3'"),
        ({"weight_decay": None}, "no weight_decay"),
        ({"img_size": 999}, "image_size must lie in [8, 96]"),
    ],
)
def test_a_config_that_cannot_be_is_named_by_its_key(archive, tmp_path, changes, words):
    edit(archive / "runs" / RUN / "config.json", **changes)
    assert one_problem(archive, tmp_path, words) == [STANDARD]


def test_what_the_config_lacks_comes_from_the_name_or_the_published_defaults(archive, tmp_path):
    edit(archive / "runs" / RUN / "config.json", seed=None, n_train=None, batch_size=None, extra=1)
    found = import_archive(archive, tmp_path)
    assert found.problems == ()
    notes = "\n".join(found[0].facts["notes"])
    assert (found[0].seed, found[0].facts["splits"]["train"]["n"]) == (42, 1000)
    for words in (
        "no seed: 42 taken from the run's name",
        "taken as published: batch_size 32",
        "not understood: extra",
    ):
        assert words in notes


def test_another_condition_keeps_its_name(archive, tmp_path):
    edit(archive / "runs" / RUN / "config.json", condition="wd_only")
    assert import_archive(archive, tmp_path)[0].label == "wd_only"


def test_steps_follow_the_historys_own_where_it_counts_them(archive, tmp_path):
    rows = [{**row, "step": 31 * row["epoch"]} for row in history()]
    (archive / "runs" / RUN / "results" / "history.json").write_text(json.dumps(rows))
    run = import_archive(archive, tmp_path)[0]
    assert run.metrics()["step"][-1] == 93000
    assert list(run.checkpoints())[-1] == 93000
    assert run.status["state"] == "done"


# -- places -------------------------------------------------------------------------------------------------------


def test_a_folder_of_runs_and_a_single_run_will_do(archive, tmp_path):
    assert len(import_archive(archive / "runs", tmp_path / "a")) == 2
    one = import_archive(archive / "runs" / RUN, tmp_path / "b")
    assert [run.id for run in one] == [import_archive(archive, tmp_path / "c")[0].id]


def test_other_folders_are_refused_with_what_they_hold(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        import_archive(tmp_path / "none")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"not an archive.*notes\.txt"):
        import_archive(tmp_path / "x")


def test_a_run_in_the_way_is_not_overwritten(archive, tmp_path):
    run = import_archive(archive, tmp_path)[0]
    record = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps({**record, "lineage": None}))
    before = content(run.path)
    done = import_archive(archive, tmp_path)
    assert [problem for problem in done.problems if f"{run.path} already exists and is not an import" in problem]
    assert len(done.runs) == 1
    assert done.runs[0].id != run.id
    assert content(run.path) == before


def test_a_mapping_that_fits_no_history_is_an_error(archive, tmp_path):
    with pytest.raises(ValueError, match="no history has a field 'ood_ac'; did you mean 'ood_acc'"):
        import_archive(archive, tmp_path, {"ood_test_acc": "ood_ac"})
    assert not find_runs(tmp_path)


def test_links_of_a_hub_snapshot_are_followed_and_no_others(archive, tmp_path):
    """The cache of huggingface_hub keeps a snapshot as links to the blobs beside it."""
    cache = tmp_path / "models--who--what"
    snapshot, blobs = cache / "snapshots" / "0a1b", cache / "blobs"
    shutil.copytree(archive, snapshot)
    blobs.mkdir()
    for i, path in enumerate(sorted(p for p in snapshot.rglob("*") if p.is_file())):
        path.rename(blobs / str(i))
        path.symlink_to(os.path.relpath(blobs / str(i), path.parent))
    found = import_archive(snapshot, tmp_path / "runs")
    assert found.problems == ()
    (tmp_path / "secret").write_text("{}")
    log = next(snapshot.rglob("train.log"))
    log.unlink()
    log.symlink_to(tmp_path / "secret")
    assert any("train.log: is a symbolic link" in p for p in import_archive(snapshot, tmp_path / "again").problems)
    assert not any(p.is_symlink() for p in (tmp_path / "runs").rglob("*"))


def test_two_archived_runs_of_one_config_stay_two(tmp_path):
    write_run(tmp_path / "a" / "runs" / RUN)
    write_run(tmp_path / "a" / "runs" / RUN.replace("080445", "090000"))
    found = import_archive(tmp_path / "a", tmp_path / "runs")
    assert len({run.id for run in found}) == 2
    assert config() == json.loads((found[1].path / "archive" / "config.json").read_text())


def test_the_published_network_itself(archive, tmp_path, monkeypatch):
    """ResNet-18 as timm builds it, through the whole of it; and it loads where the archive's card says it does."""
    from grokscope.archive import resnet
    from grokscope.models.resnet import timm_classifier

    monkeypatch.setattr("grokscope.archive.networks.resnet18", resnet.resnet18)
    shutil.rmtree(archive / "runs" / STANDARD)
    folder = archive / "runs" / RUN
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").mkdir()
    torch.manual_seed(1)
    model = timm_classifier("resnet18", 3, 2, "batch")
    torch.save(model.state_dict(), folder / "checkpoints" / "final.pt")
    found = import_archive(archive, tmp_path / "runs")
    assert len(found.problems) == 1  # the other checkpoints
    run = open_run(found[0].path)
    assert run.facts["parameters"] == 11_177_538
    model.load_state_dict(load_weights(run.path / "checkpoints" / "final.safetensors"))
    norm = torch.cat([p.detach().double().flatten() for p in model.parameters()]).norm().item()
    last = run.metrics()
    total = np.hypot.reduce([last[f"norm_{g}"][-1] for g in ("head", "scale_invariant", "normalization")])
    assert total == pytest.approx(norm, rel=1e-4)
    assert replace(configio.load_run(run.config), seed=1).task.train_size() == 1000
