"""What an archive holds: the published keys and rows, honest peaks, a card that the Hub can read, nothing private."""

import csv
import json
import math
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from archive_samples import EPOCHS, write_archive

from grokscope.archive import export_archive, import_archive
from grokscope.archive.exporting import MADE_ANEW, history_rows, left_at_home
from grokscope.archive.layout import ROWS
from grokscope.archive.train_log import command_of, evaluation_line, train_log
from grokscope.files import write_json
from grokscope.store import Run, open_run
from grokscope.train.driver import train
from results import samples
from tiny import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return open_run(train(tiny(), tmp_path_factory.mktemp("runs")).path)


@pytest.fixture
def published(tmp_path, tiny_network) -> list[Run]:
    return list(import_archive(write_archive(tmp_path / "archive"), tmp_path / "runs"))


def test_the_published_rows_are_sixty_one():
    assert sorted({*ROWS.points(3000), 3000}) == EPOCHS
    rows = [{"step": 32 * e, "epoch": float(e)} for e in range(1, 3001)]
    chosen, words = history_rows(rows, {})
    assert [row["epoch"] for row in chosen] == EPOCHS
    assert words is None


def test_other_cadences_lose_no_row():
    rows = [{"step": s, "epoch": s / 4} for s in (1, 2, 3, 5, 1000)]
    chosen, words = history_rows(rows, {})
    assert chosen == rows
    assert "holds all 5 evaluations" in str(words)
    assert history_rows([], {}) == ([], None)


def test_a_short_run_needs_only_its_first_and_last():
    rows = [{"step": e, "epoch": float(e)} for e in range(1, 31)]
    assert [row["epoch"] for row in history_rows(rows, {})[0]] == [1, 30]


def test_a_config_has_the_published_keys_and_all_of_ours(run, tmp_path):
    done = export_archive([run], tmp_path / "out", formats=())
    data = json.loads((done.path / "runs" / run.id / "config.json").read_text())
    assert {k: data[k] for k in ("seed", "batch_size", "lr", "weight_decay", "init_scale", "condition")} == {
        "seed": 0, "batch_size": 8, "lr": 1e-2, "weight_decay": 0.1, "init_scale": 1.0, "condition": "custom",
    }  # fmt: skip
    assert data["use_grokfast"] is False
    assert "grokfast_alpha" not in data
    assert (data["n_train"], data["n_epochs"]) == (run.facts["splits"]["train"]["n"], 60 / run.facts["steps_per_epoch"])
    assert data["grokscope"]["config"] == run.config
    assert data["grokscope"]["facts"] == json.loads(json.dumps(run.facts))


def test_checkpoints_load_as_the_published_ones_do(run, tmp_path):
    done = export_archive([run], tmp_path / "out", formats=())
    folder = done.path / "runs" / run.id / "checkpoints"
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{p.stem}.pt" for p in (run.path / "checkpoints").iterdir()
    )
    assert all(isinstance(t, torch.Tensor) for t in torch.load(folder / "final.pt", weights_only=True).values())


def test_the_summary_says_where_its_peaks_come_from(published, tmp_path):
    done = export_archive(published, tmp_path / "out", formats=())
    data = json.loads((done.path / "runs" / done.runs[0] / "results" / "summary.json").read_text())
    assert data["peak_ood_acc"] == pytest.approx(0.7336, abs=1e-4)
    assert (data["peak_ood_epoch"], data["splits"]["ood_test"]["peak_rule"]) == (350, "oracle (chosen on ood_test)")
    assert data["peak_ood_rule"] == "oracle (chosen on ood_test)"
    assert data["splits"]["id_val"]["peak_rule"] == "peak_id_val"
    assert data["final_ood_acc"] == pytest.approx(0.6642, abs=1e-4)
    assert data["final_weight_norm"] == 1470
    assert data["splits"]["ood_test"]["verdict"] == "ungrokked"


