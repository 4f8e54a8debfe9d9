"""A dissection's pictures beside its records are the panels of the report: one drawing, for one run and for many."""

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import grokscope
from grokscope.dissect.saving import save_dissection
from grokscope.figures import dissection_panels
from grokscope.figures.canvas import drawn
from grokscope.figures.checkpoint_view import view_of
from grokscope.figures.dissection_files import write_pictures, write_pictures_along
from grokscope.figures.layer_map import draw_layers
from grokscope.figures.parts import erasure, neurons, pictures, probes, steering
from grokscope.figures.style import PALETTE
from grokscope.results.dissection import PARTS
from results.samples import at_chance, dissection


def test_the_report_and_the_files_have_the_same_panels():
    assert [picture.name for picture in pictures()] == list(PARTS)
    root = Path(grokscope.__file__).parent
    drawers = {p for p in root.rglob("*.py") if "import matplotlib" in (t := p.read_text()) or "from matplotlib" in t}
    elsewhere = {str(p.relative_to(root)) for p in drawers}
    assert not [name for name in elsewhere if name.startswith("dissect/")]


def test_every_part_that_can_tell_has_a_picture(tmp_path):
    out = save_dissection(dissection(), tmp_path)
    assert sorted(p.stem for p in out.glob("*.png")) == ["m1", "m4", "m5", "m6"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in out.glob("*.png"))
    save_dissection(at_chance("the network is at chance", probes=True), tmp_path)
    assert sorted(p.stem for p in out.glob("*.png")) == ["m1"], "none of an earlier dissection stays"


def test_pictures_are_the_same_bytes_each_time(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        write_pictures(view_of(dissection()), tmp_path / place, "checkpoint: final")
    assert [p.read_bytes() for p in sorted((tmp_path / "a").iterdir())] == [
        p.read_bytes() for p in sorted((tmp_path / "b").iterdir())
    ]


def words_of(figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


@pytest.mark.parametrize("picture", pictures(), ids=lambda p: p.name)
def test_one_run_and_several_are_drawn_on_the_same_axes(picture):
    one, two = view_of(dissection()), view_of(dissection())
    titles = []
    for runs in ([one], [one, two]):
        figure = drawn(lambda f, runs=runs: picture.draw(f, runs), *picture.size(runs))
        assert len(figure.axes) == picture.axes(runs)
        titles.append([t for t in words_of(figure) if t in words_of(figure)[:3]])
    assert titles[0] == titles[1]


def test_steered_accuracy_is_drawn_as_it_was_measured():
    view = view_of(dissection())
    figure = drawn(lambda f: steering.draw_steering(f, [view]), *steering.PICTURE.size([view]))
    (curve,) = [c for c in view.m5.curves if (c.on, c.scaling) == ("test", "relative")]
    drawn_curves = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_xdata()) == len(curve.steps)]
    assert any(np.array_equal(ys, curve.accuracy) for ys in drawn_curves)


def test_several_checkpoints_leave_the_map_of_layers_and_one_none(tmp_path):
    views = [view_of(dissection(), step) for step in (20000, 100)]
    write_pictures_along(views, tmp_path, "all")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["along.png", "layers.png"]
    figure = drawn(lambda f: draw_layers(f, {"run": views}), 340, 300)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["100", "20,000"]
    write_pictures_along(views[:1], tmp_path, "all")
    assert list(tmp_path.iterdir()) == []


