"""Figures: what is drawn is what was measured, and one drawing serves light, dark and paper."""

import re
from dataclasses import replace
from itertools import accumulate
from math import comb
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from grokscope.figures.canvas import drawn, to_svg
from grokscope.figures.keys import curve_key, group_key, inline_svg
from grokscope.figures.panel_sheet import HANDLE
from grokscope.figures.style import DARK, LIGHT, PALETTE, PROBE_DASH, group_color, group_dash, held_dash
from grokscope.figures.style import SMALL as SMALL_TEXT
from grokscope.figures.titles import title_lines
from grokscope.report.draw.axis import ZERO_GAP, StepAxis, step_axis, thin
from grokscope.report.draw.claim import SIZE as CLAIM
from grokscope.report.draw.claim import draw_claim
from grokscope.report.draw.curve_frame import make_frame
from grokscope.report.draw.curves import draw_panel
from grokscope.report.draw.curves_by_group import SIZE as GROUPS
from grokscope.report.draw.curves_by_group import GroupCurves, draw_group_curves
from grokscope.report.draw.effects_by_run import RunEffect, draw_run_effects, run_effects_size
from grokscope.report.draw.small_multiples import SIZE as MULTIPLE
from grokscope.report.draw.small_multiples import Multiple, draw_multiple, shared_limits
from grokscope.report.draw.stacked_axes import Line, Part, alike, draw_stack
from grokscope.report.read.bands import SMALL, Band, group_band, interval_rank
from grokscope.report.read.curves import make_panel
from grokscope.report.read.judged_run import read
from grokscope.report.read.subjects import subject_from_run
from grokscope.report.read.survival import arms, pairs, worth_drawing
from grokscope.results.claims import ClaimCurve, ClaimFigure
from grokscope.store import open_run
from grokscope.trajectory import Criteria
from grokscope.vocabulary.text import short
from report.synthetic import GENERALIZED, GROKKED, MEMORIZED, write_run


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [LIGHT, DARK])
@pytest.mark.parametrize("role", [r for r in PALETTE if r not in ("paper", "raised", "line", "train")])
def test_text_in_every_role_is_legible(role, mode):
    assert contrast(PALETTE[role][mode], PALETTE["paper"][mode]) >= 4.5


def test_contrast_knows_black_on_white():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_light_colors_are_distinct_so_that_each_can_become_a_variable():
    light = [values[LIGHT] for values in PALETTE.values()]
    assert len(set(light)) == len(light)


def readings(tmp_path, specs, **options):
    runs = [open_run(write_run(tmp_path, group, seed, shape, **more)) for group, seed, shape, more in specs]
    return read([subject_from_run(run) for run in runs], "id_val", Criteria(), neighbors=False)


@pytest.fixture(scope="module")
def drawn_panel(tmp_path_factory):
    found = readings(tmp_path_factory.mktemp("p"), [("a", s, GROKKED, {}) for s in range(3)])
    panel = make_panel("a", found, ["id_val"])
    frame = make_frame([panel], step_axis("log", [r.trajectory.step for r in found]))
    titles = {f"seed:{r.subject.name}:id_val": f"seed {r.subject.seed} <{r.outcome}>" for r in found}
    return to_svg(lambda f: draw_panel(f, panel, frame), 360, frame.height, "k", titles)