def test_nothing_names_this_machine(run, tmp_path):
    done = export_archive([run], tmp_path / "out", formats=())
    secrets = [str(tmp_path), str(run.path.parent), run.record["provenance"]["host"]]
    assert socket.gethostname() in secrets
    texts = [p.read_text() for p in done.path.rglob("*") if p.suffix in (".json", ".jsonl", ".md", ".log", ".csv")]
    provenance = json.loads((done.path / "runs" / run.id / "config.json").read_text())["grokscope"]["provenance"]
    assert not {"host", "command"} & provenance.keys()
    assert provenance["packages"] == run.record["provenance"]["packages"]
    assert not any(str(tmp_path) in t or str(run.path.parent) in t for t in texts)
    assert not list(done.path.rglob("state*.pt"))


def test_figures_come_as_png_and_pdf(run, tmp_path):
    done = export_archive([run], tmp_path / "out")
    names = {p.name for p in (done.path / "figures").iterdir()}
    assert {"curves.png", "curves.pdf"} <= names
    assert "curves.png" in (done.path / "README.md").read_text()
    none = export_archive([run], tmp_path / "none", formats=())
    assert not (none.path / "figures").exists()


def test_the_card_is_one_that_the_hub_reads(published, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    done = export_archive(
        published,
        tmp_path / "out",
        formats=(),
        title="Two runs: one archive",
        license="cc-by-4.0",
        citation="@misc{x, title={Y}}",
    )
    assert not any("license" in p for p in done.problems)
    card = hub.ModelCard.load(done.path / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.library_name == "grokscope"
    assert {"grokking", "camelyon17"} <= set(card.data.tags)
    results = {(r.dataset_name, r.metric_name): r.metric_value for r in card.data.eval_results}
    value = results["camelyon17 ood_test, n_train = 1000", "final accuracy, grokking-favorable, mean of 1 run"]
    assert value == pytest.approx(0.6642, abs=1e-4)
    assert "@misc{x, title={Y}}" in card.text
    hub.ModelCard(str(card))  # what was read can be written and read again


def test_the_card_says_what_a_reader_must_know(published, tmp_path):
    text = (export_archive(published, tmp_path / "out", formats=()).path / "README.md").read_text()
    line = next(x for x in text.splitlines() if x.startswith("| grokking | 42 | 1000 |"))
    assert "0.7336 | 350 | 0.6642 | ungrokked (early-peak)" in line
    for words in (
        "ood_test peak †", "oracle (chosen on ood_test)", "2 ungrokked", "| ood_test | 85,054 | 0.5 |",
        "differ on 3 axes", "CC0 1.0", "fewer than six", "not chosen a license",
        "imported from another archive (archive)",
        'timm.create_model("resnet18"', "no medical device", "Labels are balanced per hospital",
    ):  # fmt: skip
        assert words in text, words


def test_the_card_of_a_run_without_images(run, tmp_path):
    text = (export_archive([run], tmp_path / "out", formats=()).path / "README.md").read_text()
    assert "timm" not in text
    assert "image-classification" not in text.partition("model-index")[0]
    assert "nothing to download or to license" in text
    assert "†" not in text
    assert "differ on" not in text


def test_the_same_runs_give_the_same_bytes(run, tmp_path):
    one, two = (export_archive([run], tmp_path / name, formats=()) for name in "ab")
    files = sorted(p.relative_to(one.path) for p in one.path.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(two.path) for p in two.path.rglob("*") if p.is_file())
    assert all((one.path / f).read_bytes() == (two.path / f).read_bytes() for f in files)
    assert (
        (one.files, one.bytes)
        == (two.files, two.bytes)
        == (len(files), sum((one.path / f).stat().st_size for f in files))
    )


def test_an_export_can_be_renewed_but_overwrites_nothing_else(run, published, tmp_path):
    out = tmp_path / "out"
    export_archive([run], out, formats=())
    export_archive([run, published[0]], out, weights="safetensors", formats=())
    assert len(list((out / "runs").iterdir())) == 2
    assert not list(out.rglob("*.pt"))
    with pytest.raises(ValueError, match="runs that are not in this export"):
        export_archive([run], out, formats=())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match=r"contains other files \(thesis\.tex\)"):
        export_archive([run], tmp_path / "other", formats=())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"runs": []}, "no runs"),
        ({"weights": "safetensor"}, "did you mean 'safetensors'"),
        ({"twice": True}, "two runs are called"),
        ({"formats": ("jpg",)}, "no format 'jpg'"),
    ],
)
def test_mistakes_are_named(run, tmp_path, how, words):
    runs = how.pop("runs", [run, run] if how.pop("twice", False) else [run])
    with pytest.raises(ValueError, match=words):
        export_archive(runs, tmp_path / "out", **{"formats": (), **how})


