"""Phase diagrams on the page: what each cell says, how it is marked, and what stands for whoever does not see it."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from matplotlib.text import Text

from grokscope.figures.canvas import drawn, to_svg
from grokscope.figures.style import DARK, LIGHT, PALETTE
from grokscope.report.draw.pareto import SIZE, draw_pareto, letters
from grokscope.report.draw.phase_map import cell_id, draw_map, map_size, roomy
from grokscope.report.layout import laid_out
from grokscope.report.read.phase import CODES, STRONGEST, TINT, map_rows, map_title, maps_of, sample_of, words_of
from grokscope.report.sections import phase as section_file
from grokscope.report.sections.blocks import Download, Plots, Table, Words
from grokscope.report.sections.phase import diagram_blocks, pareto_blocks, pareto_sentence, section, summary_of
from grokscope.results.phase import (
    CellLevel,
    CellTime,
    Pareto,
    ParetoPoint,
    Phase,
    PhaseAxis,
    PhaseCell,
    PhaseDiagram,
)
from grokscope.results.verdict import VERDICTS
from report.draw.test_report_figures import contrast


def time(median=None, at_least=950.0, reached=0, runs=3, low=950.0, high=950.0):
    return CellTime(
        runs=runs, reached=reached, median=median, at_least=at_least if median is None else median, low=low, high=high,
        high_open=reached < runs,
    )  # fmt: skip


def level(median=0.98, low=0.97, high=0.99):
    return CellLevel(runs=3, median=median, low=low, high=high)


def cell(x, y, verdicts, planned=3, failed=0, delay=None, best=None, panel=None, **more):
    judged = sum(verdicts.values())
    return PhaseCell(
        x=x, y=y, panel=panel, planned=planned, judged=judged, unjudged=0, failed=failed,
        waiting=planned - judged - failed, budgets=(1000,), verdicts=verdicts, T_fit=None, T_gen=delay, delay=delay,
        best=best, end=best, value=None, lacks_runs=planned > 0 and judged < planned, **more,
    )  # fmt: skip


def axis(key, labels):
    numbers = tuple(float(v) for v in labels)
    return PhaseAxis(key=f"regime.{key}", name=key, labels=labels, numbers=numbers, spacing="log")


CELLS = (
    cell("0.01", "0.1", {"memorized": 3}, delay=time(), best=level(0.15, 0.15, 0.15)),
    cell(
        "0.1", "0.1", {"grokked": 2, "memorized": 1}, delay=time(700.0, reached=2, low=600.0, high=950.0), best=level()
    ),
    cell(
        "0.01", "1", {"grokked": 2}, failed=1, delay=time(200.0, reached=2, runs=2, low=180.0, high=220.0), best=level()
    ),
    cell("0.1", "1", {}, planned=0),
)


def diagram(cells=CELLS, **more):
    base = PhaseDiagram(
        x=axis("lr", ("0.01", "0.1")), y=axis("weight_decay", ("0.1", "1")), panels=None, split="id_val", time="delay",
        value="", fewest=0, automatic=True, cells=cells, notes=("1 run failed or is damaged",),
    )  # fmt: skip
    return replace(base, **more)


def texts(figure):
    axes = figure.axes[0]
    return [t.get_text() for t in axes.texts]


def test_every_cell_says_its_verdict_and_how_many_runs_that_is():
    memorized, mixed, lacking, absent = words_of(diagram(), "verdicts", None)
    assert (memorized.main, memorized.sub, memorized.mark, memorized.role) == ("memorized", "3 of 3", "", "memorized")
    assert (mixed.main, mixed.sub) == ("grokked", "2 of 3\n1 memorized")
    assert mixed.shares == (("grokked", 2 / 3), ("memorized", 1 / 3))
    assert lacking.mark == "2 of 3 judged, 1 failed"
    assert (absent.main, absent.role, absent.strength) == ("not planned", "", 0.0)


def test_without_a_majority_a_cell_is_mixed_and_names_all():
    even = diagram((cell("0.01", "0.1", {"grokked": 1, "memorized": 1}, planned=2), *CELLS[1:]))
    words = words_of(even, "verdicts", None)[0]
    assert (words.main, words.role, words.sub) == ("mixed", "none", "1 grokked\n1 memorized")


def test_qualifiers_are_said_where_the_majority_shares_one():
    cyclic = diagram((cell("0.01", "0.1", {"unstable (cyclic)": 2, "grokked": 1}), *CELLS[1:]))
    assert words_of(cyclic, "verdicts", None)[0].sub == "cyclic, 2 of 3\n1 grokked"
    torn = diagram((cell("0.01", "0.1", {"unstable (cyclic)": 2, "unstable (lasting)": 1}), *CELLS[1:]))
    words = words_of(torn, "verdicts", None)[0]
    assert (words.main, words.sub) == ("unstable", "3 of 3")


def test_a_median_that_was_not_reached_is_hatched_and_a_lower_bound():
    censored, mixed, reached, absent = words_of(diagram(), "delay", None)
    assert (censored.main, censored.hatched, censored.role) == ("> 950", True, "")
    assert "0 of 3 by the end" in censored.sub
    assert (mixed.main, mixed.hatched) == ("700", False)
    assert "600 to > 950" in mixed.sub
    assert "2 of 3 by the end" in mixed.sub
    assert (reached.main, reached.sub) == ("200", "180 to 220")
    assert reached.strength < mixed.strength  # longer is stronger
    assert (absent.main, absent.hatched) == ("not planned", False)


def test_what_never_fitted_has_no_delay_and_is_not_hatched():
    unfitted = diagram((cell("0.01", "0.1", {"underfit": 3}), *CELLS[1:]))
    words = words_of(unfitted, "delay", None)[0]
    assert (words.main, words.hatched) == ("never fitted", False)
    partly = replace(CELLS[0], delay=time(200.0, reached=1, runs=1, low=200.0, high=200.0))
    assert "2 never fitted" in words_of(diagram((partly, *CELLS[1:])), "delay", None)[0].sub


def test_what_has_not_run_is_told_from_what_failed():
    waiting = words_of(diagram((cell("0.01", "0.1", {}), *CELLS[1:])), "verdicts", None)[0]
    assert (waiting.main, waiting.mark) == ("not run", "3 planned")
    failed = words_of(diagram((cell("0.01", "0.1", {}, failed=3), *CELLS[1:])), "verdicts", None)[0]
    assert (failed.main, failed.mark) == ("no verdict", "0 of 3 judged, 3 failed")


def test_the_figure_holds_the_words_and_marks_what_lacks_runs():
    figure = drawn(lambda f: draw_map(f, diagram(), "verdicts", None), *map_size(diagram()))
    words = texts(figure)
    assert {"memorized", "3 of 3", "grokked", "2 of 3\n1 memorized", "▲ 2 of 3 judged, 1 failed", "not planned"} <= set(
        words
    )
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.01", "0.1"]
    assert axes.get_xlabel() == "lr (log-spaced)"
    assert "weight_decay (log-spaced)" in words
    frames = {p.get_gid(): p for p in axes.patches if p.get_gid()}
    assert frames[cell_id("verdicts", 2)].get_linestyle() != frames[cell_id("verdicts", 0)].get_linestyle()
    delays = drawn(lambda f: draw_map(f, diagram(), "delay", None), *map_size(diagram()))
    assert sum(p.get_hatch() == "////" for p in delays.axes[0].patches) == 1


def test_the_first_value_of_both_axes_stands_at_the_lower_left():
    figure = drawn(lambda f: draw_map(f, diagram(), "verdicts", None), *map_size(diagram()))
    places = {t.get_text(): t.xy for t in figure.axes[0].texts if hasattr(t, "xy")}
    assert places["memorized"] == (0.5, 0.5)


def test_svg_of_a_map_is_drawn_in_palette_colors_and_speaks_under_the_pointer():
    said = {cell_id("delay", 0): "at least 950"}
    svg = to_svg(lambda f: draw_map(f, diagram(), "delay", None), *map_size(diagram()), "k", said)
    assert "at least 950" in svg
    assert not re.findall(r"(?:fill|stroke):#(?!000000|ffffff)[0-9a-f]{6}", svg)


def test_many_columns_carry_codes_that_the_key_explains():
    labels = tuple(f"{2.0**i:g}" for i in range(16))
    cells = tuple(cell(x, y, {"grokked": 3}) for y in ("0.1", "1") for x in labels)
    many = diagram(cells, x=axis("lr", labels))
    assert not roomy(many)
    figure = drawn(lambda f: draw_map(f, many, "verdicts", None), *map_size(many))
    assert texts(figure).count("G") == 32
    plots = next(b for b in diagram_blocks(many) if isinstance(b, Plots))
    assert [entry.words for entry in plots.key] == ["G: grokked", "–: never fitted, or no value"]
    assert not next(b for b in diagram_blocks(diagram()) if isinstance(b, Plots)).key


def test_every_verdict_has_a_code_of_its_own():
    assert set(CODES) == set(VERDICTS)
    assert len(set(CODES.values())) == len(CODES)


SHADES = [("group-1", STRONGEST), ("group-3", STRONGEST), ("none", TINT), *((v, TINT) for v in VERDICTS)]


@pytest.mark.parametrize("mode", [LIGHT, DARK])
@pytest.mark.parametrize(
    ("role", "opacity"),
    [("group-1", STRONGEST), ("group-3", STRONGEST), ("none", TINT), *((v, TINT) for v in VERDICTS)],
)
def test_words_are_legible_on_every_shade(role, opacity, mode):
    def channels(name):
        return [int(PALETTE[name][mode][i : i + 2], 16) for i in (1, 3, 5)]

    mixed = [round(opacity * a + (1 - opacity) * b) for a, b in zip(channels(role), channels("paper"), strict=True)]
    shade = "#" + "".join(f"{v:02x}" for v in mixed)
    assert contrast(PALETTE["ink"][mode], shade) >= 4.5


def test_the_sentence_counts_cells():
    assert summary_of(diagram()) == (
        "Of 3 cells of lr and weight_decay: grokked in 2; memorized in 1; seeds of 1 disagree; 1 lacks runs."
    )
    nothing = diagram(tuple(cell(c.x, c.y, {}) for c in CELLS))
    assert "none has a judged run" in summary_of(nothing)


def test_a_best_score_on_the_reported_split_is_stamped():
    assert map_title(diagram(split="ood_test"), "best") == "Best score on ood_test, oracle (chosen on ood_test)"
    assert "oracle" not in map_title(diagram(split="ood_test"), "end")


def test_panels_have_a_map_each_of_every_kind():
    panels = PhaseAxis(key="model.norm", name="norm", labels=("none", "batch"), numbers=None, spacing="categories")
    cells = tuple(replace(c, panel=label) for label in panels.labels for c in CELLS)
    paneled = diagram(cells, panels=panels)
    plots = [b for b in diagram_blocks(paneled) if isinstance(b, Plots)]
    assert [p.slug for p in plots] == maps_of(paneled)
    assert [panel.name for panel in plots[0].panels] == ["norm none", "norm batch"]
    assert "norm batch, lr 0.01, weight_decay 0.1: memorized" in plots[0].panels[1].alt


POINTS = (
    ParetoPoint(name="a", group="a", runs=3, at=200.0, censored=False, best=0.97, standing="front"),
    ParetoPoint(name="b", group="b", runs=3, at=400.0, censored=False, best=0.99, standing="front"),
    ParetoPoint(name="c", group="c", runs=3, at=1000.0, censored=True, best=0.995, standing="open"),
    ParetoPoint(name="d", group="d", runs=3, at=1000.0, censored=True, best=0.2, standing="dominated"),
)
PARETO = Pareto(split="id_val", groups=POINTS, runs=POINTS)


def test_the_pareto_set_is_named_with_its_numbers_and_what_is_open():
    assert pareto_sentence(PARETO) == (
        "In the Pareto set of T_gen and the best score on id_val: a (T_gen 200, best 0.970) and b (T_gen 400, best "
        "0.990). Undecided, with a better score than any that generalized by then: c."
    )
    nobody = replace(PARETO, groups=tuple(replace(p, censored=True, standing="open") for p in POINTS))
    assert pareto_sentence(nobody).startswith("The median T_gen of no regime was reached")
    assert letters(PARETO) == {"a": "a", "b": "b"}


def test_the_pareto_figure_marks_what_was_not_reached():
    figure = drawn(lambda f: draw_pareto(f, PARETO, "step"), *SIZE)
    axes = figure.axes[0]
    markers = [line.get_marker() for line in axes.lines]
    assert markers.count(">") == 2  # of groups and of runs, each kind at once
    assert [len(line.get_xdata()) for line in axes.lines if line.get_marker() == ">"] == [2, 2]
    assert {"a  a", "b  b"} <= set(texts(figure))
    low, high = axes.get_xlim()
    assert low < 200
    assert high > 1000


def test_points_at_step_zero_and_alone_can_be_drawn():
    one = replace(POINTS[0], at=0.0)
    drawn(lambda f: draw_pareto(f, replace(PARETO, groups=(one,), runs=(one,)), "step"), *SIZE)


def material(phase, many=False):
    return SimpleNamespace(study={"phase": phase.to_dict()}, lead=[], many=many)


def test_the_section_carries_figures_tables_and_data():
    phase = Phase(schema=1, study="s", diagram=diagram(), reason="", pareto=PARETO)
    made = section(material(phase))
    assert made is not None
    assert [d.name for d in made.blocks if isinstance(d, Download)] == [
        "phase_cells.csv",
        "phase_pareto.csv",
        "phase.json",
    ]
    assert [t.label for t in made.blocks if isinstance(t, Table)] == ["Cells", "Regimes"]
    laid_out(made)
    assert not any(panel.alt == "" for b in made.blocks if isinstance(b, Plots) for panel in b.panels)


def test_no_study_and_nothing_to_show_make_no_section():
    assert section(SimpleNamespace(study=None, lead=[])) is None
    nothing = Phase(schema=1, study="s", diagram=None, reason="1 setting varies", pareto=None)
    assert section(material(nothing)) is None
    alone = section(material(replace(nothing, pareto=PARETO)))
    assert alone is not None
    assert alone.title == "Time to generalization against best score"
    assert section_file.PLACE > 0
    assert any(isinstance(b, Words) for b in pareto_blocks(PARETO, "step"))


def test_the_data_of_a_map_are_its_own_cells_and_numbers():
    rows = map_rows(diagram(), "delay", None)
    assert [row["regime.lr"] for row in rows] == ["0.01", "0.1", "0.01", "0.1"]
    assert [row["delay median"] for row in rows] == [None, 700.0, 200.0, None]
    assert rows[0]["delay at_least"] == 950.0
    assert not any(name.startswith(("best", "end", "T_gen")) for name in rows[0])
    assert (
        sample_of(diagram(), "delay", None) == "2 to 3 judged runs in each of 3 cells; median with the range over runs"
    )


def test_many_classes_fit_beneath_the_word_and_none_is_lost_in_the_description():
    five = {"grokked": 2, "rising": 1, "memorized": 1, "underfit": 1, "diverged": 1}
    words = words_of(diagram((cell("0.01", "0.1", five, planned=6), *CELLS[1:])), "verdicts", None)[0]
    assert words.sub == "2 grokked\n1 rising\n3 other verdicts"
    assert all(name in words.said for name in five)


def test_narrow_cells_have_short_codes_and_a_key_to_every_sign():
    labels = tuple(f"{2.0**i:g}" for i in range(16))
    cells = [cell(x, "1", {"grokked": 3}, delay=time(at_least=20000.0), best=level(0.5, 0.5, 0.5)) for x in labels]
    cells[1] = cell(labels[1], "1", {}, planned=0)
    cells[2] = cell(labels[2], "1", {})
    cells[3] = cell(labels[3], "1", {}, failed=3)
    cells[4] = cell(labels[4], "1", {"grokked": 1, "memorized": 1}, planned=2)
    many = diagram(tuple(cells), x=axis("lr", labels), y=axis("weight_decay", ("1",)))
    assert [w.code for w in words_of(many, "verdicts", None)][:5] == ["G", "·", "…", "?", "≠"]
    assert [w.code for w in words_of(many, "delay", None)][:2] == [">20k", "·"]
    assert words_of(many, "best", None)[0].code == "0.50"
    plots = next(b for b in diagram_blocks(many) if isinstance(b, Plots))
    said = [entry.words for entry in plots.key]
    assert said[:2] == ["G: grokked", "M: memorized"]
    assert {"≠: no majority", "·: not planned", "…: not run", "?: none judged"} <= set(said)


def test_a_page_of_many_runs_names_the_files_in_place_of_carrying_them():
    phase = Phase(schema=1, study="s", diagram=diagram(), reason="", pareto=PARETO)
    made = section(material(phase, many=True))
    assert made is not None
    assert not any(isinstance(b, Download) for b in made.blocks)
    assert any(isinstance(b, Words) and "_phase.json" in str(b.text) for b in made.blocks)


def test_thousands_of_runs_are_drawn_as_one_picture():
    runs = tuple(replace(POINTS[3], name=f"r{i}", at=1.0 + i, best=i / 5000) for i in range(5000))
    svg = to_svg(lambda f: draw_pareto(f, replace(PARETO, runs=runs), "step"), *SIZE, "k")
    assert len(svg) < 200_000
    assert "data:image/png" in svg


def test_times_on_a_map_say_their_unit():
    assert map_title(diagram(), "delay", "epoch") == "Median delay, T_gen − T_fit, in epochs"
    assert map_title(diagram(time="T_gen"), "T_gen") == "Median T_gen, in steps"
    plots = next(b for b in diagram_blocks(diagram(), "epoch") if isinstance(b, Plots))
    assert [p.name for p in plots.panels if "delay" in p.name] == ["Median delay, T_gen − T_fit, in epochs"]


def crowd(n):
    """Regimes that reached it at much the same time, and as many that did not."""
    reached = [
        replace(POINTS[0], name=f"reached number {i}", at=200.0 + 3 * i, best=0.9 + 0.001 * i, standing="dominated")
        for i in range(n)
    ]
    waiting = [
        replace(
            POINTS[0], name=f"waiting number {i}", at=1000.0, best=0.3 + 0.02 * i, censored=True, standing="dominated"
        )
        for i in range(n)
    ]
    return replace(PARETO, groups=(*reached, *waiting), runs=())


@pytest.mark.parametrize("n", [3, 12, 40])
def test_regimes_of_the_pareto_figure_are_named_without_covering_each_other(n):
    figure = drawn(lambda f: draw_pareto(f, crowd(n), "step"), *SIZE)
    figure.canvas.draw()
    (axes,) = figure.axes
    names = [t for t in axes.texts if "number" in t.get_text() or "more" in t.get_text()]
    boxes = [Text.get_window_extent(t) for t in names]  # of an annotation without its line
    overlapping = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b) and a.y0 < b.y1 - 1.5 < a.y1]
    assert not overlapping
    assert all(box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height for box in boxes)
    waiting = [t.get_text() for t in names if t.get_text().startswith("waiting")]
    if n <= 12:
        assert len(waiting) == n, "there is room for all of them"
    else:
        assert f"and {n - len(waiting)} more, in the table" in texts(figure)
    assert all(t.get_fontsize() >= 11 for t in names)


def test_a_member_of_the_pareto_set_is_named_at_least_by_its_letter():
    near = [
        replace(
            POINTS[0],
            name=f"a regime whose name is long enough to be in the way {i}",
            at=200.0 + i,
            best=0.9 + 0.001 * i,
        )
        for i in range(4)
    ]
    crowded = replace(crowd(12), groups=(*near, *crowd(12).groups))
    figure = drawn(lambda f: draw_pareto(f, crowded, "step"), *SIZE)
    lettered = letters(crowded)
    assert len(lettered) == 4
    said = texts(figure)
    assert all(any(text == letter or text.startswith(f"{letter}  ") for text in said) for letter in lettered.values())
