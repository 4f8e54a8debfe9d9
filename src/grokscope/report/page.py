"""The page: every section's text, figures and tables, handed to one template."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from grokscope.report import figures
from grokscope.report.draw.icons import pictogram, sparkline
from grokscope.report.draw.keys import curve_legend, group_legend, survival_legend
from grokscope.report.draw.measured_columns import LINES
from grokscope.report.draw.style import DARK, FONT_STACK, LIGHT, css_variables
from grokscope.report.draw.svg import plain
from grokscope.report.panels import counts, curve_section, diagnostic_panels, survival_panels
from grokscope.report.read import survival
from grokscope.report.read.copies import copies_note, is_import
from grokscope.report.read.glossary import VERDICTS, word
from grokscope.report.read.judged_run import STATE_WORDS, Reading
from grokscope.report.read.run_details import command, details, group_differences, table_csv
from grokscope.report.read.summary import headline, reconciliation, stands, summarize, versions, when
from grokscope.report.read.tables import event_rows, expectation_rows, expectation_verdict, flat_records, verdict_rows
from grokscope.report.sections.blocks import laid_out
from grokscope.report.sections.texts import (
    LIMITS,
    TERMS,
    curve_note,
    events_intro,
    times_intro,
    times_note,
    unchecked_note,
    verdict_intro,
    verdict_note,
)
from grokscope.trajectory.selection import ORACLE, REPORTED
from grokscope.vocabulary.text import listed, plural, steps

SECTIONS = (
    ("claim", "Claim"),
    ("curves", "Curves"),
    ("verdicts", "Verdicts"),
    ("times", "When"),
    ("events", "Events"),
    ("extras", ""),
    ("diagnostics", "What else moved"),
    ("runs", "Runs"),
    ("words", "Words"),
    ("limits", "Limits"),
    ("cite", "Cite"),
)
TILES = 24
"""Up to this many runs in a group are shown as tiles."""

if TYPE_CHECKING:
    from jinja2 import Environment

    from grokscope.report.build import Material


def render(material: "Material", files: Sequence[str]) -> str:
    """The whole page as text."""
    readings, groups = material.lead, material.groups()
    summary = summarize(readings)
    rows = expectation_rows(material.expectations or [])
    found = figures.arms_of(groups)
    context: dict[str, Any] = {
        "version": version(),
        "title": plain(material.title),
        "css": Markup(_css()),
        "answer": headline(summary, int((material.study or {}).get("planned", 0))),
        "standing": (material.study or {}).get("standing") or stands(groups),
        "reconciliation": reconciliation(summary),
        "facts": _facts(material),
        "tally": _tally(material),
        "matrix": _matrix(material, groups),
        "study": material.study,
        "expectations": rows,
        "expectation": dict(zip(("role", "sentence"), expectation_verdict(rows), strict=True)) if rows else None,
        "curves": {
            **curve_section(material),
            "legend": curve_legend(material.splits, any("probe" in p.bands for p in material.panels)),
            "note": curve_note(material),
        },
        "verdicts": _verdicts(material),
        "times": _times(material, found),
        "events": _events(material, groups),
        "extras": [laid_out(section) for section in material.extras],
        "diagnostics": _diagnostics(material, groups),
        "runs": _runs(material, groups),
        "detailed": material.detailed,
        "criteria": [(k, "none" if v is None else f"{v:g}") for k, v in material.criteria.to_dict().items()],
        "glossary": [(pictogram(w.name), w) for w in VERDICTS.values()],
        "terms": TERMS,
        "limits": LIMITS,
        "cite": f"grokscope {version()}. Report “{plain(material.title)}”, {plural(len(readings), 'run')}.",
        "remake": material.remake,
        "files": files,
    }
    context["sections"] = _sections(context)
    return _environment().get_template("report.html.j2").render(context) + "\n"


@cache
def version() -> str:
    try:
        return installed("grokscope")
    except PackageNotFoundError:
        return "(not installed)"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("grokscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    made.filters["role"] = lambda outcome: word(outcome).role
    made.filters["icon"] = pictogram
    return made


@cache
def _css() -> str:
    roles = [w.role for w in VERDICTS.values()] + ["none"]
    light, dark = Markup(css_variables(LIGHT)), Markup(css_variables(DARK))
    template = _environment().get_template("report.css")
    return template.render(light=light, dark=dark, fonts=Markup(FONT_STACK), roles=roles)


def _sections(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    present = {
        "claim": bool(context["study"] or context["expectations"]),
        "events": bool(context["events"]["rows"] or context["events"]["unseen"]),
        "diagnostics": bool(context["diagnostics"]["panels"]),
    }
    extras = [(part["key"], part["nav"]) for part in context["extras"]]
    places = [extras if key == "extras" else [(key, name)] for key, name in SECTIONS if present.get(key, True)]
    return [place for part in places for place in part]


def _facts(material: "Material") -> list[str]:
    facts = [f"judged on {material.splits[0]}"]
    if trained := when(material.lead):
        facts.append(f"trained {trained}")
    if material.copies:
        imported = "imported " if all(is_import(c.copy) for c in material.copies) else ""
        facts.append(f"{plural(len(material.copies), f'{imported}copy', f'{imported}copies')} not counted")
    made = versions(material.lead)
    return [*facts, *([f"with {listed(made)}"] if made else []), f"report by grokscope {version()}"]


def _tally(material: "Material") -> list[dict[str, Any]]:
    """Outcomes with their counts: the key to the matrix, and its sum."""
    summary = summarize(material.lead)
    judged = [
        {"name": name, "count": len(r), "role": word(name).role, "icon": pictogram(name)}
        for name, r in summary.outcomes.items()
    ]
    waiting = [
        {"name": STATE_WORDS.get(s, s), "count": len(r), "role": "none", "icon": ""} for s, r in summary.open.items()
    ]
    return [*judged, *waiting]


def _matrix(material: "Material", groups: Mapping[str, list[Reading]]) -> list[dict[str, Any]]:
    """Group by seed: a tile for each run with its outcome's pictogram. Empty when there are too many to see."""
    if len(groups) > figures.PANELS or max(map(len, groups.values()), default=0) > TILES:
        return []
    return [
        {"name": plain(name), "tiles": [_tile(r, material.anchors[r.subject.name]) for r in members]}
        for name, members in groups.items()
    ]


