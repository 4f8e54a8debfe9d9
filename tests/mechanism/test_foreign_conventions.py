"""Logs of other programs lack columns and mean other things by them: a check then says `cannot tell` and names what is
missing, and never a wrong word."""

import json

import numpy as np
import pytest

from grokscope import cli
from grokscope.mechanism import CHECKS, Setup, case_of_trajectory, explain
from grokscope.trajectory import from_log

EPOCHS, STEPS_PER_EPOCH, LR, DECAY = 60, 100, 1e-3, 1.0
EPOCH = np.arange(1, EPOCHS + 1)
SHRINKING = 50 * np.exp(-LR * DECAY * STEPS_PER_EPOCH * EPOCH)
"""As decay alone would have it: a budget of 6 over all epochs."""
COLUMNS = {
    "epoch": EPOCH,
    "train": np.minimum(1.0, EPOCH / 5),
    "held": np.where(EPOCH < 30, 0.3, 0.99),
    "train_loss": 2.0 * np.exp(-EPOCH / 5),
    "norm": SHRINKING,
    "head": np.linspace(1, 2, EPOCHS),
    "invariant": 0.9 * SHRINKING,
    "rank": np.linspace(100, 30, EPOCHS),
    "penalty": np.exp(-EPOCH / 4),
    "scale": np.linspace(1, 3, EPOCHS),
    "collapse": np.linspace(0, 0.9, EPOCHS),
    "cosine": np.full(EPOCHS, -0.2),
}
MEASURED = {"rank_effective": "rank", "train_irm": "penalty", "train_logit_scale": "scale",
            "softmax_collapse": "collapse", "cos_grad_head": "cosine"}  # fmt: skip
NORMS = {"total": "norm", "head": "head", "scale_invariant": "invariant"}
SETUP = {
    "optimizer": "adamw", "lr": LR, "weight_decay": DECAY, "loss": "cross_entropy", "grad_filter": "grokfast_ema",
    "init_scale": 4.0, "irm_weight": 0.0, "parameters": 10_000, "steps_per_unit": STEPS_PER_EPOCH,
    "group_sizes": {"head": 500}, "label_noise": 0.0,
}  # fmt: skip


def findings(columns=COLUMNS, setup=SETUP, **changed):
    """Check -> finding, of a log with some columns, read as far as they go."""
    there = {name: column for name, column in MEASURED.items() if column in columns}
    norms = {group: column for group, column in NORMS.items() if column in columns}
    options = {
        "step": "epoch", "train": "train", "held_out": {"id_val": "held"}, "measured": there, "norm": norms or None,
        "train_loss": "train_loss" if "train_loss" in columns else None, "trivial": 0.1, "n": {"train": 300},
    }  # fmt: skip
    trajectory = from_log(dict(columns), **{**options, **changed})
    return {f.check: f for f in explain(case_of_trajectory(trajectory, Setup(**setup))).findings}


def words(found):
    return {check: finding.word for check, finding in found.items()}


WHOLE = words(findings())


def test_the_whole_log_is_read():
    assert WHOLE["decay time"] == WHOLE["norm after the fit"] == WHOLE["decay grip"] == "supports"
    assert sum(word != "cannot tell" for word in WHOLE.values()) >= 11


@pytest.mark.parametrize("lost", sorted(COLUMNS.keys() - {"epoch", "train", "held"}))
def test_without_a_column_words_turn_into_cannot_tell_and_into_no_other(lost):
    found = findings({name: values for name, values in COLUMNS.items() if name != lost})
    assert_only_silenced(found)
    assert any(found[check].missing for check in found)


@pytest.mark.parametrize("lost", [*SETUP])
def test_without_a_setting_words_turn_into_cannot_tell_and_into_no_other(lost):
    found = findings(setup={name: value for name, value in SETUP.items() if name != lost})
    assert_only_silenced(found)


def assert_only_silenced(found):
    for check, finding in found.items():
        if finding.word != WHOLE[check]:
            assert finding.word == "cannot tell", check
            assert finding.missing, check


def test_with_nothing_but_scores_each_silent_check_names_what_it_lacks():
    """Those that lack nothing say in words why they cannot tell."""
    scores = {name: COLUMNS[name] for name in ("epoch", "train", "held")}
    found = findings(scores, setup={})
    needs = {
        "decay time": {"lr", "weight_decay", "steps_per_unit"},
        "norm after the fit": {"norm_total"},
        "more than diffusion": {"norm_total", "lr", "weight_decay", "number of weights", "optimizer"},
        "decay grip": {"norm_total"},
        "head growth": {"norm_head"},
        "filter feeds the head": {"grad_filter"},
        "init scale undone": {"init_scale"},
        "softmax collapse": {"softmax_collapse"},
        "logit scale": {"train_logit_scale"},
        "penalty follows loss": {"train_irm", "train_loss"},
        "rank collapse": {"rank_effective"},
        "readout": {"id_val_probe_acc"},
        "label noise": {"label_noise"},
    }
    for check, names in needs.items():
        said = " ".join(found[check].missing)
        assert all(name in said for name in names), (check, said)
        assert found[check].word == "cannot tell"
    assert {check.title() for check in CHECKS} == set(found)
    assert not [f for f in found.values() if f.word == "supports"]


