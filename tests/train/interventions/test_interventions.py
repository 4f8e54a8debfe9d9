"""Interventions during training: what each does, when, that it is nothing at strength zero, and how it is recorded."""

import json

import pytest
import torch
from rich.console import Console

from grokscope import configio, registry
from grokscope.commands.train import train_run
from grokscope.config import Budget
from grokscope.store.intervened import intervention_line, interventions_of, never_began
from grokscope.train.driver import Interrupted, extend, make_engine, train
from grokscope.verdicts import run_verdicts
from tiny import COMPILED, INTERVENING, same_folder_content, small_task, tiny

FULL = {"regime.batch_size": 0}


def acting(*interventions, **changes):
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return tiny({"hardware.resume_every_s": 1000.0, **dotted, "regime.interventions": list(interventions)})


def engine_of(config):
    return make_engine(config, config.task.build(config.seed))[1]


def steps(engine, until):
    engine.advance(until, False, lambda: False)
    return engine


def norm(engine, names=None):
    weights = [p for n, p in engine.model.named_parameters() if names is None or n in names]
    return float(torch.stack([p.detach().double().square().sum() for p in weights]).sum().sqrt())


# -- nothing at strength zero -----------------------------------------------------------------------------------------

NOTHING = {
    "hold_norm": {"strength": 0.0, "rho": 0.5},
    "temperature": {"temperature": 1.0},
    "subtract_initial": {"strength": 0.0},
    "decay_head": {},
    "freeze": {"of": "total", "strength": 0.0},
    "project_gradient": {"strength": 0.0},
    "reinitialize": {"of": "total", "strength": 0.0},
    "train_subset": {"share": 1.0},
    "radial_penalty": {"strength": 0.0},
    "switch": {"to": {"optimizer": "adamw", "weight_decay": 0.1, "lr": 0.01, "grad_filter": "none"}},
}
BASES = {"decay_head": {"regime__decay_groups": "head"}}


@pytest.mark.parametrize("name", registry.built_in("intervention"))
def test_at_strength_zero_it_is_not_there(name, tmp_path):
    base = BASES.get(name, {})
    plain = train(acting(**base), tmp_path)
    idle = train(acting({"name": name, **NOTHING[name]}, **base), tmp_path)
    active = train(acting({"name": name, **INTERVENING[name]}, **base), tmp_path)
    contents = [(run.path / "results" / "metrics.jsonl").read_bytes() for run in (plain, idle, active)]
    assert contents[0] == contents[1]
    assert contents[0] != contents[2], "and with strength it is"
    finals = [(run.path / "checkpoints" / "final.safetensors").read_bytes() for run in (plain, idle)]
    assert finals[0] == finals[1]


@pytest.mark.parametrize("name", registry.built_in("intervention"))
def test_before_it_begins_and_where_it_never_does_nothing_is_changed(name, tmp_path):
    plain = train(acting(), tmp_path)
    late = train(acting({"name": name, **INTERVENING[name], "from": 40}), tmp_path)
    never = train(acting({"name": name, **INTERVENING[name], "from": 10_000}), tmp_path)
    assert [r for r in late.rows() if r["step"] <= 40] == [r for r in plain.rows() if r["step"] <= 40]
    assert late.rows()[-1] != plain.rows()[-1]
    assert never.rows() == plain.rows()


# -- what each does ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reference", "expected"), [("start", None), ("init", None), (3.0, 3.0)])
def test_a_held_norm_is_rho_times_its_reference_and_free_before_and_after(reference, expected):
    engine = engine_of(acting({"name": "hold_norm", "of": "matrices", "rho": 0.8, "reference": reference,
                               "from": 20, "until": 40}))  # fmt: skip
    matrices = [n for n, p in engine.model.named_parameters() if p.dim() > 1]
    initial = norm(engine, matrices)
    start = norm(steps(engine, 20), matrices)
    target = 0.8 * (expected or {"start": start, "init": initial}[reference])
    for step in (21, 30, 40):
        assert norm(steps(engine, step), matrices) == pytest.approx(target, rel=1e-6)
    assert abs(norm(steps(engine, 60), matrices) / target - 1) > 1e-3, "free again"
    assert abs(start / target - 1) > 1e-3


def test_the_moments_go_on_while_the_norm_is_held():
    engine = steps(engine_of(acting({"name": "hold_norm", "rho": 0.9})), 30)
    assert {int(s["step"]) for s in engine.optimizer.parts[0].state.values()} == {30}


