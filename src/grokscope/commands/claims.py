"""claims: every published claim, and what the saved results of the studies say of it."""

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
    """All claims, and what was written of them."""

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
    """One page on every published claim: what is claimed and where, what was measured, what follows, how to repeat it.

    Made offline from study files and the saved results of studies, which come with grokscope; with --json also printed
    as data.

    Args:
        out: The page to write.
        results: Folder of saved studies (``grokscope study save``) that count before the shipped ones.
        studies: Folder of study files in place of the shipped ones.
        markdown: Write the claims as Markdown into this file too.
        trackio: Write them as a Trackio logbook into this folder too; open it there with ``trackio logbook open``.
        run: First train this study, whatever is not finished of it, and save its result, so that its claims are
            repeated: in --results, else beside the files of --studies. One of them is needed where grokscope is
            installed, for what came with it is not changed.
        root: Folder of the runs for --run.
        workers: Runs trained at a time by --run; by default one for each usable CPU.

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
    """The file of the study to run: one of those that the page is made of."""
    require(name in files, f"--run {name}: no such study{nearest(name, list(files))}")
    return files[name]


def _where_saved(results: Path | None, studies: Path | None) -> Path:
    """The folder in which the page looks first."""
    if results is not None:
        return results
    if studies is not None:
        return studies / "results"
    folder = shipped_folder()
    require(folder is not None and is_checkout(), "--run needs --results FOLDER, where the result is to be saved: "
            "what came with grokscope is not changed")  # fmt: skip
    assert folder is not None
    return folder / "results"


def _repeat(file: Path, root: Path, to: Path, workers: int | None) -> None:
    """Train a study and save its result where the page will look first."""
    from grokscope.study.saved import save_study

    study = Study.load(file)
    study.run(workers, root)
    save_study(study, root, to, lambda words: print(f"{study.name}: {words}", file=sys.stderr))


def _repeatable(claims: Claims, results: Path | None, studies: Path | None) -> Claims:
    """With the options without which the commands of the claims would repeat something else."""
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