def _tile(reading: Reading, anchor: str) -> dict[str, Any]:
    kind = "final" if reading.final_verdict else "so-far" if reading.provisional else "none"
    more = f", {STATE_WORDS.get(reading.subject.state, reading.subject.state)}" if reading.provisional else ""
    return {
        "anchor": anchor, "kind": kind, "role": word(reading.outcome).role, "icon": pictogram(reading.outcome),
        "title": f"{reading.subject.group}, {reading.subject.label}: {reading.outcome}{more}",
    }  # fmt: skip


def _verdicts(material: "Material") -> dict[str, Any]:
    tables = [_table(material, split) for split in material.splits]
    every = [row for table in tables for group in table["groups"] for row in group["rows"]]
    text = base64.b64encode(table_csv(flat_records(every)).encode()).decode()
    return {
        "tables": tables,
        "intro": verdict_intro(material.splits[0]),
        "note": verdict_note(),
        "download": {"name": "verdicts.csv", "href": f"data:text/csv;base64,{text}"} if every else None,
    }  # fmt: skip


def _table(material: "Material", split: str) -> dict[str, Any]:
    anchors, axis = material.anchors, figures.curve_axis(material.lead, "log")
    groups = [
        {"name": plain(name), "counts": counts(members), "rows": verdict_rows(members, anchors)}
        for name, members in material.groups(split).items()
    ]
    readings = material.readings[split]
    low = -0.5 if any(r.kind == "regression" for r in readings) else 0.0
    sparks = {anchors[r.subject.name]: sparkline(r, axis, (low, 1.0)) for r in readings} if material.detailed else {}
    first = split == material.splits[0]
    return {
        "split": split,
        "key": figures.slug(split),
        "first": first,
        "groups": groups,
        "sparks": sparks,
        "counts": counts(readings),
        "oracle": ORACLE if split == REPORTED else "",
    }


def _times(material: "Material", found: Mapping[str, list[survival.Arm]]) -> dict[str, Any]:
    tests = survival.pairs(found["T_gen"])
    pairs = survival.pair_rows(tests)
    return {
        "intro": times_intro(material.splits[0]),
        "legend": survival_legend(found["T_gen"]),
        "panels": survival_panels(found, figures.unit_of(material.lead)),
        "rows": survival.arm_rows(found["T_gen"], found["delay"]),
        "pairs": pairs,
        "answer": survival.one_answer(pairs),
        "note": times_note(found, tests),
    }


def _events(material: "Material", groups: Mapping[str, list[Reading]]) -> dict[str, Any]:
    from grokscope.trajectory import unseen

    rows = event_rows(material.lead)
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    table = []
    for name, members in groups.items():
        own = [row for row in rows if row["reading"].subject.group == name]
        table.append(
            {
                "group": name,
                "cells": [_event_cell([r for r in own if r["kind"] == kind], len(members)) for kind in kinds],
            }
        )
    missing = Counter(
        line
        for r in material.lead
        if r.trajectory is not None
        for line in (f"{kind}: {why}" for kind, why in unseen(r.trajectory).items())
    )
    return {
        "rows": table if kinds else [],
        "kinds": kinds,
        "intro": events_intro(),
        "unseen": [f"Could not be seen in {plural(n, 'run')}: {line}." for line, n in missing.items()],
    }


def _event_cell(rows: Sequence[Mapping[str, Any]], runs: int) -> tuple[str, str]:
    if not rows:
        return "none", ""
    total = sum(row["count"] for row in rows)
    at = [e.at for row in rows for e in row["events"]]
    span = steps(min(at)) if min(at) == max(at) else f"{steps(min(at))} to {steps(max(at))}"
    times = f", {total} times" if total > len(rows) else ""
    return f"{len(rows)} of {plural(runs, 'run')}{times}", f"step {span}"


def _diagnostics(material: "Material", groups: Mapping[str, list[Reading]]) -> dict[str, Any]:
    panels = diagnostic_panels(material)
    drawn = list(groups)[:LINES]
    more = f" Of {len(groups)} groups the first {len(drawn)} with data are drawn." if len(groups) > len(drawn) else ""
    return {
        "panels": panels,
        "legend": group_legend(drawn),
        "intro": "What the runs measured beside accuracy: one line per group (median over seeds). Losses share the "
        "step axis of the learning curves; the rest, measured more rarely, has its own." + more,
    }


def _runs(material: "Material", groups: Mapping[str, list[Reading]]) -> dict[str, Any]:
    keys, values = group_differences(groups)
    again = any(r.subject.config and command(r) for members in groups.values() for r in members)
    intro = "Settings, origin, rows and the command that makes a run again." if again else "Settings, origin and rows."
    if not material.detailed:
        many = plural(len(material.subjects), "run")
        intro = f"{many}: too many to fold out one by one; each has a row in the table of verdicts."
    return {
        "intro": intro,
        "copies": copies_note(material.copies),
        "unchecked": unchecked_note(material.unchecked),
        "differences": (keys, values) if keys and len(values) > 1 else None,
        "details": details(groups, material.anchors) if material.detailed else [],
    }