def test_a_run_without_evaluations_is_in_the_archive_too(run, tmp_path):
    folder = tmp_path / "runs" / "failed"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text((run.path / "config.json").read_text())
    error = {"type": "ValueError", "message": "broken", "traceback": "/home/me/x.py"}
    status = {"state": "failed", "step": 0, "total_steps": 60, "error": error}
    write_json(folder / "status.json", status)
    done = export_archive([run, folder], tmp_path / "out", formats=())
    assert {p for p in done.problems if p.startswith("failed:")} == {
        "failed: exported as it is: failed at step 0",
        "failed: no evaluations",
        "failed: no checkpoints",
    }
    text = (done.path / "README.md").read_text()
    assert "2 training runs (1 done, 1 failed)" in text
    assert "/home/me" not in (done.path / "runs" / "failed" / "config.json").read_text()
    back = import_archive(done.path, tmp_path / "back")
    assert sorted(r.status["state"] for r in back) == ["done", "failed"]


def test_neuron_ablations_become_one_table(run, published, tmp_path):
    ks = [0, 4, 8, 16, 32, 64, 128, 256]
    over_k = replace(samples.each_effect((0.0,) * 8), accuracy_drop=tuple(np.linspace(0, 0.1, 8).tolist()))
    done = samples.ablations("ood_test", "zero", tuple(ks))
    hidden = replace(done.arms.random_variance, curves=samples.each_effect((math.nan,) * 8))
    arms = replace(done.arms, environment=replace(done.arms.environment, curves=over_k), random_variance=hidden)
    m6 = replace(samples.dissection().m6, ks=tuple(ks), ablations=(replace(done, arms=arms),))
    for one in published:
        samples.dissection(selection="oracle:ood_test", m6=m6).write(one.path / "mechinterp")
    done = export_archive(published, tmp_path / "out", formats=())
    with open(done.path / "figures" / "m6_summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["k"]) for row in rows] == 2 * ks
    assert rows[7]["environment_accuracy_drop"] == "0.1"
    assert rows[0]["random_variance_accuracy_drop"] == ""
    assert {row["selection"] for row in rows} == {"oracle (chosen on ood_test)"}
    assert "m6_summary.csv" in (done.path / "README.md").read_text()


def test_a_foreign_ablation_is_copied_and_named(published, tmp_path):
    done = export_archive(published, tmp_path / "out", formats=())
    assert sum("not in m6_summary.csv" in p for p in done.problems) == 2
    assert not (done.path / "figures").exists()
    assert (done.path / "runs" / done.runs[0] / "mechinterp" / "m6.json").exists()


def measured(run, value=0.25):
    """A measurement of the run's first checkpoint, as `grokscope measure` leaves it."""
    from grokscope.results.measured import Measured, MeasuredCheckpoint

    checkpoint = MeasuredCheckpoint(step=1, digest="00", values={"sharpness": value}, seconds=0.1)
    record = Measured(measurement="sharpness", parameters="{}", reasons={}, checkpoints=(checkpoint,))
    record.write(run.path / "measured" / "sharpness.json")


def test_training_details_are_read_from_the_runs_own_config(run, tmp_path):
    done = export_archive([run], tmp_path / "out", formats=())
    words = (done.path / "docs" / "TRAINING_DETAILS.md").read_text()
    for said in (
        "adamw", "learning rate 0.01", "batches of 8", "Weight decay 0.1 on all parameters", "Trained for 60 steps",
        f"| {run.id} | 0 | done | 60 | {len(run.rows())} |", f"torch {run.record['provenance']['packages']['torch']}",
        *run.facts["data"]["digests"].values(),
    ):  # fmt: skip
        assert said in words, said
    assert f"| train | {run.facts['splits']['train']['n']} |" in words


def test_a_train_log_has_the_command_and_a_line_for_each_evaluation(run, tmp_path):
    done = export_archive([run], tmp_path / "out", formats=())
    lines = (done.path / "runs" / run.id / "logs" / "train.log").read_text().splitlines()
    assert lines[0].startswith("command: ")
    evaluations = [line for line in lines if line.startswith("step ")]
    assert len(evaluations) == len(run.rows())
    last = run.rows()[-1]
    assert evaluations[-1].startswith(f"step {last['step']}, epoch ")
    assert f"train loss {last['train_loss']:.6g}" in evaluations[-1]
    own = (run.path / "logs" / "train.log").read_text().splitlines()
    assert lines[1 : 1 + len(own)] == own


def test_a_log_with_a_line_for_each_evaluation_stays_as_it_is():
    rows = [{"step": s, "train_loss": 1.0} for s in range(3)]
    own = "python train.py\nep 0\nep 1\nep 2\n"
    assert train_log(own, rows, {"command": ["x"]}) == own
    assert train_log("started\n", rows, {}).splitlines()[:2] == ["command: not recorded", "started"]


def test_a_command_keeps_its_words_and_loses_its_folders():
    words = ["/usr/bin/grokscope", "train", "/home/me/d.toml", "--root=/home/me/runs", "--regime.lr", "3e-4"]
    assert command_of({"command": words}) == "grokscope train d.toml --root=runs --regime.lr 3e-4"


def test_values_that_are_no_numbers_are_said_in_the_log():
    row = {"step": 2, "epoch": 0.5, "train_loss": None, "train_acc": 0.5, "norm_total": 3.0}
    assert evaluation_line(row) == "step 2, epoch 0.5: train loss not finite acc 0.5; norm_total 3"


def test_what_was_measured_goes_along_and_comes_back_and_what_stays_is_named(run, tmp_path):
    import shutil

    shutil.copytree(run.path, tmp_path / "runs" / run.id)
    mine = open_run(tmp_path / "runs" / run.id)
    measured(mine)
    write_json(mine.path / "results" / "interventions.json", {"interventions": []})
    (mine.path / "notes.txt").write_text("mine")
    (mine.path / "states").mkdir()
    (mine.path / "states" / "step1.pt").write_bytes(b"1")
    done = export_archive([mine], tmp_path / "out", formats=())
    folder = done.path / "runs" / mine.id
    assert (folder / "measured" / "sharpness.json").read_bytes() == (mine.path / "measured/sharpness.json").read_bytes()
    words = (done.path / "docs" / "TRAINING_DETAILS.md").read_text()
    left = words[words.index("## Left out") :]
    assert "notes.txt" in left
    assert "states/" in left
    assert "sharpness" not in left
    kept = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    stayed = left_at_home(mine.path)
    for path in mine.path.rglob("*"):
        name = path.relative_to(mine.path).as_posix()
        if path.is_file() and path.suffix != ".safetensors" and not path.name.startswith("."):
            here = name in kept or name in MADE_ANEW or any(name == s or name.startswith(s) for s in stayed)
            assert here, f"{name} was neither exported nor named"
    (back,) = import_archive(done.path, tmp_path / "back")
    assert (back.path / "measured/sharpness.json").read_bytes() == (mine.path / "measured/sharpness.json").read_bytes()
    assert (back.path / "results/interventions.json").exists()
    again = export_archive([back], tmp_path / "again", formats=())
    log = "runs", done.runs[0], "logs", "train.log"
    assert again.path.joinpath(*log).read_bytes() == done.path.joinpath(*log).read_bytes()
    measured(back, 0.5)  # measured anew since: an import does not undo it
    problems = import_archive(done.path, tmp_path / "back").problems
    values = json.loads((back.path / "measured/sharpness.json").read_text())["checkpoints"][0]["values"]
    assert values == {"sharpness": 0.5}, problems
