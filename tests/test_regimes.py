"""Named recipes: the published numbers, and that each axis can still be set alone."""

import copy

import pytest

from grokscope.configio import dump, load_run, overlay
from grokscope.overlay import resolve
from grokscope.regimes import RECIPES
from tiny import TINY

BARE = {k: v for k, v in TINY.items() if k != "regime"}


def regime(**table):
    return load_run(BARE | {"regime": table}).regime


def test_the_two_published_regimes_differ_on_three_axes_and_have_their_numbers():
    standard, favorable = (dump(regime(recipe=r)) for r in ("standard", "grokking-favorable"))
    different = {k: (standard[k], favorable[k]) for k in standard if standard[k] != favorable[k]}
    assert different == {
        "name": ("standard", "grokking-favorable"),
        "weight_decay": (1e-4, 5e-3),
        "init_scale": (1.0, 4.0),
        "grad_filter": ({"name": "none"}, {"name": "grokfast_ema", "alpha": 0.98, "lambda": 2.0}),
    }
    for shared in (standard, favorable):
        assert (shared["optimizer"]["name"], shared["lr"], shared["batch_size"]) == ("adamw", 1e-3, 32)
        assert (shared["clip_norm"], shared["loss"]["name"], shared["irm_weight"]) == (1.0, "cross_entropy", 0.0)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_loads_and_every_key_of_the_table_overrides_it(name):
    assert regime(recipe=name).name == name
    changed = regime(recipe=name, name="mine", lr=0.123, weight_decay=7.0)
    assert (changed.name, changed.lr, changed.weight_decay) == ("mine", 0.123, 7.0)
    assert changed.loss == regime(recipe=name).loss


def test_a_recipe_is_written_out_so_that_the_run_is_the_one_without_it():
    by_recipe = load_run(BARE | {"regime": {"recipe": "modular"}})
    by_hand = load_run(BARE | {"regime": dict(RECIPES["modular"])})
    assert by_recipe.identity() == by_hand.identity()
    assert "recipe" not in dump(by_recipe)["regime"]
    assert load_run(dump(by_recipe)) == by_recipe


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(ValueError, match=r"\$.regime.recipe: unknown recipe 'standrad'; did you mean 'standard'"):
        regime(recipe="standrad")


def test_resolving_changes_no_recipe():
    before = copy.deepcopy(RECIPES)
    resolve({"recipe": "standard", "lr": 1.0})
    overlay({"regime": resolve({"recipe": "modular"})}, {"regime.optimizer.betas": [0.1, 0.2]})
    assert before == RECIPES
