"""archive ...: import, export, upload and download archives of runs."""

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from grokscope.commands.logs import NO_LOG, LogOptions, Ticker, as_options
from grokscope.commands.output import Result, note_lines
from grokscope.config import require
from grokscope.store import find_runs
from grokscope.vocabulary.text import p_equation, p_value, plural, size

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.inference.published import MeanPeak


@dataclass
class Carried(Result):
    """The imported or exported items, and problems."""

    facts: dict[str, Any]
    """For ``--json``."""
    lines: list[str]
    """The same as text."""
    problems: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return 1 if self.problems else 0

    def data(self) -> Any:
        return {**self.facts, "problems": list(self.problems)}

    def show(self, console: "Console") -> None:
        for line in self.lines:
            console.print(line)
        for problem in self.problems:
            console.print(f"problem: {problem}")


def import_(
    folder: Path,
    /,
    *,
    root: Path = Path("runs"),
    map: tuple[str, ...] = (),
    scale: float = 1.0,
    n: tuple[str, ...] = (),
) -> Carried:
    """Import the runs of an archive; all commands then work on them.

    Damaged runs are reported, and the rest are imported.

    Args:
        folder: The archive, or one run of it.
        root: Folder for the runs.
        map: grokscope column = field of the archive's history, for example ood_test_acc=acc_center2; repeatable.
        scale: Factor for every accuracy; 0.01 for a history in percent.
        n: Held-out split = number of examples, for example ood_test=85054, if the history lacks it; repeatable.
    """
    from grokscope.archive.importing import import_archive

    sizes = {k: _count(k, v) for k, v in _pairs(n, "--n").items()}
    done = import_archive(folder, root, _pairs(map, "--map") or None, scale=scale, n=sizes or None)
    lines = [f"{plural(len(done.runs), 'run')} of {folder} in {root}", *(f"  {run.path}" for run in done.runs)]
    facts = {"runs": [str(run.path) for run in done.runs], "notes": {k: list(v) for k, v in done.notes.items()}}
    return Carried(facts, [*lines, *note_lines(done.notes.values(), " runs")], done.problems)


def import_logs(
    paths: tuple[Path, ...],
    /,
    *,
    into: Path = Path("runs"),
    group: str | None = None,
    task: str = "own",
    label_noise: float | None = None,
    log: LogOptions = NO_LOG,
) -> Carried:
    """Import external logs as runs; ls, sql, compare and report then work on them.

    Importing the same logs again changes nothing; a log that has grown updates its run. Columns are named as for
    ``grokscope verdict``.

    Args:
        paths: Log files, folders of logs, or quoted patterns ('logs/*.csv').
        into: Folder for the runs.
        group: Regular expression for each path without its extension: the named group seed is the run's seed, the other
            named groups form its regime: '(?P<setting>.*)_s(?P<seed>\\d+)'.
        task: Task name for the runs.
        label_noise: Share of the training labels that were replaced by random ones, in all of these trainings: 1 if all
            are random.
        log: Columns and format of external logs.
    """
    from grokscope.archive.logs import import_logs as keep

    require(bool(paths), "give the logs to import: files, a folder of logs, or a quoted pattern")
    columns = log.arguments()
    try:
        done = keep(
            paths, into, group=group, task=task, label_noise=label_noise, progress=Ticker("imported"), **columns
        )
    except ValueError as error:
        raise ValueError(as_options(str(error))) from None
    groups = Counter(run.label for run in done.runs)
    lines = [f"{plural(len(done.runs), 'run')} in {into}, {len(done.changed):,} of them new or updated"]
    if group is not None:
        lines += [f"  {name}: {plural(count, 'run')}" for name, count in groups.items()]
    lines += note_lines([run.facts.get("notes", [])[1:] for run in done.runs], " runs")
    lines += [f"note: {words}" for words in done.left]
    if done.unmatched:
        lines.append(f"in no group, because the pattern does not match: {', '.join(done.unmatched)}")
    lines.append(f"next  grokscope report {into}")
    facts = {
        "runs": [str(run.path) for run in done.runs],
        "changed": list(done.changed),
        "unmatched": list(done.unmatched),
        "notes": {run.id: run.facts.get("notes", []) for run in done.runs},
    }
    return Carried(facts, lines, tuple(as_options(words) for words in done.problems))


def _pairs(words: tuple[str, ...], option: str) -> dict[str, str]:
    for word in words:
        require("=" in word, f"{option}: expected name=value, got {word!r}")
    return dict(word.split("=", 1) for word in words)


def _count(split: str, text: str) -> int:
    require(text.isdigit() and int(text) > 0, f"--n {split}: expected a number of examples, got {text!r}")
    return int(text)


