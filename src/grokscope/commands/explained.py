"""Output of `explain`: one run, the arms of a study side by side, and the test of a diagnosis."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.vocabulary.text import number, p_equation, p_value, percent, plural, whole

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.mechanism import Explanation, Finding
    from grokscope.mechanism.arms import ArmWords, Contrast
    from grokscope.mechanism.delay_law import Calibrated, Prediction
    from grokscope.mechanism.doses import Dose
    from grokscope.study.counterfactual import Trial


@dataclass
class Explained(Result):
    """The explanation of one run on one held-out split."""

    source: str
    explanation: "Explanation"

    def data(self) -> Any:
        return {"source": self.source, **self.explanation.to_dict()}

    def show(self, console: "Console") -> None:
        e = self.explanation
        console.print(f"{self.source}, {e.split}: {e.verdict}", style="bold")
        console.print(e.happened, markup=False)
        _show(console, "Possible explanations", e.fitting)
        _show(console, "Also observed, but no explanation of this verdict", e.also_seen)
        _show(console, "Ruled out", e.excluded)
        _show(console, "Undecided", [f for f in e.open if not f.missing])
        if e.not_applicable:
            names = ", ".join(f.check for f in e.not_applicable)
            _heading(console, f"Does not apply: {names}", "dim")
        self._show_next(console)
        _heading(
            console, "A possible explanation is not an established cause; the arm without it would test it.", "dim"
        )

    def _show_next(self, console: "Console") -> None:
        arms = self.explanation.next_arms()
        if arms:
            _heading(console, "What to train next")
        for finding, arm in arms:
            how = f" ({arm.options})" if arm.changes and not arm.in_own_loop else ""
            console.print(f"  {arm.name}{how}: {arm.expects}  [tests: {finding.check}]", markup=False)
            if arm.in_own_loop:
                console.print(f"    in your loop: {arm.in_own_loop}", markup=False)
        needed_by = self.explanation.needed_by
        if needed_by:
            _heading(console, "Undecided because of missing data", "bold")
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
    """Results of the checks in each arm, and the effects of single settings."""

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
        _heading(console, "Number of runs that support a claim (+), contradict it (-), or leave it undecided (?)")
        header = ("claim", *(arm.arm for arm in self.arms))
        print_table(
            console, header, [(claim, *(_signs(arm.words.get(claim, {})) for arm in self.arms)) for claim in claims]
        )
        if self.contrasts:
            _heading(console, "Effects of single settings")
            print_table(console, ("setting", "from", "to", "runs", "verdicts", "end", "ranges"),
                        [_contrast_cells(c) for c in self.contrasts])  # fmt: skip
            console.print(
                "With three runs against three, ranges do not overlap by chance in one of ten cases.", style="dim"
            )
        if self.doses:
            _heading(console, "Dose response: effect of the amount of a setting on T_gen (slope of ln T_gen, 95 %)")
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
        f"T_gen - T_fit = log(V / {law.V_star:.4g}) / (2 x {law.kappa:.3g} x lr x decay), where V is norm^2 at the fit",
        markup=False,
    )
    rows = [(p.cell, _steps(p.predicted), _delay(p), "" if p.ratio is None else f"{p.ratio:.2f}")
            for p in calibrated.predictions]  # fmt: skip
    print_table(console, ("arm", "predicted delay", "observed", "observed / predicted"), rows)
    if law.mean_error is None:
        console.print("No other arm generalized, so the error of the law is unknown here.", style="dim")
        return
    of = plural(len(law.errors), "run")
    console.print(f"mean error over {of} of other arms: {percent(law.mean_error)}", markup=False)
    if law.denied:
        console.print(
            f"not included: {plural(law.denied, 'run')} with a delay where the law predicts none", markup=False
        )
    if calibrated.other_errors:
        low, high = min(calibrated.other_errors.values()), max(calibrated.other_errors.values())
        console.print(f"if calibrated on another arm: {percent(low)} to {percent(high)}", style="dim", markup=False)


def _steps(value: float | None) -> str:
    return "none" if value is None else whole(round(value))


def _delay(p: "Prediction") -> str:
    if p.seen is None:
        return f"> {whole(round(p.censored_at))}"
    return whole(round(p.seen))


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
    """A diagnosis and the study that tests it: the file, the remaining training, and the results."""

    explained: "Explained"
    file: Path
    root: Path
    runs: int
    finished: int
    steps_left: int
    trials: "tuple[Trial, ...]"
    steps_saved: int = 0
    """Steps saved by exact forks of the original run, as far as their starting steps are known."""
    no_forks: str = ""
    """Why arms that differ only after the fit nevertheless train from step 0."""

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
                console.print(f"  sign-flip {p_equation(trial.p)} (two-sided, exact; smallest attainable "
                              f"{p_value(trial.smallest_p)} with {trial.n} pairs)", style="dim")  # fmt: skip
        _heading(console, f"{self.file}: {self.finished} of {plural(self.runs, 'run')} finished, "
                          f"{self.steps_left:,} steps left", "dim")  # fmt: skip
        if self.steps_saved:
            console.print(f"arms that differ only after the fit are exact forks: {self.steps_saved:,} steps saved",
                          style="dim")  # fmt: skip
        if self.no_forks:
            console.print(f"every arm trains from step 0: {self.no_forks}", style="dim", markup=False)
        if self.finished < self.runs:
            console.print(f"to estimate the cost: grokscope study plan {self.file}; to train it: the same command "
                f"with --go",
                          style="dim", markup=False)  # fmt: skip
