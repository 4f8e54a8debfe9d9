"""Effective training-set sizes: curves, and the estimated sizes."""

from grokscope.figures.keys import Entry, group_key
from grokscope.report.draw.effective_size import draw_effective_size, figure_size
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Block, Bullets, Group, Panel, Plots, Row, Section, Table, Value, Words
from grokscope.results.effective_size import EffectiveSizes, SizeCell, SizeComparison
from grokscope.vocabulary.text import NONE, number

PLACE = 15.0


def section(material: Material) -> Section | None:
    """None where the study file asks for none."""
    raw = (material.study or {}).get("effective_sizes")
    sizes = None if raw is None else EffectiveSizes.from_dict(raw, "$.effective_sizes")
    if sizes is None or not sizes.comparisons:
        return None
    blocks: list[Block] = [
        Words(
            "The effective size is the training-set size at which the plain arm does as well as the other arm at its "
            "own size. The estimate is read off a monotone fit of the means, linear in log n. The interval consists "
            "of sizes that were run: below it, the plain arm is shown to be worse; above it, to be better. "
            "Nothing is extrapolated beyond these sizes."
        )
    ]
    for i, comparison in enumerate(sizes.comparisons):
        blocks += _blocks(comparison, i)
    return Section("effective-size", "Effective size", "Effective size of the training set", blocks)


def _blocks(c: SizeComparison, index: int) -> list[Block]:
    title = f"{c.quantity}: {c.other} against {c.plain}"
    blocks: list[Block] = [Words(title, "h3"), Bullets([f"{a.says}." for a in c.answers])]
    known = [a for a in c.answers if a.method]
    if known:
        blocks.append(_plots(c, index))
        blocks.append(Words(f"At each size: {', '.join(dict.fromkeys(a.method for a in known))}."))
    if c.plain_cells:
        rows = [_row(c.plain, cell) for cell in c.plain_cells] + [_row(c.other, cell) for cell in c.other_cells]
        heads = ["Arm", "Examples", "Mean", "Fit", "Values, by seed"]
        blocks.append(Table("Values by size", heads, [Group("", rows)], folded=True))
    if c.notes:
        blocks.append(Words(f"{'; '.join(c.notes)}.", "note" if known else "warning"))
    return blocks


def _plots(c: SizeComparison, index: int) -> Plots:
    key = group_key([f"{c.plain}: monotone fit and runs", f"{c.other}: means and runs"])
    key.append(Entry("read off the fit", "group-1", marker="D"))
    key.append(Entry("own size", "group-2", marker="o", filled=False))
    alt = f"{c.quantity} against the size of the training set: {'; '.join(a.says for a in c.answers)}."
    panel = Panel(lambda figure, _: draw_effective_size(figure, c), figure_size(c), alt, steps=False)
    return Plots(f"size{index or ''}", [panel], key, style="wide")


def _row(arm: str, cell: SizeCell) -> Row:
    fit = NONE if cell.fit is None else number(cell.fit)
    cells = [
        Value(f"{cell.n:,}", sort=cell.n),
        Value(number(cell.mean), sort=cell.mean),
        Value(fit, sort=cell.fit),
        Value(", ".join(map(number, cell.values)), number=False),
    ]
    return Row(arm, cells)
