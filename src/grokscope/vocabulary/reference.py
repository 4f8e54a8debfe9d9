"""docs/reference/columns.md, made of the vocabulary: ``python -m grokscope.vocabulary.reference FILE`` writes it."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from grokscope.vocabulary.column_table import PARAMETER_GROUPS
from grokscope.vocabulary.columns import table
from grokscope.vocabulary.splits import SPLITS, Split

HEAD = """# Columns and splits

Made of `grokscope.vocabulary` by `make reference`; do not edit it by hand. `grokscope list column` prints the same.

A row of `results/metrics.jsonl` is one evaluation. What is not finite is `null`. Any other number may stand beside
these columns ([record your own loop](../how-to/own-loop.md)): a column that is not described here reaches the page
under "Other columns".
"""

PLACEHOLDERS = """`{{split}}` is a split, `{{held_out}}` one other than train; `{{env}}`, `{{cls}}` and `{{group}}` are
numbers of an environment, a class and a group; `{{part}}` is `env0`, `class0` or `env0_class0`; `{{weights}}` is one of
{groups}; `{{tensor}}` names a parameter. "Panel" marks what has a panel of its own on the page; the rest is drawn
elsewhere, or stands in tables and in the CSV.
"""


def page() -> str:
    """The whole of the Markdown file."""
    rows = (
        [f"`{c.pattern}`", c.meaning, c.unit, c.scale, c.writer, "yes" if c.panel else ""] for c in table(plugins=False)
    )
    groups = ", ".join(PARAMETER_GROUPS)
    return "\n".join(
        [
            HEAD,
            "## Splits\n",
            *_table(("split", "holds", "environments", "may choose", "read as, in other logs"), map(_split, SPLITS)),
            "\n## Columns\n",
            PLACEHOLDERS.format(groups=groups),
            *_table(("column", "meaning", "unit", "axis", "written at", "panel"), rows),
            "",
        ]
    )


def _split(split: Split) -> list[str]:
    chooses = "yes" if split.selects else "no: an oracle, and stamped so"
    where = "unseen" if split.unseen else "of training"
    return [f"`{split.name}`", split.meaning, where, chooses, ", ".join(f"`{a}`" for a in split.aliases)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8", newline="\n")
