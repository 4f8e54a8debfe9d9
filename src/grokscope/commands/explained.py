"""What `explain` prints: a page on one run, the arms of a study side by side, and a diagnosis put to the test."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.vocabulary.text import number, plural, whole

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.mechanism import Explanation, Finding
    from grokscope.mechanism.arms import ArmWords, Contrast
    from grokscope.mechanism.delay_law import Calibrated, Prediction
    from grokscope.mechanism.doses import Dose
    from grokscope.study.counterfactual import Trial


@dataclass
class Explained(Result):
    """One page on one held-out split of one run."""

    source: str
    explanation: "Explanation"

    def data(self) -> Any:
        return {"source": self.source, **self.explanation.to_dict()}

    def show(self, console: "Console") -> None:
        e = self.explanation
        console.print(f"{self.source}, {e.split}: {e.verdict}", style="bold")
        console.print(e.happened, markup=False)
        _show(console, "What fits", e.fitting)
        _show(console, "Also seen, and no reason for this verdict", e.also_seen)
        _show(console, "What is excluded", e.excluded)
        _show(console, "What cannot be told", [f for f in e.open if not f.missing])
        if e.not_applicable:
            names = ", ".join(f.check for f in e.not_applicable)
            _heading(console, f"Does not apply: {names}", "dim")
        self._show_next(console)
        _heading(console, "What fits is not thereby the cause: the arm without it tells.", "dim")

    def _show_next(self, console: "Console") -> None:
        arms = self.explanation.next_arms()
        if arms:
            _heading(console, "What to train next")
        for finding, arm in arms:
            how = f" ({arm.options})" if arm.changes else ""
            console.print(f"  {arm.name}{how}: {arm.expects}  [tests: {finding.check}]", markup=False)
        needed_by = self.explanation.needed_by
        if needed_by:
            _heading(console, "Cannot tell, for want of", "bold")
        for name, checks in needed_by.items():
            console.print(f"  {name}: {'; '.join(checks)}", markup=False, style="dim")


def _heading(console: "Console", text: str, style: str = "bold") -> None:
    console.print()
    console.print(text, style=style, markup=False)


def _show(console: "Console", title: str, findings: "Sequence[Finding]") -> None:
    if not findings:
        return
    _heading(console, title)
    for finding in findings:
        console.print(f"  {finding.claim}", markup=False)
        console.print(f"    {finding.evidence}", markup=False, style="dim")


@dataclass
class ExplainedStudy(Result):
    """What the checks say in each arm, and what single settings did."""

    title: str
    split: str
    arms: "tuple[ArmWords, ...]"
    contrasts: "tuple[Contrast, ...]"
    notes: list[str] = field(default_factory=list)
    law: "Calibrated | None" = None
    doses: "tuple[Dose, ...]" = ()

    def data(self) -> Any:
        return {
            "title": self.title,
            "split": self.split,
            "arms": [asdict(arm) for arm in self.arms],
            "contrasts": [c.to_dict() for c in self.contrasts],
            "delay_law": None if self.law is None else self.law.to_dict(),
            "doses": [dose.to_dict() for dose in self.doses],
            "notes": self.notes,
        }

    def show(self, console: "Console") -> None:
        console.print(f"{self.title}, {self.split}", style="bold", markup=False)
        print_table(console, ("arm", "runs", "verdicts"), [(a.arm, str(a.n), _counts(a.verdicts)) for a in self.arms])
        claims = list(dict.fromkeys(chain.from_iterable(arm.words for arm in self.arms)))
        _heading(console, "Runs whose trajectory supports a claim (+), speaks against it (-), or leaves it open (?)")
        header = ("claim", *(arm.arm for arm in self.arms))
        print_table(
            console, header, [(claim, *(_signs(arm.words.get(claim, {})) for arm in self.arms)) for claim in claims]
        )
        if self.contrasts:
            _heading(console, "What single settings did")
            print_table(console, ("setting", "from", "to", "runs", "verdicts", "end", "ranges"),
                        [_contrast_cells(c) for c in self.contrasts])  # fmt: skip
            console.print(
                "Ranges that do not touch happen by chance in one of ten pairs of three runs and three.", style="dim"
            )
        if self.doses:
            _heading(console, "What the amount of a setting does to T_gen (slope of ln T_gen, 95 %)")
            print_table(console, ("setting", "amounts", "runs", "slope", "interval"),
                        [_dose_cells(dose) for dose in self.doses])  # fmt: skip
        if self.law is not None:
            _show_law(console, self.law)
        for note in self.notes:
            console.print(f"note: {note}", markup=False)


def _dose_cells(dose: "Dose") -> tuple[str, ...]:
    amounts = ", ".join(number(value) for value in dose.values)
    runs = f"{dose.n}" if not dose.censored else f"{dose.n} and {dose.censored} censored"
    low, high = dose.interval
    return (dose.key, amounts, runs, number(dose.slope), f"{number(low)} to {number(high)}")


def _show_law(console: "Console", calibrated: "Calibrated") -> None:
    law = calibrated.law
    _heading(console, f"The delay law, calibrated on {plural(law.n, 'run')} of {law.cell}")
    console.print(
        f"T_gen - T_fit = log(V / {law.V_star:.4g}) / (2 x {law.kappa:.3g} x lr x decay), V the norm^2 at the fit",
        markup=False,
    )
    rows = [(p.cell, _steps(p.predicted), _delay(p), "" if p.ratio is None else f"{p.ratio:.2f}")
            for p in calibrated.predictions]  # fmt: skip
    print_table(console, ("arm", "delay predicted", "seen", "seen / predicted"), rows)
    if law.mean_error is None:
        console.print("No other arm arrived, so it is not known how far off the law is here.", style="dim")
        return
    of = plural(len(law.errors), "run")
    console.print(f"mean error over {of} of other arms: {law.mean_error:.0%}", markup=False)
    if law.denied:
        console.print(f"not in it: {plural(law.denied, 'run')} with a delay where the law has none", markup=False)
    if calibrated.other_errors:
        low, high = min(calibrated.other_errors.values()), max(calibrated.other_errors.values())
        console.print(f"calibrated on another arm instead: {low:.0%} to {high:.0%}", style="dim", markup=False)


def _steps(value: float | None) -> str:
    return "none" if value is None else whole(round(value))


def _delay(p: "Prediction") -> str:
    return f"> {whole(round(p.censored_at))}" if p.seen is None else whole(round(p.seen))


def _counts(verdicts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in verdicts.items())


def _signs(words: Mapping[str, int]) -> str:
    signs = {"supports": "+", "against": "-", "cannot tell": "?"}
    return " ".join(f"{words[word]}{sign}" for word, sign in signs.items() if words.get(word))


def _contrast_cells(c: "Contrast") -> tuple[str, ...]:
    ends = " -> ".join(f"{number(low)} to {number(high)}" for low, high in c.ends)
    verdicts = " -> ".join(_counts(v) for v in c.verdicts)
    values = tuple(str(v) for v in c.values)
    return (c.key, *values, f"{c.n[0]}, {c.n[1]}", verdicts, ends, "apart" if c.apart else "overlap")


@dataclass
class Tested(Result):
    """A diagnosis and the study that puts it to the test: what is written, what is left to train, what came of it."""

    explained: "Explained"
    file: Path
    root: Path
    runs: int
    finished: int
    steps_left: int
    trials: "tuple[Trial, ...]"
    steps_saved: int = 0
    """Which exact forks take over from the run as it was, as far as it is known where they leave it."""
    no_forks: str = ""
    """Why arms that differ from the fit on train from step 0 all the same."""

    def data(self) -> Any:
        return {
            "source": self.explained.source,
            "split": self.explained.explanation.split,
            "verdict": self.explained.explanation.verdict,
            "study": str(self.file),
            "runs": self.runs,
            "finished": self.finished,
            "steps_left": self.steps_left,
            "steps_saved": self.steps_saved,
            "no_forks": self.no_forks or None,
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def show(self, console: "Console") -> None:
        e = self.explained.explanation
        console.print(f"{self.explained.source}, {e.split}: {e.verdict}", style="bold")
        for trial in self.trials:
            _heading(console, f"{trial.fate}: {trial.claim}")
            console.print(f"  {trial.sentence}", markup=False)
            if trial.p is not None and trial.smallest_p is not None:
                console.print(f"  sign-flip p {number(trial.p)} (two-sided, exact; smallest attainable "
                              f"{number(trial.smallest_p)} with {trial.n} pairs)", style="dim")  # fmt: skip
        _heading(console, f"{self.file}: {self.finished} of {plural(self.runs, 'run')} finished, "
                          f"{self.steps_left:,} steps left", "dim")  # fmt: skip
        if self.steps_saved:
            console.print(f"arms that differ from the fit on are exact forks: {self.steps_saved:,} steps saved",
                          style="dim")  # fmt: skip
        if self.no_forks:
            console.print(f"every arm trains from step 0: {self.no_forks}", style="dim", markup=False)
        if self.finished < self.runs:
            console.print(f"what it costs: grokscope study plan {self.file}; train it: the same command with --go",
                          style="dim", markup=False)  # fmt: skip
