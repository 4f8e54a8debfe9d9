"""Details of each run: its exact settings, origin, the command that reproduces it, and its rows for download."""

import base64
import csv
import gzip
import io
import json
import shlex
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from grokscope.registry import LISTS
from grokscope.report.read.copies import is_import
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.subjects import differing, differing_of, flat
from grokscope.report.read.tables import why
from grokscope.store.intervened import intervention_line, interventions_of
from grokscope.store.provenance import commit_in_words
from grokscope.store.run import Run
from grokscope.vocabulary.text import plural

PLAIN_DATA, PACKED_DATA = 200_000, 600_000
"""Bytes of rows that a page carries as plain CSV, and packed (gzip), before it only names the files."""

BRIEF = 3
"""Lines of a run's origin where there are many runs: its folder, its state, its size."""
_OF_ONE_SEED = ("seed", "regime.name", "start", "start.run", "start.digest")
"""Settings that say nothing of a group: each seed branched from a run of its own."""


@dataclass(frozen=True)
class Download:
    """A link that holds its data; `href` is None where the rows are too many for the page."""

    name: str
    href: str | None
    words: str


@dataclass(frozen=True)
class Detail:
    """One run's folded-out part."""

    reading: Reading
    anchor: str
    differing: list[tuple[str, str]]
    """Settings in which this run differs from others of its group."""
    settings: list[tuple[str, str, bool]]
    """All settings: key, value, whether the user gave it."""
    origin: list[tuple[str, str]]
    config: Download | None
    command: str | None
    """What makes the run again from `config`; None for a run from an archive, which cannot be made again."""
    download: Download | None
    brief: bool
    """Whether there are so many runs that what is worked out of each is left out."""
    why: str
    """The sentence behind the verdict, or why there is none."""


def details(
    groups: Mapping[str, Sequence[Reading]],
    anchors: Mapping[str, str],
    brief: bool = False,
    listed: Container[str] | None = None,
) -> list[Detail]:
    """One part for each run, or each of the `listed` ones; in `brief` without what its group shares: all settings, and
    a config file of its own."""
    shown_runs = [r for r in chain.from_iterable(groups.values()) if listed is None or r.subject.name in listed]
    data, parts = downloads(shown_runs), {id(r) for r in shown_runs}
    out = []
    for members in groups.values():
        keys = apart_in(members)
        for r in members:
            if id(r) not in parts:
                continue
            settings = flat(r.subject.config) if r.subject.config else {}
            out.append(
                Detail(
                    r,
                    anchors[r.subject.name],
                    differing=[(k, shown(settings.get(k, "absent"))) for k in keys if k != "seed"],
                    settings=[] if brief else _settings(r),
                    origin=_origin(r)[:BRIEF] if brief else _origin(r),
                    config=None if brief else config_file(r),
                    command=command(r),
                    download=data.get(r.subject.name),
                    brief=brief,
                    why=why(r),
                )
            )
    return out


def apart_in(readings: Sequence[Reading]) -> list[str]:
    """The settings, as dotted keys, on which the runs of a group do not agree; looked for once."""
    notes = readings[0].notes if readings else {}
    if "apart" not in notes:
        notes["apart"] = differing_of(flat(r.subject.config) for r in readings if r.subject.config)
    return notes["apart"]


def shared_settings(readings: Sequence[Reading]) -> list[tuple[str, str, bool]]:
    """The settings on which all runs of a group agree: key, value, whether the user gave it."""
    known = [r for r in readings if r.subject.config]
    apart = set(apart_in(readings))
    return [row for row in _settings(known[0]) if row[0] not in apart] if known else []


def _settings(reading: Reading) -> list[tuple[str, str, bool]]:
    passed = set(reading.subject.record.get("passed") or ())
    settings = flat(reading.subject.config or {})
    return [(k, str(v) if k == "seed" else shown(v), k in passed) for k, v in settings.items()]


