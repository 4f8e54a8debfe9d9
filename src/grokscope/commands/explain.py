"""explain: why did it (not) grok? Of a run, of anyone's training log, and of the arms of a study."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.logs import are_named, as_options, columns_of, criteria_of, pairs
from grokscope.commands.output import Result, print_table
from grokscope.config import require
from grokscope.configio import dump, flatten, load_run
from grokscope.store import open_run
from grokscope.store.ended import require_whole
from grokscope.vocabulary.text import number, plural

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.mechanism.arms import ArmWords, Contrast, Member
    from grokscope.results.mechanisms import Explanation, Finding
    from grokscope.results.trials import Trial
    from grokscope.trajectory import Criteria


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

    def data(self) -> Any:
        return {
            "source": self.explained.source,
            "split": self.explained.explanation.split,
            "verdict": self.explained.explanation.verdict,
            "study": str(self.file),
            "runs": self.runs,
            "finished": self.finished,
            "steps_left": self.steps_left,
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
        if self.finished < self.runs:
            console.print(f"what it costs: grokscope study plan {self.file}; train it: the same command with --go",
                          style="dim", markup=False)  # fmt: skip


SETUP = ("optimizer", "lr", "weight_decay", "loss", "grad_filter", "init_scale", "irm_weight", "parameters")


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
        if self.explanation.missing:
            missing = ", ".join(self.explanation.missing)
            _heading(console, f"Not known here, and needed by further checks: {missing}", "dim")


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

    def data(self) -> Any:
        return {
            "title": self.title,
            "split": self.split,
            "arms": [asdict(arm) for arm in self.arms],
            "contrasts": [c.to_dict() for c in self.contrasts],
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
        for note in self.notes:
            console.print(f"note: {note}", markup=False)


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


def explain(
    source: Path,
    /,
    *,
    root: Path = Path("runs"),
    split: str | None = None,
    optimizer: str | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    loss: str | None = None,
    grad_filter: str | None = None,
    init_scale: float | None = None,
    irm_weight: float | None = None,
    parameters: int | None = None,
    steps_per_unit: float | None = None,
    step: str | None = None,
    train: str | None = None,
    held_out: tuple[str, ...] = (),
    train_loss: str | None = None,
    held_out_loss: tuple[str, ...] = (),
    norm: tuple[str, ...] = (),
    measured: tuple[str, ...] = (),
    kind: str = "classification",
    n: tuple[str, ...] = (),
    threshold: float | None = None,
    trivial: tuple[str, ...] = (),
    trivial_loss: tuple[str, ...] = (),
    scale: float = 1.0,
    repeated: str = "error",
    part: str | None = None,
    max_mb: float | None = None,
    test: Path | None = None,
    seeds: tuple[int, ...] = (),
    go: bool = False,
    workers: int | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Explained | ExplainedStudy | Tested:
    """Why did it (not) grok? Which explanations fit a run, which are excluded, and which arm would tell.

    ``grokscope explain runs/NAME``; ``grokscope explain STUDY.toml`` compares the arms of a study; of a log of your own
    name the columns as for `verdict`, and how it was trained: ``--lr 1e-3 --weight-decay 1``; a run takes only those of
    these that its record lacks. Thresholds are set by ``--criteria.fit 0.98`` and so on, those of a study by its file.
    Checks read trajectories and train nothing, but for ``--test``, which puts the diagnosis of a run to the test.

    Args:
        source: A run folder, a study file (or the name of a shipped study), or a training log.
        root: Folder that holds the runs of a study, or of the test.
        split: Held-out split to explain; by default ood_val, then ood_test, then id_val, then the first one.
        optimizer: Of a log: adamw, adam, sgd, muon.
        lr: Of a log: learning rate.
        weight_decay: Of a log: decoupled weight decay.
        loss: Of a log: cross_entropy, mse, ...
        grad_filter: Of a log: none, grokfast_ema, grokfast_ma, orthogonal.
        init_scale: Of a log: how many times as large as usual the weights started.
        irm_weight: Of a log: weight of the IRM penalty in the loss.
        parameters: Of a log: number of weights.
        steps_per_unit: Of a log: optimizer steps in one unit of its step column (steps per epoch for a log in epochs).
        step: Column of the step or epoch.
        train: Column of the train accuracy.
        held_out: Column of the held-out accuracy, or split=column for each split.
        train_loss: Column of the train loss.
        held_out_loss: Column of the held-out loss, or split=column.
        norm: Column of the total weight norm, or group=column (total, head, scale_invariant).
        measured: Further columns as name=column: rank_effective, train_irm, train_logit_scale, softmax_collapse, lr.
        kind: classification or regression.
        n: Examples in a split, or split=number (train included).
        threshold: Held-out score that counts as generalized.
        trivial: Accuracy of the trivial predictor, or split=number.
        trivial_loss: Regression: loss of the trivial predictor, or split=number.
        scale: Multiplies the accuracies: 0.01 for a log in percent.
        repeated: Where steps go back: error, or last for a resumed log.
        part: Which part of nested JSON is the log.
        max_mb: Largest log that is read, in megabytes (512).
        test: Of a run: write the study that would test the diagnosis to this file: the run as it was, and an arm
            without each cause that fits or is open, over the same seeds. What is finished of it is judged.
        seeds: Seeds of the test; by default the run's own and the two after it.
        go: Train what is not finished of the test, and judge it (see `study plan` for what it costs).
        workers: Runs trained at a time.

    Raises:
        ValueError: neither run nor study nor log; a missing column (the nearest is named); a run without evaluations;
            a setting that contradicts what a run recorded.
    """
    criteria = criteria_of(overrides or {})
    known = {name: value for name, value in locals().items() if name in SETUP and value is not None}
    columns = columns_of(locals())
    require(test is not None or not (go or seeds), "--go and --seeds belong to --test FILE")
    if source.is_dir():
        require(not columns["train"], "--train names a column of a log; a run knows its own")
        if test is not None:
            require(not known, f"{_options(known)}: a test trains the run as it was recorded")
            return _put_to_the_test(source, split, criteria, test, seeds, root, workers if go else None, go)
        return _of_run(source, split, criteria, known)
    require(test is None, "--test needs a run of grokscope's own: a log cannot be trained again")
    if source.is_file() and source.suffix != ".toml":
        known["steps_per_unit"] = steps_per_unit or 1.0
        return _of_log(source, split, criteria, known, columns | {"measured": pairs(measured, str)})
    given = ", ".join(filter(None, (_options(known), "names of columns" if are_named(columns) else "")))
    require(not given, f"{given}: only for a log; the runs of a study know how they were trained")
    require(criteria is None, "criteria: a study's thresholds stand in its file, under [criteria]")
    return _of_study(source, root, split)


def _options(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _of_run(folder: Path, split: str | None, criteria: "Criteria | None", known: Mapping[str, Any]) -> Explained:
    from grokscope.mechanism import case_of_run
    from grokscope.mechanism import explain as run_checks

    run = open_run(folder)
    require_whole(run)
    return Explained(run.id, run_checks(case_of_run(run, split, criteria, **known)))


def _put_to_the_test(
    folder: Path,
    split: str | None,
    criteria: "Criteria | None",
    file: Path,
    seeds: Sequence[int],
    root: Path,
    workers: int | None,
    go: bool,
) -> Tested:
    """Write the study (or take the one that is there), train it where that is asked for, and judge what is finished."""
    from grokscope.study.counterfactual import counterfactual_study, to_toml, trials
    from grokscope.study.study import Study

    explained = _of_run(folder, split, criteria, {})
    config = load_run(open_run(folder).config)
    chosen = tuple(seeds) or tuple(range(config.seed, config.seed + 3))
    text = to_toml(counterfactual_study(config, explained.explanation, chosen))
    require(
        not file.exists() or file.read_text() == text,
        f"{file}: is there already and holds something else; name another file",
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    study = Study.load(file)
    if go:
        from grokscope.commands.study import run as train_study

        train_study(file, root=root, workers=workers)
    states = study.status(root)
    left = sum(state.total - min(state.step, state.total) for state in states if not state.finished)
    finished = sum(state.finished for state in states)
    return Tested(explained, file, root, len(states), finished, left, trials(study, root, explained.explanation))


def _of_log(
    log: Path,
    split: str | None,
    criteria: "Criteria | None",
    known: Mapping[str, Any],
    columns: Mapping[str, Any],
) -> Explained:
    from grokscope.mechanism import Setup, case_of_trajectory
    from grokscope.mechanism import explain as run_checks
    from grokscope.trajectory import from_log
    from grokscope.trajectory.logs.guess import unnamed

    if not are_named(dict(columns)):
        part, max_mb = columns["part"], columns["max_mb"]
        command = f"grokscope explain {shlex.quote(str(log))}"
        raise ValueError(as_options(unnamed(log, part=part, max_mb=max_mb, command=command)))
    try:
        trajectory = from_log(log, **columns)
    except ValueError as error:
        raise ValueError(as_options(str(error))) from None
    return Explained(str(log), run_checks(case_of_trajectory(trajectory, Setup(**known), split, criteria)))


def _of_study(file: Path, root: Path, split: str | None) -> ExplainedStudy:
    from grokscope.mechanism.arms import contrasts, words_by_arm
    from grokscope.study.study import Study, find_study

    study = Study.load(find_study(file))
    states = study.status(root)
    finished = [state for state in states if state.finished]
    require(bool(finished), f"no run of {file} is finished in {root}; train them with: grokscope study run {file}")
    members, notes = [], []
    if len(finished) < len(states):
        notes.append(f"{len(finished):,} of {plural(len(states), 'run')} are finished; the others are left out")
    for state in finished:
        try:
            members.append(_member(state, split, study.criteria))
        except ValueError as error:
            notes.append(str(error))
    require(bool(members), "\n".join(notes))
    return ExplainedStudy(
        study.title or study.name, members[0].explanation.split, words_by_arm(members), contrasts(members), notes
    )


def _member(state: Any, split: str | None, criteria: "Criteria | None") -> "Member":
    from grokscope.mechanism import case_of_run
    from grokscope.mechanism import explain as run_checks
    from grokscope.mechanism.arms import Member

    case = case_of_run(state.run, split, criteria)
    config = state.entry.config
    settings = {key: value for key, value in flatten(dump(config)).items() if key.partition(".")[0] not in NO_SETTING}
    settings.pop("regime.name")
    return Member(config.regime.name, settings, run_checks(case), float(case.verdict.milestones.end))


NO_SETTING = ("seed", "hardware", "evaluate", "diagnose", "checkpoint")
"""Tables of a config that are no part of an arm: what was watched, and where."""