def test_a_temperature_divides_the_training_loss_alone():
    engine = engine_of(acting({"name": "temperature", "temperature": 2.0}, **{"regime.batch_size": 0}))
    plain = engine_of(tiny(FULL))
    for e in (engine, plain):
        x, target, _ = e.splits["train"].take(None)
        e.interventions.before_step(0)
        e.loss(e.interventions.logits(e.network(x)), target).backward()
    logits = plain.network(plain.splits["train"].x).detach().requires_grad_()
    plain.loss(logits / 2.0, plain.splits["train"].target).backward()
    again = engine_of(tiny(FULL))
    (again.network(again.splits["train"].x) * logits.grad).sum().backward()
    for p, q in zip(engine.parameters, again.parameters, strict=True):
        assert torch.allclose(p.grad, q.grad, rtol=1e-4, atol=1e-7)
    assert engine.row(False) == engine_of(tiny(FULL)).row(False), "evaluation sees the network's own logits"


def test_without_its_initial_function_a_network_begins_at_zero_and_is_evaluated_so():
    engine = engine_of(acting({"name": "subtract_initial"}))
    first = engine.row(True)
    assert first["train_loss"] == pytest.approx(torch.log(torch.tensor(7.0)).item(), rel=1e-6)
    assert first["logit_max"] == 0
    f0 = {n: engine.network(s.x).detach() for n, s in engine.splits.items()}
    steps(engine, 30)
    row, split = engine.row(False), engine.splits["id_val"]
    own = engine.loss(engine.network(split.x).detach() - f0["id_val"], split.target)
    assert row["id_val_loss"] == pytest.approx(float(own), rel=1e-6)


def test_the_initial_function_cannot_be_taken_from_a_network_that_depends_on_the_batch():
    config = acting({"name": "subtract_initial"}, task=small_task("digits"),
                    model={"name": "mlp", "hidden": [8], "norm": "batch"})  # fmt: skip
    with pytest.raises(ValueError, match=r"\$\.regime\.interventions\[0\]: 'subtract_initial': .*batch normalization"):
        engine_of(config)