def test_svg_is_themable_and_keeps_its_text(drawn_panel):
    root = ET.fromstring(drawn_panel)
    assert re.findall(r"#[0-9a-f]{6}", drawn_panel) == [], "every color must be a variable of the page"
    assert "stroke:var(--held-1)" in drawn_panel
    words = " ".join(t.text or "" for t in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "threshold 0.90" in words
    assert "weight norm" in words
    assert "step (log scale; 0 = untrained)" in words
    assert "font-family" not in drawn_panel
    assert "<style" not in drawn_panel
    assert "<metadata" not in drawn_panel


def test_svg_ids_carry_the_key_and_lines_their_titles(drawn_panel):
    ids = re.findall(r' id="([^"]+)"', drawn_panel)
    assert ids
    assert all(i.startswith("k-") for i in ids)
    assert drawn_panel.count('class="hit"') == 3
    assert "<title>seed 0 &lt;grokked&gt;</title>" in drawn_panel


def test_drawing_leaves_the_callers_settings_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    drawn(lambda figure: None, 100, 100)
    assert dict(mpl.rcParams) == before


@given(st.integers(1, 3000), st.integers(2, 40), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_thinning_keeps_every_columns_extremes(n, columns, seed):
    y = np.random.default_rng(seed).normal(size=n)
    x = np.arange(n, dtype=float)
    kept = thin(x, y, columns)
    tx, ty = x[kept], y[kept]
    if n <= 2 * columns:
        assert len(tx) == n
    assert len(tx) <= 4 * columns
    assert (tx[0], tx[-1]) == (x[0], x[-1])
    assert (np.diff(tx) > 0).all()
    assert ty.min() == y.min()
    assert ty.max() == y.max()
    assert (ty == y[tx.astype(int)]).all()


def test_thinning_does_drop_points():
    x = np.arange(10_000.0)
    assert len(thin(x, np.sin(x), 50)) <= 200


def test_log_axis_gives_the_untrained_network_a_place_of_its_own():
    axis = step_axis("log", [np.array([0, 1, 10, 1000])])
    steps, words, _ = axis.ticks()
    assert words == ["0", "1", "10", "100", "1k"]
    places = axis.place(np.array(steps))
    assert places[1] - places[0] == pytest.approx(ZERO_GAP)
    assert np.diff(places[1:]) == pytest.approx(1.0)
    assert axis.place(axis.limits[0]) < axis.place(0) < axis.place(1)


@given(st.lists(st.floats(-5, 1e6), min_size=2, max_size=50, unique=True), st.floats(0.5, 100))
@settings(max_examples=60, deadline=None)
def test_every_step_has_one_place_and_every_place_one_step(steps, first):
    axis = StepAxis("log", first, 1e6, True)
    ordered = np.array(sorted(steps))
    assert (np.diff(axis.place(ordered)) >= 0).all()
    np.testing.assert_allclose(axis.value(axis.place(ordered)), ordered, rtol=1e-9, atol=1e-9)


def test_narrow_log_axis_still_has_ticks():
    assert len(StepAxis("log", 30, 80, False).ticks()[0]) >= 2
    assert len(step_axis("log", [np.array([7])]).ticks()[0]) >= 1


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (950, "950"), (12_000, "12k"), (1.5e6, "1.5M"), (0.25, "0.25")])
def test_short_numbers(value, text):
    assert short(value) == text


def test_band_is_named_for_what_it_is():
    steps = np.arange(5)
    one = group_band([(steps, steps * 1.0)])
    few = group_band([(steps, steps + k) for k in range(SMALL - 1)])
    many = group_band([(steps, steps + k) for k in range(9)])
    assert (one.kind, few.kind, many.kind) == ("none", "range", "interval")
    assert "smallest to largest" in few.words
    assert "95 % interval of the median" in many.words
    assert (few.low == steps).all()
    assert (few.high == steps + 4).all()
    assert (few.median == steps + 2).all()
    assert (many.low == steps + 1).all()
    assert (many.high == steps + 7).all()


@pytest.mark.parametrize("n", range(SMALL, 60))
def test_interval_covers_the_median_with_95_percent_and_is_the_narrowest(n):
    k = interval_rank(n)
    cover = 1 - 2 * stats.binom.cdf(k - 1, n, 0.5)
    assert k >= 1
    assert cover >= 0.95
    assert 1 - 2 * stats.binom.cdf(k, n, 0.5) < 0.95


def _rank_by_counting(n):
    """The largest k with 2 P(fewer than k of n values below the median) <= 5 %, in whole numbers."""
    below = list(accumulate(comb(n, k) for k in range(n)))
    return sum(40 * count <= 2**n for count in below)


@pytest.mark.parametrize("n", [*range(1, 61), 1023, 1024, 1025, 1100, 10_000])
def test_the_rank_of_the_interval_is_exact_for_any_number_of_runs(n):
    assert interval_rank(n) == _rank_by_counting(n)


def test_a_group_of_1100_runs_has_a_band():
    values = np.random.default_rng(0).permutation(1100).astype(float)
    band = group_band([(np.arange(2), np.array([v, v])) for v in values])
    k = interval_rank(1100)
    assert (band.low == k - 1).all()
    assert (band.high == 1100 - k).all()
    assert (band.n, band.kind) == (1100, "interval")


def test_five_values_cannot_cover():
    assert interval_rank(5) == 0
    assert interval_rank(6) == 1
    assert SMALL == 6


def test_a_run_that_ended_early_does_not_bend_the_median():
    steps = np.arange(11)
    curves = [(steps, np.full(11, 1.0)), (steps, np.full(11, 3.0)), (steps[:4], np.full(4, 99.0))]
    band = group_band(curves)
    assert (band.median == 2.0).all()
    assert (band.n, band.total) == (2, 3)
    assert "2 of 3 runs that reached the last step" in band.words


def test_a_diverged_tail_is_left_out_of_the_band():
    values = np.array([1.0, 2.0, np.nan, np.inf])
    band = group_band([(np.arange(4), values)])
    assert band.step.tolist() == [0, 1]
    assert band.median.tolist() == [1.0, 2.0]
    assert group_band([(np.arange(2), np.array([np.nan, np.nan]))]) is None