def test_an_oracle_is_stamped_in_its_pictures(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("grokscope.dissect.saving.write_pictures", lambda view, folder, words: written.append(words))
    save_dissection(replace(dissection(), selection="oracle=ood_test"), tmp_path)
    save_dissection(dissection(), tmp_path)
    assert written[0] == "checkpoint chosen by an oracle (chosen on ood_test): not held out"
    assert "oracle" not in written[1]


def shades(figure):
    """Palette roles of everything that is drawn, the zero lines and reference lines of the frame apart."""
    role = {values[0]: name for name, values in PALETTE.items()}
    lines = [mpl.colors.to_hex(line.get_color()) for line in figure.findobj(mpl.lines.Line2D)]
    areas = [mpl.colors.to_hex(c) for a in figure.findobj(mpl.collections.PolyCollection) for c in a.get_facecolor()]
    return {role[shade] for shade in [*lines, *areas] if shade in role} & {"held-1", "held-2", "train"}


@pytest.mark.parametrize("picture", pictures(), ids=lambda p: p.name)
def test_the_key_names_what_is_drawn_and_nothing_else(picture):
    runs = [view_of(dissection())]
    figure = drawn(lambda f: picture.draw(f, runs, [runs]), *picture.size(runs))
    assert {entry.role for entry in picture.key(runs)} == shades(figure)


def test_the_key_of_probes_without_random_labels_names_none():
    whole = dissection()
    m1 = replace(whole.m1, probes=tuple(replace(p, controls=()) for p in whole.m1.probes))
    words = [entry.words for entry in probes.PICTURE.key([view_of(replace(whole, m1=m1))])]
    assert words == ["environment", "task"]


def moved(factor):
    """A dissection whose steered accuracies and lost gaps are so many times as large."""
    whole = dissection()
    curves = tuple(replace(c, accuracy=tuple(factor * a for a in c.accuracy)) for c in whole.m5.curves)
    return view_of(replace(whole, m5=replace(whole.m5, curves=curves)))


def test_groups_of_one_figure_have_one_axis_of_accuracy_which_holds_all_of_them():
    low, high = moved(0.3), moved(1.0)
    axes = []
    for runs in ([low], [high]):
        size = steering.PICTURE.size(runs)
        axes += drawn(lambda f, runs=runs: steering.PICTURE.draw(f, runs, [[low], [high]]), *size).axes
    limits = {one.get_ylim() for one in axes}
    assert len(limits) == 1
    ((bottom, top),) = limits
    every = [a for view in (low, high) for c in view.m5.curves for a in c.accuracy]
    assert bottom <= min(every) < max(every) <= top


@pytest.mark.parametrize("picture", [erasure.PICTURE, neurons.PICTURE], ids=lambda p: p.name)
def test_groups_of_one_figure_share_the_axes_of_what_is_lost(picture):
    whole = dissection()
    erasures = tuple(
        replace(
            e, effects={k: replace(v, env_gap_drop=replace(v.env_gap_drop, value=50.0)) for k, v in e.effects.items()}
        )
        for e in whole.m4.erasures
    )
    one, two = view_of(whole), view_of(replace(whole, m4=replace(whole.m4, erasures=erasures)))
    pair = []
    for runs in ([one], [two]):
        figure = drawn(lambda f, runs=runs: picture.draw(f, runs, [[one], [two]]), *picture.size(runs))
        pair.append([axes.get_ylim() for axes in figure.axes])
    assert pair[0] == pair[1]
    alone = drawn(lambda f: picture.draw(f, [one], [[one]]), *picture.size([one]))
    if picture is erasure.PICTURE:
        assert alone.axes[1].get_ylim()[1] < 50 <= pair[0][1][1], "of one group the axis is its own"


def test_the_line_through_layers_leaves_out_the_color_of_the_image():
    places = dissection_panels.site_places(["stem", "layer1", "pooled", "mean_rgb"])
    assert [places[s] for s in ("stem", "layer1", "pooled")] == [0, 1, 2]
    assert places["mean_rgb"] > 3
    whole = dissection()
    pooled = [p for p in whole.m1.probes if p.site == "pooled"]
    at_sites = tuple(replace(p, site=site) for site in ("layer1", "pooled", "mean_rgb") for p in pooled)
    view = view_of(replace(whole, m1=replace(whole.m1, probes=at_sites)))
    (axes,) = drawn(lambda f: probes.draw_probes(f, [view]), *probes.PICTURE.size([view])).axes
    joined = [line for line in axes.lines if len(set(line.get_xdata())) > 1 and line.get_linestyle() == "-"]
    last = dissection_panels.site_places(view.sites)["pooled"]
    assert joined
    assert all(max(line.get_xdata()) < last + 0.5 for line in joined)
    assert any(line.get_xdata()[0] > last + 1 for line in axes.lines if line.get_marker() == "o")


@pytest.mark.parametrize("picture", [probes.PICTURE, erasure.PICTURE, neurons.PICTURE], ids=lambda p: p.name)
def test_environment_and_task_are_told_apart_without_color(picture):
    entries = [entry for entry in picture.key([view_of(dissection())]) if entry.role in ("held-1", "held-2")]
    assert len({(entry.marker, entry.dash) for entry in entries}) == len(entries) == 2
    figure = drawn(lambda f: picture.draw(f, [view_of(dissection())], []), *picture.size([view_of(dissection())]))
    shapes = {}
    for line in figure.findobj(mpl.lines.Line2D):
        if line.get_marker() in ("o", "s"):
            shapes.setdefault(mpl.colors.to_hex(line.get_color()), set()).add(line.get_marker())
    assert shapes[PALETTE["held-1"][0]] == {"o"}
    assert shapes[PALETTE["held-2"][0]] == {"s"}
