"""The report in a real browser, opened from disk: nothing breaks, nothing overflows, dark and paper work."""

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grokscope.report import build_report
from grokscope.store import find_runs
from report.synthetic import GROKKED, MEMORIZED, write_run

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no headless Chromium on this machine (Debian: apt install chromium)"),
]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--hide-scrollbars",
]  # fmt: skip


def browse(tmp_path: Path, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *options, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def console(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def probed(html: str, script: str) -> str:
    """The page with a script that writes what it finds into the root element; its policy would forbid it."""
    free = re.sub(r"<meta http-equiv[^>]+>", "", html)
    return free.replace("</body>", f"<script>{script}</script></body>")


WIDTHS = """
const wide = [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, nav, svg, .skip')
  && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className);
document.documentElement.dataset.found = [innerWidth, document.documentElement.scrollWidth, wide.join(' ')].join('|');
"""


def test_opens_from_disk_without_a_word_in_the_console(tmp_path, page):
    done = browse(tmp_path, page.path, "--enable-logging=stderr", "--dump-dom")
    assert console(done) == []
    assert "3 of 12 runs grokked" in done.stdout


def test_a_loaded_resource_would_be_noticed(tmp_path, page):
    bad = tmp_path / "bad.html"
    bad.write_text(page.html.replace("</main>", '<img src="http://127.0.0.1:9/x.png" alt="x"></main>'))
    done = browse(tmp_path, bad, "--enable-logging=stderr", "--dump-dom")
    assert any("Content Security Policy" in line for line in console(done))


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_body_never_scrolls_sideways(tmp_path, page, width):
    frame = tmp_path / "frame.html"
    inner = tmp_path / "page.html"
    inner.write_text(probed(page.html, WIDTHS + "parent.postMessage(document.documentElement.dataset.found, '*');"))
    frame.write_text(
        f'<iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe>'
        "<script>onmessage = e => document.documentElement.dataset.found = e.data</script>"
    )  # a frame can be narrower than any browser window
    found = browse(tmp_path, frame, "--dump-dom", "--virtual-time-budget=5000").stdout
    inner_width, scroll_width, wide = re.search(r'data-found="([^"]*)"', found)[1].split("|")
    assert int(inner_width) == width
    assert int(scroll_width) <= width
    assert wide == ""


def shot(tmp_path: Path, file: Path, *options: str) -> np.ndarray:
    target = tmp_path / "shot.png"
    browse(tmp_path, file, f"--screenshot={target}", "--window-size=1000,2400", *options)
    with Image.open(target) as image:
        return np.asarray(image.convert("L"), dtype=float)


def test_light_and_dark_are_both_legible(tmp_path, page):
    light = shot(tmp_path, page.path)
    dark = shot(tmp_path, page.path, "--blink-settings=preferredColorScheme=0")
    assert np.median(light) > 240
    assert np.median(dark) < 40
    ink = ((light < 110).mean(), (dark > 150).mean())
    assert min(ink) > 0.005, "text and lines stand out of the ground"


def test_the_step_axis_can_be_switched(tmp_path, page):
    script = """
    const all = [...document.querySelectorAll('.log, .linear')];
    const seen = () => all.filter(e => e.offsetHeight).map(e => e.className);
    const before = seen(); document.getElementById('axis-linear').click(); const after = seen();
    document.documentElement.dataset.found = [new Set(before).size, before[0], new Set(after).size, after[0]].join('|');
    """
    file = tmp_path / "page.html"
    file.write_text(probed(page.html, script))
    assert 'data-found="1|log|1|linear"' in browse(tmp_path, file, "--dump-dom").stdout


def test_prints_on_paper(tmp_path, page):
    target = tmp_path / "page.pdf"
    browse(tmp_path, page.path, f"--print-to-pdf={target}", "--no-pdf-header-footer")
    data = target.read_bytes()
    assert data.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page[^s]", data))
    assert 3 <= pages <= 14


def told(tmp_path: Path, html: str, script: str, width: int = 1280, height: int = 900) -> str:
    """What a script in the page finds, in a frame of this size; it sets `found`."""
    inner, frame = tmp_path / "inner.html", tmp_path / "outer.html"
    inner.write_text(probed(html, f"{{let found = ''; {script}; parent.postMessage(String(found), '*');}}"))
    frame.write_text(
        f'<iframe src="inner.html" style="width:{width}px;height:{height}px;border:0"></iframe>'
        "<script>onmessage = e => document.documentElement.dataset.found = e.data</script>"
    )
    dom = browse(tmp_path, frame, "--dump-dom", "--virtual-time-budget=5000").stdout
    return unescape(re.search(r'data-found="([^"]*)"', dom)[1])


ROWS = "[...document.querySelectorAll('table.runs tbody tr:not(.group)')].filter(r => r.offsetHeight)"


def test_the_table_of_runs_sorts_over_all_groups_and_goes_back(tmp_path, page):
    script = f"""
    const button = [...document.querySelectorAll('table.runs thead button')].find(b => b.textContent === 'Tgen');
    const order = () => {ROWS}.map(r => r.id).join(' ');
    const steps = () => {ROWS}.map(r => r.cells[5]?.dataset.sort || 'none').join(' ');
    const first = order(); button.click(); const up = steps(); button.click(); const down = steps(); button.click();
    found = [up, down, first === order()].join('|')
    """
    up, down, back = told(tmp_path, page.html, script).split("|")
    *rising, last = up.split()
    *falling, last_again = down.split()
    numbers = [float(n) for n in rising]
    assert len(numbers) == 11
    assert numbers == sorted(numbers)
    assert [float(n) for n in falling] == numbers[::-1]
    assert (last, last_again) == ("none", "none"), "a run without numbers comes last in either order"
    assert back == "true"


def test_the_table_of_runs_is_filtered_by_words(tmp_path, page):
    script = f"""
    const field = document.querySelector('.filter input');
    const seen = words => {{ field.value = words; field.dispatchEvent(new Event('input')); return {ROWS}.length; }};
    found = [seen('memorized'), seen('memorized, wd 0.1'), seen('no such run'), seen('')].join(' ')
    """
    assert told(tmp_path, page.html, script) == "4 1 0 12"


def test_values_stand_under_the_pointer(tmp_path, page):
    script = """
    const figure = document.querySelector('figure[data-hover]');
    const box = figure.querySelector('.log svg').getBoundingClientRect();
    const points = JSON.parse(figure.dataset.hover).curves.find(c => c[0] === 'id_val');
    const i = points[1].length - 3;
    figure.dispatchEvent(new PointerEvent('pointermove',
      {clientX: box.left + points[3][i] * box.width, clientY: box.top + 40, bubbles: true}));
    const shown = document.querySelector('.tip').textContent;
    figure.dispatchEvent(new PointerEvent('pointerleave'));
    found = [points[1][i], points[2][i], shown, document.querySelector('.tip').hidden].join('|')
    """
    step, value, shown, gone = told(tmp_path, page.html, script).split("|")
    assert f"id_val {float(value):g} at step {int(step):,}" in shown
    assert "train 1 at step" in shown
    assert gone == "true"


COUNTS = f"found = [{ROWS}.length, document.querySelectorAll('svg.plot').length, " \
         "document.querySelectorAll('.spark').length, document.querySelectorAll('details').length, " \
         "document.querySelectorAll('.filter, thead button').length].join(' ')"  # fmt: skip


def test_the_page_is_complete_without_its_script(tmp_path, page):
    without = re.sub(r"<script>.*?</script>", "", page.html, flags=re.DOTALL)
    *whole, controls = told(tmp_path, page.html, COUNTS).split()
    *plain, none = told(tmp_path, without, COUNTS).split()
    assert plain == whole
    assert (int(controls) > 8, none) == (True, "0")


def test_a_phones_first_screen_shows_what_was_found(tmp_path, page):
    script = """
    const ends = ['.answer', '.tally', '.matrix'].map(q => document.querySelector(q).getBoundingClientRect().bottom);
    found = Math.max(...ends)
    """
    assert float(told(tmp_path, page.html, script, 390, 844)) < 844


@pytest.mark.parametrize(("width", "told_so"), [(390, "true"), (1280, "false")])
def test_a_table_says_that_it_scrolls_where_it_does(tmp_path, page, width, told_so):
    script = """
    const table = document.querySelector('table.runs').closest('.scroll');
    const note = [...document.querySelectorAll('.sideways')].find(
      n => n.compareDocumentPosition(table) & Node.DOCUMENT_POSITION_FOLLOWING
        && n.parentElement === table.parentElement && n.nextElementSibling.matches('.filter, .scroll'));
    found = [note.offsetHeight > 0, table.scrollWidth > table.clientWidth].join(' ')
    """
    assert told(tmp_path, page.html, script, width) == f"{told_so} {told_so}"


SIZES = """
const seen = [...document.querySelectorAll(WHERE)].filter(e => e.textContent.trim() && e.getClientRects().length);
const px = e => parseFloat(getComputedStyle(e).fontSize)
  * (e.ownerSVGElement ? e.ownerSVGElement.getBoundingClientRect().width / e.ownerSVGElement.viewBox.baseVal.width : 1);
const least = seen.reduce((a, b) => px(a) < px(b) ? a : b);
found = [px(least).toFixed(2), least.textContent.slice(0, 40)].join('|')
"""


def test_on_a_phone_no_text_is_below_fourteen_pixels_and_none_in_a_figure_below_eleven(tmp_path, page):
    where = "'p, td, th, dd, dt, li, a, summary, label, span, h1, h2, h3, button, .num'"
    opened = page.html.replace("<details", "<details open")
    size, words = told(tmp_path, opened, SIZES.replace("WHERE", where), 390, 844).split("|")
    assert float(size) >= 14, words
    size, words = told(tmp_path, opened, SIZES.replace("WHERE", "'svg.plot text'"), 390, 844).split("|")
    assert float(size) >= 10.9, words


def test_on_a_phone_what_was_found_stands_before_what_was_asked(tmp_path, page):
    script = """
    const top = q => document.querySelector(q).getBoundingClientRect().top;
    found = [top('h1'), top('dd.found'), top('.matrix'), top('dd.asked'), top('nav')].map(Math.round).join(' ')
    """
    tops = [int(one) for one in told(tmp_path, page.html, script, 390, 844).split()]
    assert tops == sorted(tops)
    wide = [int(one) for one in told(tmp_path, page.html, script, 1280, 900).split()]
    assert wide[3] < wide[1] < wide[2], "on a wide screen the question comes first"


def test_on_a_phone_what_is_touched_is_large_enough(tmp_path, page):
    script = """
    const touched = [...document.querySelectorAll('.tile, nav a, summary, .switch label, .filter input, thead button')];
    const small = touched.filter(e => e.getClientRects().length).map(e => [e, e.getBoundingClientRect()])
      .filter(([e, box]) => box.height < 36).map(([e, box]) => `${e.tagName}.${e.className} ${box.height}`);
    found = small.join(', ') || 'none'
    """
    assert told(tmp_path, page.html, script, 390, 844) == "none"


def test_panels_of_one_row_begin_at_one_height_whatever_their_captions_take(tmp_path, page):
    script = """
    const rows = {};
    for (const figure of document.querySelectorAll('#curves .plots figure')) {
      const drawing = figure.querySelector('.drawing').getBoundingClientRect();
      (rows[Math.round(figure.getBoundingClientRect().top)] ||= new Set()).add(Math.round(drawing.top));
    }
    found = [Object.keys(rows).length, Math.max(...Object.values(rows).map(one => one.size))].join(' ')
    """
    long = page.html.replace('<span class="name">wd 0.1</span>', f'<span class="name">{"a long name " * 12}</span>')
    assert long != page.html
    rows, heights = told(tmp_path, long, script).split()
    assert int(rows) >= 1
    assert heights == "1"


WIDE_FIGURE = """
const wide = document.querySelector('.drawing.scroll');
const note = wide && wide.previousElementSibling;
found = wide ? [wide.scrollWidth > wide.clientWidth, note.offsetHeight > 0,
  document.documentElement.scrollWidth <= innerWidth].join(' ') : 'none'
"""


@pytest.mark.parametrize(("width", "expected"), [(390, "true true true"), (1280, "false false true")])
def test_a_figure_wider_than_a_phone_scrolls_in_its_box_and_says_so(tmp_path, many, width, expected):
    assert told(tmp_path, many, WIDE_FIGURE, width, 844) == expected


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A page of more groups than have panels: a map of all of them stands above the small panels."""
    root = tmp_path_factory.mktemp("many")
    for group in range(14):
        write_run(root / "runs", f"arm {group}", 0, GROKKED if group % 2 else MEMORIZED, weight_decay=0.1 * group)
    return build_report(find_runs(root / "runs"), root / "r.html", formats=()).read_text(encoding="utf-8")


def test_a_page_of_one_run_does_not_scroll_sideways_on_a_phone(tmp_path):
    write_run(tmp_path / "runs", "wd 0.1", 0, GROKKED)
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert told(tmp_path, html, "found = document.scrollingElement.scrollWidth <= innerWidth", 390, 844) == "true"


def test_on_paper_no_figure_is_cut(tmp_path, page):
    """Each drawing of the printed page lies on one sheet: no figure breaks, and none is wider than the sheet."""
    script = """
    const figures = [...document.querySelectorAll('figure')];
    const breaks = figures.map(f => getComputedStyle(f).breakInside);
    const drawings = [...document.querySelectorAll('svg.plot')];
    const wide = drawings.filter(svg => svg.getBoundingClientRect().right > innerWidth + 1);
    found = [new Set(breaks).size, breaks[0], wide.length].join(' ')
    """
    printed = page.html.replace("@media print{", "@media all{")
    assert printed != page.html
    assert told(tmp_path, printed, script, 720, 1000) == "1 avoid 0"