def test_panels_share_their_axes(tmp_path):
    found = readings(tmp_path, [("a", 0, GROKKED, {}), ("b", 0, GENERALIZED, {})])
    panels = [make_panel(r.subject.group, [r], ["id_val"]) for r in found]
    frame = make_frame(panels, step_axis("log", [r.trajectory.step for r in found]))
    norms = np.concatenate([p.bands["norm_total"].median for p in panels])
    assert frame.norm[0] < norms.min()
    assert frame.norm[1] > norms.max()
    assert frame.score == (0.0, 1.03)
    assert panels[0].norms == ["norm_weights", "norm_head"], "biases are below a tenth of the total"


def test_survival_counts_censored_runs_and_those_without_evaluations(tmp_path):
    specs = [("a", s, GROKKED, {}) for s in range(3)] + [("a", 3, GROKKED, {"state": "running", "until": 3000})]
    specs += [("b", s, MEMORIZED, {}) for s in range(2)] + [("b", 2, None, {"state": "failed"})]
    found = readings(tmp_path, specs)
    groups = {g: [r for r in found if r.subject.group == g] for g in ("a", "b")}
    a, b = arms(groups, "T_gen")
    assert (a.estimate.events, a.estimate.n, a.left_out) == (3, 4, 0)
    assert (b.estimate.events, b.estimate.n, b.left_out) == (0, 2, 1)
    assert a.at_risk(0) == 4
    assert a.at_risk(4000) == 3
    assert a.at_risk(1e9) == 0
    assert worth_drawing([a, b])
    assert not worth_drawing([b])
    (first, second, test, adjusted), *others = pairs([a, b])
    assert (first.group, second.group, others) == ("a", "b", [])
    assert adjusted == test.p
    assert test.p >= test.smallest_p


def test_stacked_axes_of_several_groups_cover_the_same_range():
    def part(low, high):
        steps = np.array([1.0, 10.0])
        values = np.array([low, high])
        return Part("norm", [Line(Band(steps, values, values, values, "none", 1, 1), "ink")])

    stacks = alike({"a": [part(1.0, 10.0)], "b": [part(100.0, 5000.0)]})
    (low, high), other = (stacks[name][0].limits for name in ("a", "b"))
    assert (low, high) == other
    assert low < 1
    assert high > 5000
    figures = [drawn(lambda f, p=parts: draw_stack(f, p, step_axis("log", [np.array([1.0, 10.0])])), 358, 160)
               for parts in stacks.values()]  # fmt: skip
    assert figures[0].axes[0].get_ylim() == figures[1].axes[0].get_ylim() == (low, high)


def test_a_group_that_diverges_does_not_hide_the_curves_of_the_others():
    def part(*values):
        shown = np.array(values)
        return Part("loss", [Line(Band(np.array([1.0, 10.0]), shown, shown, shown, "none", 1, 1), "ink")])

    stacks = alike({"fitted": [part(1.0, 1e-3)], "diverged": [part(10.0, 1e12)], "to nothing": [part(1.0, 1e-30)]})
    low, high = stacks["fitted"][0].limits
    assert low < 1e-3
    assert high > 1e12
    assert low > 1e-9, "what is below a ten-millionth of its own highest value lies at the edge"


def test_groups_whose_runs_are_not_drawn_have_their_medians():
    steps, order = np.arange(5.0), [f"group {i}" for i in range(8)]
    medians = {name: (steps, np.full(5, 0.1 * i)) for i, name in enumerate(order[1:], 1)}
    shown = GroupCurves("accuracy", {}, medians, order)
    figure = drawn(lambda f: draw_group_curves(f, shown, None, "steps along the direction"), *GROUPS)
    heights = [float(line.get_ydata()[0]) for line in figure.axes[0].lines]
    assert heights == pytest.approx([0.1 * i for i in range(1, 8)])
    assert [line.get_color() for line in figure.axes[0].lines] == [group_color(i) for i in range(1, 8)]


def test_an_accuracy_that_starts_near_zero_has_its_whole_axis():
    curve = ClaimCurve(group="a", seed=0, steps=(1.0, 10.0, 100.0), values=(0.002, 0.5, 1.0))
    shown = ClaimFigure(column="id_val_acc", curves=(curve,), left_out=0)
    axes = drawn(lambda f: draw_claim(f, shown), *CLAIM).axes[0]
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim() == pytest.approx((-0.02, 1.03))
    loss = drawn(lambda f: draw_claim(f, replace(shown, column="id_val_loss")), *CLAIM).axes[0]
    assert loss.get_yscale() == "log"


