"""Runs in, one page out: reads and judges every run, draws, lays out, and writes the page and its figures as files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.report.read.copies import Copy, is_import, set_aside
from grokscope.report.read.judged_run import Reading, read, splits_of
from grokscope.report.read.subjects import Subject, as_subjects, gather
from grokscope.report.read.subjects import groups as by_group
from grokscope.store.same_data import refuse_mixed

if TYPE_CHECKING:
    from grokscope.report.draw.axis import Scale, StepAxis
    from grokscope.report.read.bands import Band
    from grokscope.report.read.curves import Panel
    from grokscope.report.read.measured_columns import Diagnostic
    from grokscope.report.sections.blocks import Section
    from grokscope.store import Run
    from grokscope.trajectory import Criteria

FORMATS = ("png", "pdf", "svg")
MANY_RUNS = 60
"""Above this many runs the page lists each run in the table, without sparklines and folded-out parts."""
MANY_VERDICTS = 400
"""Above this many runs, or with several splits, verdicts are not tried under neighbouring thresholds: it takes thirty
times longer."""


@dataclass(frozen=True)
class Material:
    """Everything the page is made of, judged but not yet drawn."""

    title: str
    subjects: list[Subject]
    splits: list[str]
    """The first one speaks for the report."""
    readings: dict[str, list[Reading]]
    """split -> one reading per subject, in the subjects' order."""
    criteria: "Criteria"
    study: Mapping[str, Any] | None
    expectations: Sequence[Mapping[str, Any]] | None
    remake: str
    copies: Sequence[Copy] = ()
    """Imports and other folders of runs that are among the subjects: left out of everything, and named."""
    unchecked: Sequence[str] = ()
    """Names of runs that record no digests of their data, beside others of their task and seed."""

    @cached_property
    def panels(self) -> "list[Panel]":
        """Every group's curves with their bands; made once, drawn for the page and for files."""
        from grokscope.report.read.curves import make_panel

        return [make_panel(group, members, self.splits) for group, members in self.groups().items()]

    @cached_property
    def diagnostics(self) -> "list[tuple[Diagnostic, dict[str, Band]]]":
        """What was measured beside accuracy: each with group -> band."""
        from grokscope.report.draw.measured_columns import group_bands
        from grokscope.report.read.measured_columns import diagnostics_in

        groups = self.groups()
        columns = {column for s in self.subjects for column in s.metrics} - self.shown_elsewhere
        found = [(d, group_bands(d, groups)) for d in diagnostics_in(columns, self.splits)]
        return [(d, bands) for d, bands in found if bands]

    @cached_property
    def extras(self) -> "list[Section]":
        """Sections for what only some runs hold: unseen environments, groups of codes, dissections."""
        from grokscope.report.sections.optional import extras_of

        return extras_of(self)

    @property
    def shown_elsewhere(self) -> set[str]:
        """Columns that one of the `extras` shows."""
        return {column for section in self.extras for column in section.columns}

    def axis(self, scale: "Scale") -> "StepAxis":
        """The step axis that learning curves and losses share."""
        from grokscope.report.figures import curve_axis

        return curve_axis(self.lead, scale)

    def diagnostic_axis(self, scale: "Scale", loss: bool) -> "StepAxis":
        """The step axis of the other diagnostics, which are measured more rarely and seldom from the start."""
        from grokscope.report.draw.axis import step_axis

        bands = [band for d, found in self.diagnostics if not d.loss for band in found.values()]
        return self.axis(scale) if loss else step_axis(scale, [b.step for b in bands], self.axis(scale).unit)

    @property
    def lead(self) -> list[Reading]:
        return self.readings[self.splits[0]]

    @property
    def detailed(self) -> bool:
        return len(self.subjects) <= MANY_RUNS

    def groups(self, split: str | None = None) -> dict[str, list[Reading]]:
        found: dict[str, list[Reading]] = {name: [] for name in by_group(self.subjects)}
        for reading in self.readings[split or self.splits[0]]:
            found[reading.subject.group].append(reading)
        return found

    @property
    def anchors(self) -> dict[str, str]:
        """Subject name -> an id that is unique on the page and safe in it."""
        return {s.name: f"run-{i + 1}" for i, s in enumerate(self.subjects)}