def export(
    runs: tuple[Path, ...],
    /,
    *,
    out: Path = Path("archive"),
    weights: Literal["pt", "safetensors"] = "pt",
    formats: tuple[Literal["png", "pdf", "svg"], ...] = ("png", "pdf"),
    title: str | None = None,
    license: str | None = None,
    citation: str | None = None,
) -> Carried:
    """Write runs as an archive: configs, checkpoints, histories, figures, and a completed model card.

    Args:
        runs: Run folders, or folders of runs.
        out: Output folder.
        weights: pt (plain state dicts, as published) or safetensors.
        formats: Formats of the figures; give none to omit figures.
        title: Title of the card.
        license: License of the weights, by the Hub's name, for example cc-by-4.0.
        citation: BibTeX entry for the card, or a file that contains it.
    """
    from grokscope.archive.exporting import export_archive

    members = list(chain.from_iterable(map(find_runs, runs)))
    require(bool(runs), "give the runs to export: their folders, or a folder of runs")
    require(bool(members), f"no runs in {', '.join(map(str, runs))}")
    cite = _citation(citation)
    done = export_archive(members, out, weights=weights, formats=formats, title=title, license=license, citation=cite)
    facts = {"out": str(out), "runs": list(done.runs), "files": done.files, "bytes": done.bytes}
    lines = [f"{plural(len(done.runs), 'run')} in {out}: {plural(done.files, 'file')}, {size(done.bytes)}"]
    return Carried(facts, lines, done.problems)


def _citation(given: str | None) -> str | None:
    """The entry itself, or the content of the file with that name."""
    if given is None or given.lstrip().startswith("@"):
        return given
    path = Path(given)
    require(path.is_file(), f"--citation: {given!r} is neither a BibTeX entry (@article{{...}}) nor a file")
    return path.read_text(encoding="utf-8").strip()


def push(folder: Path, repo: str, /, *, public: bool = False, revision: str | None = None) -> Carried:
    """Upload an exported archive to the Hugging Face Hub; only changed files are uploaded.

    Args:
        folder: Folder written by `archive export`.
        repo: user/name.
        public: Make a new repository public.
        revision: Branch to commit to.
    """
    from grokscope.archive import hub

    address = hub.push(folder, repo, private=not public, revision=revision)
    return Carried({"address": address}, [address])


def fetch(repo: str, dest: Path, /, *, revision: str | None = None, only: tuple[str, ...] = ()) -> Carried:
    """Download an archive from the Hugging Face Hub; import it with `archive import`.

    Args:
        repo: user/name.
        dest: Folder for the archive.
        revision: Branch, tag or commit.
        only: Run ids, or patterns on paths.
    """
    from grokscope.archive import hub

    folder = hub.fetch(repo, dest, revision, only or None)
    return Carried({"folder": str(folder)}, [f"fetched {folder}", f"next  grokscope archive import {folder}"])


def inference() -> Carried:
    """Recompute the published statistical tests of the shortcut study from its counts and its table of peaks.

    For each test: its sidedness, its two-sided p, the smallest p possible with these n, and its power. In addition: the
    mean peaks with and without the run that peaks on a random network, and the runs behind the published corrected
    mean. Only published numbers are used.
    """
    from grokscope.inference.published import (
        CORRECTED_MEAN,
        STEERING_P,
        mean_peaks,
        published_inference,
        seeds_of_mean,
        steering_readings,
    )

    shares, ranks, means = published_inference(), steering_readings(), mean_peaks()
    sets = seeds_of_mean()
    lines = [f"{t.question}: {t.sentence()}; {t.power}" for t in shares]
    lines.append(f"steering: Mann-Whitney p = {STEERING_P} for 5 v 3 seeds, published without sidedness; it can be")
    lines += [
        f"  U = {r.u} of 15, {_side(r.sidedness)}: {p_equation(r.p)}, two-sided {p_value(r.p_two_sided)} "
        f"(smallest two-sided p {p_value(r.smallest_p)}; {r.power})"
        for r in ranks
    ]
    lines += [_mean_line(mean) for mean in means]
    lines += [
        f"the published corrected mean of three standard seeds, {CORRECTED_MEAN}, is the mean of "
        f"{plural(len(s), 'seed')}: {', '.join(map(str, s))}"
        for s in sets
    ]
    facts = {
        "shares": [t.to_dict() for t in shares],
        "steering": {"p": STEERING_P, "readings": [r.to_dict() for r in ranks]},
        "mean_peaks": [m.to_dict() for m in means],
        "corrected_mean": {"published": CORRECTED_MEAN, "means_of": [list(s) for s in sets]},
    }
    return Carried(facts, lines)


def _side(alternative: str) -> str:
    if alternative == "two-sided":
        return alternative
    return f"one-sided ({alternative})"


def _mean_line(mean: "MeanPeak") -> str:
    against = ""
    if mean.p_two_sided is not None:
        against = f"; against grokking-favorable {p_equation(mean.p_two_sided)}, two-sided"
    seeds = ", ".join(map(str, mean.seeds))
    return f"mean peak in the unseen hospital, {mean.arm}, seeds {seeds}: {mean.mean:.4f}{against}"
