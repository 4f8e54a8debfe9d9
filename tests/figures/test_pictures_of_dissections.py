"""A dissection's pictures beside its records are the panels of the report: one drawing, for one run and for many."""

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import grokscope
from grokscope.dissect.saving import save_dissection
from grokscope.figures import dissection as drawing
from grokscope.figures.canvas import drawn
from grokscope.figures.checkpoint_view import view_of
from grokscope.figures.dissection_files import write_pictures, write_pictures_along
from grokscope.figures.layer_map import draw_layers
from grokscope.report.sections.dissection import BATTERIES
from results.samples import at_chance, dissection


def test_the_report_and_the_files_have_the_same_panels():
    assert tuple(battery.picture for battery in BATTERIES) == drawing.PICTURES
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


@pytest.mark.parametrize("picture", drawing.PICTURES, ids=lambda p: p.name)
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
    figure = drawn(lambda f: drawing.draw_steering(f, [view]), *drawing.STEERING.size([view]))
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
