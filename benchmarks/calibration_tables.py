"""Generate the tables of docs/explanation/dissection.md from the shipped calibration.

Run: python benchmarks/calibration_tables.py (benchmarks/calibration.py also does this at its end). A test compares the
page with the file.
"""

from collections.abc import Sequence
from pathlib import Path

from grokscope.results.calibration import Calibration, Condition, shipped
from grokscope.results.dissection import RULES
from grokscope.vocabulary.text import plural

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "dissection.md"
BEGIN, END = "<!-- from calibration.json: {name} -->", "<!-- end -->"
LEVEL = 0.05

LABELS = {
    "none": "nothing",
    "correlated, none": "nothing, task and hospital correlated",
    "two hospitals, none": "nothing, two hospitals",
    "small hospital, none": "nothing, two hospitals, one with a fifth of the patients",
    "few groups, none": "nothing, six patients per hospital",
    "few groups, two hospitals, none": "nothing, two hospitals, eight patients per hospital",
    "few groups, five hospitals, none": "nothing, five hospitals, six patients per hospital",
    "wide, none": "nothing, 512 features of 1,000 examples",
    "unused": "shortcut that the head ignores",
    "correlated, unused": "the same, task and hospital correlated",
    "concentrated": "in 8 neurons",
    "correlated, used": "the same, task and hospital correlated",
    "smeared": "smeared over 64",
    "correlated, smeared, used": "the same, correlated",
    "one channel": "in one channel",
    "one channel, correlated": "the same, correlated",
    "two directions": "in two directions",
    "shared direction": "sharing a direction with the task (cosine .5)",
    "two hospitals": "two hospitals",
    "small hospital": "one hospital with a fifth of the patients",
    "unequal scales": "neurons of unequal scale",
    "few groups": "six patients per hospital",
    "wide": "512 features of 1,000 examples",
    "separation 0.5": "separation of 0.5 SD",
    "separation 1": "separation of 1 SD",
    "separation 1.5": "separation of 1.5 SD",
    "separation 2": "separation of 2 SD",
    "separation 3": "separation of 3 SD",
}
"""Labels of the conditions, in the order of the tables."""

FLAGS = {
    "decodable": "decodable",
    "reliance": "reliance",
    "m4_leace": "LEACE has an effect",
    "m4_mean_diff": "mean difference",
    "m5": "steering",
    "m6": "neurons",
    "used_cell": '"readable and used"',
}


def null_table(calibration: Calibration) -> str:
    """Rates where nothing is used: every detection except of an ignored shortcut is a false positive."""
    idle = {name: c for name, c in calibration.conditions.items() if c.nothing_used}
    header = ["planted", "plantings", *FLAGS.values()]
    rows = [
        [_label(name, c), str(c.seeds), *(_share(c.rates[flag][0]) for flag in FLAGS)] for name, c in _ordered(idle)
    ]
    return "\n\n".join([_table(header, rows), verdict(idle)])


def power_table(calibration: Calibration) -> str:
    """Rates where the shortcut is used: every detection is a true positive."""
    flags = ("decodable", "m4_leace", "m5", "m6")
    header = ["planted", *(FLAGS[flag] for flag in flags), FLAGS["used_cell"], "reported form"]
    rows = []
    for name, c in _ordered({n: c for n, c in calibration.conditions.items() if not c.nothing_used}):
        used = f"{round(c.rates['used_cell'][0] * c.seeds)} of {c.seeds}"
        rows.append([_label(name, c), *(_share(c.rates[flag][0]) for flag in flags), used, _forms(c)])
    return _table(header, rows)


def verdict(idle: dict[str, Condition]) -> str:
    """Cells significantly above the level: exact one-sided binomial tests, corrected over all cells (Holm)."""
    from scipy.stats import binomtest
    from statsmodels.stats.multitest import multipletests

    cells = [
        (name, flag, c.rates[flag][0], binomtest(round(c.rates[flag][0] * c.seeds), c.seeds, LEVEL, "greater").pvalue)
        for name, c in idle.items()
        for flag in FLAGS
        if flag != "decodable" or "unused" not in name  # an ignored shortcut can be read, and should be
    ]
    rejected = multipletests([p for *_, p in cells], alpha=LEVEL, method="holm")[0]
    above = [
        f"{FLAGS[f]} where there is {LABELS[n]} ({_share(s)})"
        for (n, f, s, _), r in zip(cells, rejected, strict=True)
        if r
    ]
    highest = max(cells, key=lambda cell: cell[2])
    if above:
        return (
            f"Above the level of {_share(LEVEL)} after Holm's correction over {len(cells)} cells: {'; '.join(above)}."
        )
    return (
        f"No cell of these {len(cells)} is above the level of {_share(LEVEL)} after Holm's correction; the "
        f"highest share is {_share(highest[2])} ({FLAGS[highest[1]]}, {LABELS[highest[0]]})."
    )


def _ordered(conditions: dict[str, Condition]) -> list[tuple[str, Condition]]:
    return [(name, conditions[name]) for name in LABELS if name in conditions]


def _label(name: str, condition: Condition) -> str:
    old = "" if condition.rules == RULES else f" (rules {condition.rules})"
    return LABELS[name] + old


def _share(share: float) -> str:
    """Two decimals without the leading zero."""
    return f"{share:.2f}".removeprefix("0")


def _forms(condition: Condition) -> str:
    named = {form: count for form, count in condition.form.items() if form != "cannot tell"}
    ordered = sorted(named.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{form} {count}" for form, count in ordered) or "none"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES = {"nothing is used": null_table, "it is used": power_table}


def with_tables(page: str, calibration: Calibration) -> str:
    """The page with its tables regenerated. Raises ValueError for a page without their markers."""
    for name, make in TABLES.items():
        begin = BEGIN.format(name=name)
        before, mark, rest = page.partition(begin)
        _, end, after = rest.partition(END)
        if not (mark and end):
            raise ValueError(f"the page lacks {begin} ... {END}")
        page = f"{before}{begin}\n{make(calibration)}\n{END}{after}"
    return page


def write_tables() -> None:
    PAGE.write_text(with_tables(PAGE.read_text(), shipped()))
    print(f"{plural(len(TABLES), 'table')} in {PAGE}")


if __name__ == "__main__":
    write_tables()