def test_decay_of_the_head_alone_shrinks_nothing_else():
    changes = {"regime.lr": 1e-30, "regime.optimizer": "sgd"}
    engine = engine_of(acting({"name": "decay_head", "weight_decay": 1e28}, **changes))
    before = {n: p.detach().clone() for n, p in engine.model.named_parameters()}
    steps(engine, 1)
    moved = {n for n, p in engine.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == set(engine.groups["head"])


def test_what_is_frozen_does_not_move_not_even_by_decay():
    engine = engine_of(
        acting({"name": "freeze", "of": "head", "from": 10, "until": 20}, **{"regime.weight_decay": 1.0})
    )
    head = engine.groups["head"]
    at = {}
    for step in (9, 10, 11, 20, 21):
        steps(engine, step)
        at[step] = {n: p.detach().clone() for n, p in engine.model.named_parameters()}
    assert all(torch.equal(at[10][n], at[20][n]) for n in head)
    assert not any(torch.equal(at[9][n], at[10][n]) or torch.equal(at[20][n], at[21][n]) for n in head)
    assert not any(torch.equal(at[10][n], at[11][n]) for n in at[10] if n not in head)


@pytest.mark.parametrize("out_of", ["weights", "head"])
def test_a_projected_gradient_has_no_part_along_the_weights(out_of):
    engine = engine_of(acting({"name": "project_gradient", "out_of": out_of}, **FULL))
    engine.interventions.before_step(0)
    x, target, _ = engine.splits["train"].take(None)
    engine.loss(engine.network(x), target).backward()
    named = dict(engine.model.named_parameters())
    chosen = engine.groups["head"] if out_of == "head" else list(named)
    before = {n: p.grad.clone() for n, p in named.items()}
    engine.interventions.gradient()

    def cosine(names, grads):
        g = torch.cat([grads[n].flatten().double() for n in names])
        w = torch.cat([named[n].detach().flatten().double() for n in names])
        return abs(float(g @ w / (g.norm() * w.norm())))

    sets = [chosen] if out_of == "head" else [[n] for n in chosen]
    for names in sets:
        assert cosine(names, {n: p.grad for n, p in named.items()}) < 1e-6
    assert max(cosine(names, before) for names in sets) > 1e-2
    assert all(torch.equal(before[n], named[n].grad) for n in named if n not in chosen)


def test_reinitialized_weights_are_fresh_and_their_moments_too():
    engine = engine_of(acting({"name": "reinitialize", "of": "head", "from": 20}))
    initial = {n: p.detach().clone() for n, p in engine.model.named_parameters()}
    steps(engine, 20)
    trained = {n: p.detach().clone() for n, p in engine.model.named_parameters()}
    steps(engine, 21)
    state = engine.optimizer.parts[0].state
    for name, p in engine.model.named_parameters():
        fresh = name in engine.groups["head"]
        assert int(state[p]["step"]) == (1 if fresh else 21)
        assert (float((p.detach() - trained[name]).abs().max()) > 0.05) == fresh
        assert not fresh or float((p.detach() - initial[name]).abs().max()) > 0.05, "not those of the beginning"


def test_a_subset_is_nested_and_rows_show_it_beside_the_whole():
    shares = {share: engine_of(acting({"name": "train_subset", "share": share})) for share in (0.25, 0.5)}
    rows = {share: set(e.interventions.slots[0].acting.rows.tolist()) for share, e in shares.items()}
    assert rows[0.25] < rows[0.5]
    assert (len(rows[0.25]), len(rows[0.5])) == (6, 12)
    engine = steps(shares[0.5], 200)
    row = engine.row(False)
    assert (row["train_n"], row["train_subset_n"]) == (24, 12)
    assert row["train_subset_acc"] == 1.0 > row["train_acc"], "the others are not learned"
    used = engine.splits["train"].x[engine.interventions.slots[0].acting.rows]
    right = engine.loss.predict(engine.network(used)) == engine.splits["train"].y[sorted(rows[0.5])]
    assert int(right.sum()) == row["train_subset_correct"]


def test_switched_settings_are_those_of_a_run_that_always_had_them(tmp_path):
    switched = train(acting({"name": "switch", "to": {"lr": 3e-3, "weight_decay": 0.3, "grad_filter": "grokfast_ema"}}),
                     tmp_path)  # fmt: skip
    had = train(tiny({"regime.lr": 3e-3, "regime.weight_decay": 0.3, "regime.grad_filter": "grokfast_ema"}), tmp_path)
    assert switched.rows()[1:] == had.rows()[1:]
    assert switched.rows()[0]["lr"] == 1e-2, "the untrained network has no switched step behind it"


def test_moments_survive_a_switch_of_decay_and_not_one_of_the_optimizer():
    for to, count in ({"weight_decay": 0.0}, 11), ({"decay_groups": "matrices"}, 11), ({"optimizer": "muon"}, 1):
        engine = steps(engine_of(acting({"name": "switch", "from": 10, "to": to})), 11)
        counted = {int(s["step"]) for part in engine.optimizer.parts for s in part.state.values() if "step" in s}
        assert counted == {count}, to


def test_after_a_switch_the_regimes_own_settings_return():
    engine = engine_of(acting({"name": "switch", "to": {"weight_decay": 0.0, "loss": "mse"}, "until": 10}))
    steps(engine, 10)
    assert (engine.regime.weight_decay, engine.regime.loss.name) == (0.0, "mse")
    steps(engine, 11)
    assert (engine.regime.weight_decay, engine.regime.loss.name) == (0.1, "cross_entropy")
    assert engine.splits["train"].target.dtype == torch.int64


def first_fit_of(run):
    return next(r["step"] for r in run.rows() if r["train_acc"] >= 0.99)


# -- when -------------------------------------------------------------------------------------------------------------

FITTING = {"model.embedding": 8, "model.hidden": [32], "regime.lr": 2e-2, "regime.weight_decay": 0.0,
           "budget.steps": 90}  # fmt: skip
"""Fits its training set after some 25 steps."""


def test_from_the_fit_it_begins_at_the_step_after_the_evaluation_that_met_the_rule(tmp_path):
    plain = train(tiny(FITTING), tmp_path)
    fit = first_fit_of(plain)
    assert 7 < fit < 60
    held = {"name": "hold_norm", "rho": 0.5, "from": "T_fit", "until": "T_fit + 10"}
    later = {"name": "temperature", "temperature": 2.0, "from": "T_fit + 2 epochs"}
    run = train(acting(held, later, **FITTING), tmp_path)
    record = interventions_of(run)
    assert (record["T_fit"], record["fit_rule"]) == (fit, "train_acc >= 0.99")
    assert [(e["began"], e["ended"]) for e in record["interventions"]] == [(fit, fit + 10), (fit + 6, None)]
    upto = [[r for r in x.rows() if r["step"] <= fit] for x in (plain, run)]
    assert upto[0] == upto[1]
    norms = {r["step"]: r["norm_total"] for r in run.rows()}
    held_rows = [s for s in norms if fit < s <= fit + 10]
    assert held_rows
    assert all(norms[s] == pytest.approx(0.5 * norms[fit], rel=1e-6) for s in held_rows)


def test_verdicts_and_training_agree_on_the_fit(tmp_path):
    run = train(acting({"name": "temperature", "temperature": 2.0, "from": "T_fit"}, **FITTING), tmp_path)
    milestone = run_verdicts(run)["id_val"].milestones.T_fit
    assert (milestone.at, milestone.censored) == (interventions_of(run)["T_fit"], False)


def test_a_fit_in_a_closing_row_off_the_grid_does_not_count_for_a_longer_run_has_no_such_row(tmp_path):
    fit = first_fit_of(train(tiny({**FITTING, "evaluate": {"every": 1}}), tmp_path))
    cadence = {"every": "none", "at": [0, fit + 7]}
    sparse = {"evaluate": cadence, "diagnose": cadence}
    item = {"name": "temperature", "temperature": 2.0, "from": "T_fit"}
    whole = train(acting(item, **FITTING, **sparse), tmp_path / "whole")
    assert interventions_of(whole)["T_fit"] == fit + 7
    short = train(acting(item, **{**FITTING, **sparse, "budget.steps": fit}), tmp_path / "grown")
    assert first_fit_of(short) == fit
    assert interventions_of(short)["T_fit"] is None
    grown = extend(short, Budget(steps=FITTING["budget.steps"]))
    same_folder_content(whole.path, grown.path)


def test_what_never_began_is_recorded_logged_and_told(tmp_path):
    config = acting({"name": "freeze", "from": "T_fit"}, {"name": "temperature", "from": 999}, **{"regime.lr": 1e-9})
    trained = train_run(config, tmp_path)
    waiting, late = never_began(trained.run)
    assert waiting["why"] == "train was not fitted by step 60"
    assert late["why"] == "it begins at step 999, and the run ended at 60"
    lines = [intervention_line(e, None) for e in (waiting, late)]
    assert lines[0] == "freeze (of head, strength 1): never began, for train was not fitted by step 60"
    assert "intervention freeze never began" in (trained.run.path / "logs" / "train.log").read_text()
    console = Console(width=200, record=True)
    trained.show(console)
    assert lines[0] in console.export_text()
    assert json.loads(json.dumps(trained.data()))["interventions"][0]["state"] == "never began"


def test_an_end_that_comes_before_a_fit_is_said_not_passed_over(tmp_path):
    run = train(acting({"name": "freeze", "from": "T_fit", "until": 1}, **FITTING), tmp_path)
    (entry,) = never_began(run)
    assert entry["why"].startswith("its end, step 1, is not later than its beginning, step ")


# -- resuming ---------------------------------------------------------------------------------------------------------


def test_interventions_at_the_fit_resume_exactly_wherever_the_run_is_stopped(tmp_path):
    items = [{"name": "hold_norm", "rho": 0.5, "from": "T_fit", "until": "T_fit + 20"},
             {"name": "switch", "from": "T_fit + 5", "to": {"optimizer": "sgd", "grad_filter": "grokfast_ema"}},
             {"name": "train_subset", "share": 0.4, "from": "T_fit + 9"},
             {"name": "reinitialize", "from": "T_fit + 11"}]  # fmt: skip
    config = acting(*items, **FITTING)
    whole = train(config, tmp_path / "whole")
    fit = interventions_of(whole)["T_fit"]
    for stop in (fit - 1, fit, fit + 1, fit + 5, fit + 6, fit + 20, fit + 21):
        with pytest.raises(Interrupted):
            train(config, tmp_path / "parts", interrupt_at=stop)
    same_folder_content(whole.path, train(config, tmp_path / "parts").path)


# -- configs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"name": "hold_nrom"}, r"\$\.regime\.interventions\[0\].*did you mean 'hold_norm'"),
        ({"name": "hold_norm", "rhoo": 1}, r"\$\.regime\.interventions\[0\]\.rhoo: .*no parameter 'rhoo'"),
        ({"name": "hold_norm", "rho": -1}, r"interventions\[0\]: 'hold_norm': rho must be positive"),
        ({"name": "hold_norm", "reference": "begin"}, r"'begin' is neither a number nor one of"),
        ({"name": "freeze", "from": 30, "until": 30}, r"interventions\[0\]: until \(30\) must be later than from "
            r"\(30\)"),
        ({"name": "freeze", "from": "T_fit + 5", "until": "T_fit"}, r"until \(T_fit\) must be later than from"),
        ({"name": "freeze", "from": "T_gen"}, r"interventions\[0\]\.from must be a moment such as 400"),
        ({"name": "freeze", "from": -1}, r"interventions\[0\]\.from must be a moment"),
        ({"name": "freeze", "from": "T_fit +"}, r"interventions\[0\]\.from must be a moment"),
        ({"name": "switch", "to": {"init_scale": 4}}, r"to\.init_scale cannot change during a run"),
        ({"name": "switch", "to": {"schedule": "cosine"}}, r"to\.schedule: 'cosine' depends on the length of the run"),
        ({"name": "switch", "to": {"lr": "fast"}}, r"to\.lr: expected float, got str 'fast'"),
        ({"name": "switch", "to": {"optimizer": "adan"}}, r"unknown optimizer 'adan'; did you mean"),
        ({"name": "switch", "to": {}}, r"to: expected settings to switch"),
        ({"name": "switch"}, r"\$\.regime\.interventions\[0\]\.to: missing"),
        ({"name": "train_subset", "share": 0}, r"share must lie in \(0, 1\]"),
        ("freeze", None),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(item, words):
    if words is None:
        assert acting(item).regime.interventions[0].name == "freeze"
        return
    with pytest.raises(ValueError, match=words):
        acting(item)


def test_parameters_that_the_network_does_not_have_are_told_when_it_is_built():
    with pytest.raises(ValueError, match=r"interventions\[1\]: 'freeze': of: .* called 'haed'; did you mean 'head'"):
        engine_of(acting("decay_head", {"name": "freeze", "of": ["head", "haed"]}))


def test_a_loss_that_reads_other_outputs_cannot_be_switched_to():
    task = {"task": small_task("parity"), "model": {"name": "mlp", "hidden": [8]}}
    with pytest.raises(ValueError, match=r"interventions\[0\]: loss 'hinge' reads 1 outputs, and this network has 2"):
        engine_of(acting({"name": "switch", "to": {"loss": "hinge"}}, **task))


def test_decay_towards_the_start_cannot_be_switched():
    with pytest.raises(ValueError, match="weight_decay cannot change while decay goes toward the initial weights"):
        acting({"name": "switch", "to": {"weight_decay": 0.0}}, **{"regime.decay_target": "init"})


def test_the_compiled_engine_refuses_them_by_name():
    with pytest.raises(ValueError, match=r"interventions\[0\]: engine 'compiled' cannot carry out 'temperature'"):
        engine_of(tiny({**COMPILED, "regime.interventions": ["temperature"]}))


def test_no_interventions_are_no_part_of_the_identity_and_some_are():
    plain, empty = tiny(), acting()
    assert empty.run_id() == plain.run_id()
    assert "interventions" not in plain.identity()["regime"]
    one = acting({"name": "hold_norm", "rho": 1.0, "from": 400})
    assert one.identity()["regime"]["interventions"] == [{"name": "hold_norm", "from": 400}], "defaults left out"
    assert configio.load_run(configio.dump(one)) == one
    spellings = [{"optimizer": "sgd"}, {"optimizer": {"name": "sgd", "momentum": 0}}]
    assert len({acting({"name": "switch", "to": to}).run_id() for to in spellings}) == 1


def test_single_items_are_changed_and_asked_for_by_their_number():
    base = {"regime": {"interventions": [{"name": "hold_norm", "rho": 1.0}, "temperature"]}}
    changes = {"regime.interventions.0.rho": 0.85, "regime.interventions.1.temperature": 2.0}
    changed = configio.overlay(base, changes)["regime"]["interventions"]
    assert changed == [{"name": "hold_norm", "rho": 0.85}, {"name": "temperature", "temperature": 2.0}]
    assert base["regime"]["interventions"][0]["rho"] == 1.0, "what was laid over is not touched"
    whole = configio.overlay(base, {"regime.interventions.0.rho": 3.0, "regime.interventions": ["hold_norm"]})
    assert whole["regime"]["interventions"] == [{"name": "hold_norm", "rho": 3.0}], "in whatever order they come"
    other = configio.overlay(base, {"regime.interventions.0.name": "freeze"})["regime"]["interventions"]
    assert other[0] == {"name": "freeze"}, "another name drops the old parameters"
    with pytest.raises(ValueError, match=r"interventions\.2: there are 2 items, counted from 0"):
        configio.overlay(base, {"regime.interventions.2.rho": 1})
    flat = configio.with_items(configio.flatten({"regime": {"interventions": changed}}))
    assert flat["regime.interventions.0"] == "hold_norm"
    assert flat["regime.interventions.0.rho"] == 0.85