def test_small_panels_of_noisy_groups_share_their_axes_and_hold_every_run():
    rng = np.random.default_rng(0)
    steps = np.arange(1.0, 50.0)

    def group(level):
        runs = [(steps, level + 0.05 * rng.standard_normal(len(steps))) for _ in range(2)]
        return Multiple({"ood_val": runs}, {"ood_val": (steps, (runs[0][1] + runs[1][1]) / 2)}, [0.5])

    groups = [group(0.6), group(0.9)]
    limits = shared_limits(groups)
    axis = step_axis("log", [steps])
    axes = [drawn(lambda f, g=g: draw_multiple(f, g, ["ood_val"], axis, limits), *MULTIPLE).axes[0] for g in groups]
    assert axes[0].get_ylim() == axes[1].get_ylim() == limits
    for one, shown in zip(axes, groups, strict=True):
        assert sum(len(line.get_xdata()) == len(steps) for line in one.lines) == 3, "two runs and their median"
        assert all(limits[0] <= y.min() and y.max() <= limits[1] for _, y in shown.runs["ood_val"])


def test_labels_of_any_length_stay_inside_a_figure_that_stands_alone():
    rows = [
        RunEffect("a very long name of a run" + "x" * 40, "", 0, 0.5, (0.2, 0.8), None),
        RunEffect("b", "", 1, 0.1, None, None),
    ]
    figure = drawn(lambda f: draw_run_effects(f, rows, "what is lost", "logits"), *run_effects_size(rows))
    figure.canvas.draw()
    labels = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert min(box.x0 for box in labels) >= 0
    assert figure.axes[0].get_window_extent().width > 0.3 * figure.bbox.width


def test_runs_of_several_groups_stand_under_the_name_of_theirs_which_is_said_once():
    rows = [
        RunEffect(f"seed {i}", head, g, 0.1 * i, None, None)
        for g, head in enumerate(("long name", "other"))
        for i in (1, 2)
    ]
    figure = drawn(lambda f: draw_run_effects(f, rows, "what is lost", "logits"), *run_effects_size(rows))
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["seed 1", "seed 2"] * 2
    assert list(axes.get_yticks()) == [1, 2, 4, 5]
    assert [(t.get_text(), t.get_position()[1]) for t in axes.texts if t.get_text() in ("long name", "other")] == [
        ("long name", 0), ("other", 3),
    ]  # fmt: skip
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert points == [(0.1, 1), (0.2, 2), (0.1, 4), (0.2, 5)]


def test_eight_groups_and_four_splits_are_told_apart_without_color():
    assert len({str(group_dash(i)) for i in range(8)}) == 8
    assert len({(group_color(i), str(group_dash(i))) for i in range(40)}) == 40
    dashes = {str(held_dash(i)) for i in range(4)}
    assert len(dashes) == 4
    assert str(PROBE_DASH) not in dashes
    key = curve_key(["ood_val", "id_val", "ood_test"])
    held = [entry.dash for entry in key if "held out" in entry.words]
    assert len(set(held)) == 3


def test_a_sample_of_a_line_is_longer_than_a_period_of_its_dashes():
    for entry in group_key([f"group {i}" for i in range(8)]):
        length = int(re.search(r"H(\d+)", str(inline_svg(entry)))[1])
        assert length > 2 * sum(entry.dash)
        assert entry.width * sum(entry.dash) < HANDLE * SMALL_TEXT


@pytest.mark.parametrize("width", [172.0, 358.0])
@pytest.mark.parametrize(
    "title",
    [
        "(a) decay budget 15, decay on the head",
        "(h) weight_decay=0.0001 init_scale=1 grad_filter=grokfast_ema",
        "(b) WWWWWWWW WWWWWWWWW WWWWWWWWWWWWWW WWWWWWWWWW WWWWWWWWW WWWWWWWWWWW WWWWWW",
        "x" * 90,
    ],
)
def test_titles_stay_over_their_panels(title, width):
    lines = title_lines(title, width)
    assert 1 <= len(lines) <= 2

    def draw(figure):
        for i, line in enumerate(lines):
            figure.text(0, 0.5 * i, line, fontsize=12, fontweight="bold")

    figure = drawn(draw, 900, 60)
    figure.canvas.draw()
    assert max(t.get_window_extent().width * 72 / figure.dpi for t in figure.texts) <= width + 1


def test_a_title_that_fits_is_left_as_it_is_and_a_longer_one_is_broken_between_words():
    assert title_lines("(a) standard", 172) == ["(a) standard"]
    assert title_lines("(q) decay budget 15, no correlation", 172) == ["(q) decay budget 15, no", "correlation"]
    assert title_lines("", 172) == []