def build_report(
    runs: "Iterable[Run | Subject]",
    out: str | Path,
    *,
    title: str | None = None,
    study: Mapping[str, Any] | None = None,
    expectations: Sequence[Mapping[str, Any]] | None = None,
    criteria: "Criteria | None" = None,
    split: str | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    remake: str | None = None,
) -> Path:
    """Write one self-contained HTML page, and its figures as files in ``<out's stem>_figures`` beside it.

    Args:
        runs: run folders (`grokscope.store.Run`), or `Subject`s for logs of other origin; failed, diverged and
            unfinished ones included, so that the counts agree with what was launched.
        study: content of a study file (``title``, ``claim``, ``reference``, ``cost``, ``expect``).
        expectations: rows with ``where``, ``what``, ``expected``, ``seen`` and ``ok`` (True, False, or None: cannot
            tell).
        split: the held-out split that speaks for the report; by default ood_val, else ood_test, else id_val, else the
            first.
        formats: of the figure files; any of png, pdf, svg; empty for none.
        remake: the command that makes this page again, as it is to be printed.

    Returns:
        The path of the page. Identical inputs give identical bytes.

    Raises:
        ValueError: an unknown format or split, or runs of one task and seed that learned from other data.
    """
    from grokscope.report.figures import write_figures
    from grokscope.report.page import render

    out = Path(out)
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"formats: no format {name!r}; known: {', '.join(FORMATS)}")
    material = collect(
        runs,
        title=title,
        study=study,
        expectations=expectations,
        criteria=criteria,
        split=split,
        remake=remake,
        out=out,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f"{out.stem}_figures")
    files = write_figures(material, folder, tuple(formats)) if formats else []
    page = render(material, [f"{folder.name}/{f.name}" for f in files])
    out.write_text(page, encoding="utf-8", newline="\n")
    return out


def collect(
    runs: "Iterable[Run | Subject]",
    *,
    title: str | None,
    study: Mapping[str, Any] | None,
    expectations: Sequence[Mapping[str, Any]] | None,
    criteria: "Criteria | None",
    split: str | None,
    remake: str | None,
    out: Path,
) -> Material:
    """Read and judge."""
    from grokscope.trajectory import Criteria

    given, copies = set_aside(as_subjects(runs))
    own = [c.copy for c in copies if not is_import(c.copy)]
    refuse_mixed((s.path or s.name, s.record) for s in [*given, *own])
    unchecked = refuse_mixed((s.path or s.name, s.record) for s in given)
    subjects = gather(given, by_name=study is None)  # a study's runs come in the order of its axes
    criteria = criteria or Criteria()
    splits = splits_of(subjects, split)
    readings = {s: read(subjects, s, criteria, neighbours=len(subjects) <= MANY_VERDICTS) for s in splits}
    name = title or (study or {}).get("title") or (study or {}).get("name") or _default_title(subjects)
    remake = remake or _remake(subjects, out)
    return Material(name, subjects, splits, readings, criteria, study, expectations, remake, copies, unchecked)


def _default_title(subjects: Sequence[Subject]) -> str:
    tasks = dict.fromkeys(str((s.config or {}).get("task", {}).get("name", "")) for s in subjects)
    named = [t for t in tasks if t]
    return f"Training on {', '.join(named)}" if named else "Training runs"


def _remake(subjects: Sequence[Subject], out: Path) -> str:
    places = list(dict.fromkeys(str(Path(s.path).parent) if s.path else s.name for s in subjects))
    shown = " ".join(places) if len(places) <= 4 else f"{' '.join(places[:4])} …"
    return f"grokscope report {shown} --out {out.name}"
