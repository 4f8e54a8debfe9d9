"""claims: every published claim, with its outcome from the saved results of the studies."""

import shlex
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.config import require
from grokscope.files import write_atomic
from grokscope.registry import nearest
from grokscope.results.claims import Claims
from grokscope.study import Study
from grokscope.study.claims import Gathered, gather, in_words
from grokscope.study.study import is_checkout, shipped_folder, shipped_studies

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Judged(Result):
    """All claims, and the files written."""

    claims: Claims
    written: list[Path]

    def data(self) -> Any:
        return {**self.claims.to_dict(), "written": [str(path) for path in self.written]}

    def show(self, console: "Console") -> None:
        rows = [[c.words, c.id, c.study or "none", c.source] for c in self.claims.claims]
        print_table(console, ["outcome", "claim", "study", "source"], rows)
        console.print(in_words(self.claims))
        for problem in self.claims.problems:
            for line in problem.split("\n"):
                console.print(f"problem: {line}")
        for path in self.written:
            console.print(f"written: {path}")


def claims(
    *,
    out: Path = Path("claims.html"),
    results: Path | None = None,
    studies: Path | None = None,
    markdown: Path | None = None,
    trackio: Path | None = None,
    run: str | None = None,
    root: Path = Path("runs"),
    workers: int | None = None,
) -> Judged:
    """Write a page of published claims with their sources, measurements, outcomes and commands to reproduce them.

    The page is built offline from study files and the saved results of studies, which are part of grokscope.

    Args:
        out: The page to write.
        results: Folder of saved studies (``grokscope study save``) that take precedence over the shipped ones.
        studies: Folder of study files to use instead of the shipped ones.
        markdown: Also write the claims as Markdown to this file.
        trackio: Also write them as a Trackio logbook into this folder; open it there with ``trackio logbook open``.
        run: First reproduce this study: train its unfinished runs and save its result in --results, otherwise next to
            the files of --studies. An installed package requires one of these, because its own files are not changed.
        root: Folder of the runs for --run.
        workers: Number of runs trained at a time by --run; by default one per usable CPU.

    Raises:
        ValueError: for a folder without study files, or a study to run that is not among them.
    """
    files = _study_files(studies)
    folder = studies or shipped_folder()
    if run is not None:
        _repeat(_chosen(run, files), root, _where_saved(results, studies), workers)
    lists = sorted((folder / "claims").glob("*.toml")) if folder is not None else []
    kept = [path for path in (results, None if folder is None else folder / "results") if path is not None]
    gathered = gather(files.values(), lists, kept, lambda name: print(f"claims of {name}", file=sys.stderr))
    gathered = replace(gathered, claims=_repeatable(gathered.claims, results, studies))
    return Judged(gathered.claims, _write(gathered, out, markdown, trackio))


def _study_files(studies: Path | None) -> dict[str, Path]:
    files = shipped_studies() if studies is None else {p.stem: p for p in sorted(studies.glob("*.toml"))}
    require(bool(files), f"no study files in {studies or 'what came with grokscope'}")
    return files


def _chosen(name: str, files: dict[str, Path]) -> Path:
    """The file of the study to run, which must be one of those on the page."""
    require(name in files, f"--run {name}: no such study{nearest(name, list(files))}")
    return files[name]


def _where_saved(results: Path | None, studies: Path | None) -> Path:
    """The first folder that the page reads."""
    if results is not None:
        return results
    if studies is not None:
        return studies / "results"
    folder = shipped_folder()
    require(folder is not None and is_checkout(), "--run needs --results FOLDER, where the result is saved: the files "
            "of an installed package are not changed")  # fmt: skip
    assert folder is not None
    return folder / "results"


def _repeat(file: Path, root: Path, to: Path, workers: int | None) -> None:
    """Train a study and save its result in the first folder that the page reads."""
    from grokscope.study.saved import save_study

    study = Study.load(file)
    study.run(workers, root)
    save_study(study, root, to, lambda words: print(f"{study.name}: {words}", file=sys.stderr))


def _repeatable(claims: Claims, results: Path | None, studies: Path | None) -> Claims:
    """Add to the commands of the claims the options that are needed to reproduce them."""
    given = [("--studies", studies), ("--results", results)]
    options = "".join(f" {option} {shlex.quote(str(path))}" for option, path in given if path is not None)
    if not options:
        return claims
    with_options = (
        replace(claim, command=claim.command + options) if claim.command.startswith("grokscope claims") else claim
        for claim in claims.claims
    )
    return replace(claims, claims=tuple(with_options))


def _write(gathered: Gathered, out: Path, markdown: Path | None, trackio: Path | None) -> list[Path]:
    from grokscope.report.claims import claims_markdown, render_claims, write_logbook

    page = render_claims(gathered.claims, gathered.figures)
    write_atomic(out, lambda file: file.write(page.encode()))
    written = [out]
    if markdown is not None:
        text = claims_markdown(gathered.claims)
        write_atomic(markdown, lambda file: file.write(text.encode()))
        written.append(markdown)
    if trackio is not None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
        written.append(write_logbook(gathered.claims, gathered.figures, trackio, now))
    return written