def group_differences(groups: Mapping[str, Sequence[Reading]]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """(settings in which the groups differ, group -> setting -> value); what belongs to one seed and
    the regime's label are left out."""
    configs = {
        g: flat(next((r.subject.config for r in members if r.subject.config), {})) for g, members in groups.items()
    }
    configs = {g: c for g, c in configs.items() if c}
    keys = [k for k in differing(list(configs.values())) if k not in _OF_ONE_SEED]
    keys = [k for k in keys if k not in LISTS or not any(other.startswith(f"{k}.") for other in keys)]
    keys = [k for k in keys if not _follows(k, keys, configs)]
    return keys, {g: {k: shown(c.get(k, "absent")) for k in keys} for g, c in configs.items()}


def _follows(key: str, keys: Sequence[str], configs: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a parameter of a component (``regime.interventions.0.of``) has one value in all groups that have the
    component at all, which has a column of its own: it then says nothing more."""
    owner = key.rpartition(".")[0]
    return owner in keys and len({shown(c[key]) for c in configs.values() if key in c}) == 1


def shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, int) and abs(value) >= 1000:
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def config_file(reading: Reading) -> Download | None:
    """A run's resolved config as a file that `grokscope train` reads; None for a log that grokscope did not make."""
    if reading.subject.config is None or _is_log(reading):
        return None
    text = json.dumps(reading.subject.config, indent=1, allow_nan=False)
    href = f"data:application/json;base64,{base64.b64encode(text.encode()).decode()}"
    return Download(f"{reading.subject.name}.json", href, "the resolved config")


def imported(reading: Reading) -> bool:
    """Whether the run was read from an archive or a log: its config is what somebody wrote down, not all that they
    ran."""
    return is_import(reading.subject) or _is_log(reading)


def _is_log(reading: Reading) -> bool:
    """Whether the run was made of another program's log."""
    return (reading.subject.record.get("lineage") or {}).get("kind") == "log"


def command(reading: Reading) -> str | None:
    """What to type once the config file is saved; None where that would not make the run again."""
    if imported(reading):
        return None
    return f"grokscope train {shlex.quote(f'{reading.subject.name}.json')}"


def _interventions(reading: Reading) -> list[str]:
    """What was done to the run while it trained, a line each, those that never began included."""
    if reading.subject.path is None or not (reading.subject.config or {}).get("regime", {}).get("interventions"):
        return []
    try:
        record = interventions_of(Run(Path(reading.subject.path)))
    except ValueError as error:  # a damaged record costs the page nothing else
        return [str(error)]
    return [intervention_line(entry, record.get("T_fit")) for entry in record.get("interventions", [])]


def _origin(reading: Reading) -> list[tuple[str, str]]:
    subject = reading.subject
    facts, provenance = subject.record.get("facts") or {}, subject.record.get("provenance") or {}
    out = []
    if subject.path is not None:
        out.append(("folder", subject.path))
    if subject.status:
        done, total = subject.status.get("step"), subject.status.get("total_steps")
        reach = f", step {done:,} of {total:,}" if isinstance(done, int) and isinstance(total, int) else ""
        out.append(("state", f"{subject.state}{reach}"))
    if facts.get("parameters"):
        out.append(("parameters", f"{facts['parameters']:,}"))
    out += [(split, words) for split, fact in (facts.get("splits") or {}).items() if (words := _split(fact))]
    if lineage := subject.record.get("lineage"):
        front = "imported from" if imported(reading) else "continued from"
        out.append((front, ", ".join(f"{k} {shown(v)}" for k, v in flat(lineage).items())))
    if packages := provenance.get("packages"):
        python = f"python {provenance.get('python', '?')}"
        out.append(("versions", ", ".join([python, *(f"{name} {version}" for name, version in packages.items())])))
    if machine := [str(provenance[k]) for k in ("processor", "platform") if provenance.get(k)]:
        out.append(("machine", ", ".join(machine)))
    if git := provenance.get("git"):
        out.append(("git", commit_in_words(git)))
    if started := provenance.get("command"):
        parts = started if isinstance(started, list) else [started]
        out.append(("started as", " ".join(map(str, parts))))
    out += [("intervention", line) for line in _interventions(reading)]
    notes = [*(facts.get("notes") or []), *(subject.brief.notes if subject.brief is not None else ())]
    return [*out, *(("note", note) for note in notes)]


def _split(fact: Mapping[str, Any]) -> str:
    """How many examples a split holds and what its trivial predictor reaches, as far as that is known."""
    trivial = fact.get("trivial_acc", fact.get("trivial_loss"))
    what = "accuracy" if "trivial_acc" in fact else "loss"
    known = [plural(fact["n"], "example")] if fact.get("n") is not None else []
    return ", ".join([*known, *([f"trivial {what} {trivial:.4g}"] if trivial is not None else [])])


def downloads(readings: Sequence[Reading]) -> dict[str, Download]:
    """Each run's rows as CSV inside the page: plain while all together are small, packed while they still fit, else
    named."""
    known = {r.subject.name: r for r in readings if r.subject.brief is not None}
    texts = _while_they_fit(known, lambda r: (_csv(r) or "").encode(), PLAIN_DATA)
    if texts is not None:
        return {name: _plain(known[name], text) for name, text in texts.items()}
    packed = _while_they_fit(known, lambda r: gzip.compress((_csv(r) or "").encode(), 9, mtime=0), PACKED_DATA)
    if packed is not None:
        return {name: _packed(known[name], data) for name, data in packed.items()}
    return {name: Download(name, None, "too large for this page: see the run's folder") for name in known}


def _while_they_fit(
    readings: Mapping[str, Reading], write: Callable[[Reading], bytes], most: int
) -> dict[str, bytes] | None:
    """What is written of each run; None as soon as that is more than `most` bytes: of ten thousand runs a few are
    written, and none is kept."""
    written: dict[str, bytes] = {}
    for name, reading in readings.items():
        written[name] = write(reading)
        most -= len(written[name])
        if most < 0:
            return None
    return written


def _plain(reading: Reading, text: bytes) -> Download:
    data = base64.b64encode(text).decode()
    rows = text.count(b"\n") - 1
    return Download(f"{reading.subject.name}.csv", f"data:text/csv;base64,{data}", f"CSV, {rows:,} evaluations")


def _packed(reading: Reading, data: bytes) -> Download:
    href = f"data:application/gzip;base64,{base64.b64encode(data).decode()}"
    return Download(f"{reading.subject.name}.csv.gz", href, "CSV, packed with gzip")


def _csv(reading: Reading) -> str | None:
    """All columns of a run's rows, or the columns of a foreign log's trajectory."""
    if rows := reading.subject.all_rows():
        return table_csv([dict(row) for row in rows])
    t = reading.trajectory
    if t is None:
        return None
    columns = {"step": t.step, "train": t.train, **t.held_out}
    return table_csv([{k: v[i].item() for k, v in columns.items()} for i in range(len(t.step))])


def table_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV with the union of their keys; missing values are empty."""
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and value != value) else value