def test_epochs_without_their_steps_are_no_budget():
    found = findings(setup={key: value for key, value in SETUP.items() if key != "steps_per_unit"})
    for check in ("decay time", "more than diffusion, head"):
        assert found[check].word == "cannot tell"
        assert "steps_per_unit" in " ".join(found[check].missing)
    steps = {**COLUMNS, "step": COLUMNS["epoch"] * STEPS_PER_EPOCH}
    in_steps = findings(steps, {k: v for k, v in SETUP.items() if k != "steps_per_unit"}, step="step")
    assert words(in_steps) == WHOLE


def test_one_row_an_epoch_and_one_in_three_say_the_same():
    thinned = {name: values[::3] for name, values in COLUMNS.items()}
    assert words(findings(thinned)) == WHOLE


def test_percent_are_refused_or_scaled():
    percent = {**COLUMNS, "train": 100 * COLUMNS["train"], "held": 100 * COLUMNS["held"]}
    with pytest.raises(ValueError, match=r"percent, pass scale=0\.01"):
        findings(percent)
    assert words(findings(percent, scale=0.01)) == WHOLE


def test_squares_of_norms_are_asked_for_and_rooted():
    """A squared norm taken for one has moved twice as far, and no diffusion leads to it."""
    squares = {name: values**2 if name in NORMS.values() else values for name, values in COLUMNS.items()}
    assert words(findings(squares, norm_squared=True)) == WHOLE
    numbers = findings(squares, norm_squared=True)["norm after the fit"].numbers
    assert numbers["norm_at_end"] == pytest.approx(SHRINKING[29], rel=1e-6)
    named = {**COLUMNS, "weight_norm_sq": COLUMNS["norm"] ** 2}
    with pytest.raises(ValueError, match="'weight_norm_sq' may be a squared norm: pass norm_squared=True"):
        findings(named, norm={"total": "weight_norm_sq"})
    rooted = findings(named, norm={"total": "weight_norm_sq"}, norm_squared=True)
    assert rooted["norm after the fit"].numbers["norm_at_end"] == pytest.approx(SHRINKING[29], rel=1e-6)
    with pytest.raises(ValueError, match="is not a norm"):
        findings({**COLUMNS, "norm": -COLUMNS["norm"]})


def test_the_command_line_takes_squares(tmp_path, capsys):
    log = tmp_path / "log.csv"
    rows = zip(EPOCH, COLUMNS["train"], COLUMNS["held"], SHRINKING**2, strict=True)
    log.write_text("epoch,train,held,l2_squared\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    command = ["explain", str(log), "--step", "epoch", "--train", "train", "--held-out", "held", "--norm", "l2_squared"]
    assert cli.run(command) == 2
    assert "--norm-squared True" in capsys.readouterr().err
    assert cli.run([*command, "--norm-squared", "True", "--json"]) == 0
    found = {f["check"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert found["norm after the fit"]["numbers"]["norm_at_end"] == pytest.approx(SHRINKING[29], rel=1e-6)


def test_groups_that_somebody_wrote_are_not_all_groups():
    """Norms of head and backbone do not say that nothing is scale-invariant: a tested network's would."""
    two = {name: values for name, values in COLUMNS.items() if name != "invariant"} | {"backbone": COLUMNS["norm"]}
    norm = {"total": "norm", "head": "head", "weights": "backbone"}
    for check in ("decay grip", "init scale undone"):
        assert findings(two, norm=norm)[check].missing == ("norm_scale_invariant",)
        assert findings(two, {**SETUP, "groups_tested": True}, norm=norm)[check].word == "against"


def test_a_part_above_the_whole_is_no_part():
    found = findings({**COLUMNS, "invariant": 2 * COLUMNS["norm"]})
    assert found["decay grip"].word == found["init scale undone"].word == "cannot tell"
    assert "above the total" in found["decay grip"].evidence


def test_the_null_of_noise_is_adams_and_an_unnamed_optimizer_has_none():
    found = findings(setup={key: value for key, value in SETUP.items() if key != "optimizer"})
    assert found["more than diffusion, head"].missing == ("optimizer",)
