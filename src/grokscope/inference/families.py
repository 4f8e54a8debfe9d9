"""Families of tests: corrected together, kept as machine-readable rows."""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from math import isfinite
from pathlib import Path
from typing import Any

from grokscope.files import to_json, write_atomic
from grokscope.results.seed_tests import FamilyRow, Result, SeedTest


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values of one family (Holm 1979). Raises ValueError for a p that is missing or outside [0,
    1]."""
    from statsmodels.stats.multitest import multipletests

    if any(not (isinstance(p, float | int) and isfinite(p) and 0 <= p <= 1) for p in ps):
        raise ValueError(
            f"holm: every p must lie in [0, 1], got {list(ps)}; a test that gave none is not in the family"
        )
    adjusted: Any = multipletests(list(ps), method="holm")[1] if ps else []
    return [float(p) for p in adjusted]


class Registry:
    """Every test that was run, in order, as machine-readable rows; families are corrected together."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def add(self, result: Result, family: str, question: str) -> Result:
        """Record a test of `question` in `family`.

        Raises:
            ValueError: when the same question was already tested in this family by this test, or the family's
                sidedness is another one: p-values of different sidedness must not be corrected together.
        """
        if not family or not question:
            raise ValueError("registry: every test needs a family and a question")
        kin = [r for r in self.results if r.family == family]
        if any((r.question, r.test) == (question, result.test) for r in kin):
            raise ValueError(f"registry: {question!r} was already tested by {result.test} in family {family!r}")
        if kin and kin[0].alternative != result.alternative and "two-sided" in (kin[0].alternative, result.alternative):
            raise ValueError(f"registry: family {family!r} is {kin[0].alternative}, this test is {result.alternative}")
        named = replace(result, family=family, question=question)
        self.results.append(named)
        return named

    def rows(self) -> list[FamilyRow]:
        """One row for each test, in order, corrected within its family."""
        families = {r.family: [x for x in self.results if x.family == r.family] for r in self.results}
        adjusted = {family: iter(holm([r.p for r in members])) for family, members in families.items()}
        return [_row(r, next(adjusted[r.family]), len(families[r.family])) for r in self.results]

    def save(self, path: str | Path) -> None:
        """Write the rows as JSON Lines."""
        text = "".join(to_json(row.to_dict()) + "\n" for row in self.rows())
        write_atomic(Path(path), lambda file: file.write(text.encode()) and None)


def _row(result: Result, p_holm: float, family_size: int) -> FamilyRow:
    shared = {f.name: getattr(result, f.name) for f in fields(SeedTest)}
    return FamilyRow(**shared, p_holm=p_holm, family_size=family_size, enough=result.enough)


def load_registry(path: str | Path) -> list[FamilyRow]:
    """The rows that `Registry.save` wrote. Raises ValueError naming the file and line that cannot be read, and the
    field that does not fit."""
    rows = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            raw = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        rows.append(FamilyRow.from_dict(raw, f"{path}:{number}: $"))
    return rows
