"""explain: why did it (not) grok? For runs, external logs, and the arms of a study."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.explained import Explained, ExplainedStudy, Tested
from grokscope.commands.logs import NO_LOG, LogOptions, as_options, criteria_of, pairs, require_named
from grokscope.config import require
from grokscope.configio import dump, flatten, load_run, with_items
from grokscope.files import write_atomic
from grokscope.registry import LISTS, import_plugins
from grokscope.store import Run, open_run
from grokscope.store.ended import require_whole
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from grokscope.mechanism import Case
    from grokscope.mechanism.arms import Member
    from grokscope.mechanism.delay_law import DelayLaw
    from grokscope.study.run_state import StudyRun
    from grokscope.trajectory import Criteria

SETUP = ("optimizer", "lr", "weight_decay", "loss", "grad_filter", "init_scale", "irm_weight", "label_noise",
         "parameters", "steps_per_unit")  # fmt: skip


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
    label_noise: float | None = None,
    parameters: int | None = None,
    steps_per_unit: float | None = None,
    log: LogOptions = NO_LOG,
    measured: tuple[str, ...] = (),
    calibrate: tuple[Path, ...] = (),
    test: Path | None = None,
    seeds: tuple[int, ...] = (),
    go: bool = False,
    workers: int | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Explained | ExplainedStudy | Tested:
    """Why did it (not) grok? Which mechanisms explain a run, which are ruled out, and which arm would decide.

    ``grokscope explain runs/NAME`` checks a run, and ``grokscope explain STUDY.toml`` compares the arms of a study. For
    an external log, name the columns as for `verdict`, and the training settings: ``--lr 1e-3 --weight-decay 1``. For a
    run, only settings that its record lacks are accepted. ``--criteria.fit 0.98`` and similar options set thresholds;
    those of a study are set in its file. Checks read trajectories and train nothing, except ``--test``, which tests the
    diagnosis of a run.

    Args:
        source: A run folder, a study file (or the name of a shipped study), or a training log.
        root: Folder that holds the runs of a study, or of the test.
        split: Held-out split to explain; by default ood_val, then ood_test, then id_val, then the first one.
        optimizer: For a log: adamw, adam, sgd, muon.
        lr: For a log: learning rate.
        weight_decay: For a log: decoupled weight decay.
        loss: For a log: cross_entropy, mse, ...
        grad_filter: For a log: none, grokfast_ema, grokfast_ma, orthogonal.
        init_scale: For a log: scale of the initial weights relative to the default.
        irm_weight: For a log: weight of the IRM penalty in the loss.
        label_noise: For a log or a recording: share of training labels that were replaced by random ones (1: all).
        parameters: For a log: number of weights.
        steps_per_unit: For a log: optimizer steps per unit of its step column (steps per epoch for a log in epochs); 1
            if the name of the column indicates steps, otherwise unknown.
        log: Columns and format of external logs.
        measured: Further columns as name=column: rank_effective, train_irm, train_logit_scale, softmax_collapse, lr.
        calibrate: Folders of grokked runs of the same task, network and loss. They calibrate the delay law, which then
            predicts how long this run would need. A study calibrates itself.
        test: For a run: write a study that tests the diagnosis to this file. It contains the run as it was, and an arm
            without each cause that fits or is undecided, over the same seeds. Finished runs of it are evaluated.
        seeds: Seeds of the test; by default the run's own and the two after it.
        go: Train the unfinished runs of the test, and evaluate it (`study plan` estimates the cost).
        workers: Number of runs trained at a time.

    Raises:
        ValueError: if the source is neither run nor study nor log; for a missing column (with the closest name); for a
            run without evaluations; for a setting that contradicts the record of a run.
    """
    criteria = criteria_of(overrides or {})
    known = {name: value for name, value in locals().items() if name in SETUP and value is not None}
    require(test is not None or not (go or seeds), "--go and --seeds belong to --test FILE")
    if source.is_dir():
        require(not log.train, "--train names a column of a log; a run does not need it")
        run = open_run(source)
        if test is not None:
            require(not known, f"{_options(known)}: not with --test, which trains the run with its recorded settings")
            return _put_to_the_test(run, split, criteria, test, seeds, root, workers if go else None, go)
        return _of_run(run, split, criteria, known, calibrate)
    require(test is None, "--test needs a grokscope run: an external log cannot be retrained")
    if source.is_file() and source.suffix != ".toml":
        require(
            not calibrate,
            "--calibrate applies to runs, whose records contain the decay and the norm that the law needs",
        )
        return _of_log(source, split, criteria, known, log, measured)
    given = ", ".join(filter(None, (_options(known), "names of columns" if log.named else "")))
    require(not given, f"{given}: only for a log; the runs of a study record how they were trained")
    require(not calibrate, "--calibrate applies to a run; a study calibrates itself")
    require(criteria is None, "criteria: the thresholds of a study are set in its file, under [criteria]")
    return _of_study(source, root, split)


def _options(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _of_run(
    run: Run,
    split: str | None,
    criteria: "Criteria | None",
    known: Mapping[str, Any],
    calibrate: Sequence[Path] = (),
) -> Explained:
    from grokscope.mechanism import case_of_run, explain_by
    from grokscope.mechanism.of_anything import delay_law

    require_whole(run)
    case = case_of_run(run, split, criteria, **known)
    law = None
    if calibrate:
        law = delay_law(*calibrate, split=case.split, criteria=criteria)
    return Explained(run.id, explain_by(case, law))


def _put_to_the_test(
    run: Run,
    split: str | None,
    criteria: "Criteria | None",
    file: Path,
    seeds: Sequence[int],
    root: Path,
    workers: int | None,
    go: bool,
) -> Tested:
    """Write the study (or use the existing file), train it if requested, and evaluate its finished runs."""
    from grokscope.study.counterfactual import counterfactual_study, trials, why_no_forks
    from grokscope.study.study import Study
    from grokscope.tomlio import to_toml

    require(file.suffix == ".toml", f"--test {file}: a study file ends in .toml")
    require(file.parent.is_dir(), f"--test {file}: there is no folder {file.parent}")
    explained = _of_run(run, split, criteria, {})
    plugins = _plugin_modules(run)
    import_plugins(plugins)
    config = load_run(run.config)
    chosen = tuple(seeds) or tuple(range(config.seed, config.seed + 3))
    forked, plain = (
        to_toml(counterfactual_study(config, explained.explanation, chosen, plugins, forks=forks))
        for forks in (True, False)
    )
    no_forks = _TestStudy(forked, plain).put(file, why_no_forks(config, chosen, root))
    study = Study.load(file)
    if go:
        from grokscope.commands.study import run as train_study

        train_study(file, root=root, workers=workers)
    states = study.status(root)
    return Tested(
        explained,
        file,
        root,
        runs=len(states),
        finished=sum(state.finished for state in states),
        steps_left=sum(state.total - min(state.step, state.total) for state in states if not state.finished),
        trials=trials(study, root, explained.explanation),
        steps_saved=sum(state.forked_at or 0 for state in states),
        no_forks=no_forks,
    )


@dataclass(frozen=True)
class _TestStudy:
    """The study file of a test: with arms that are forks of the original run, and with arms that begin at step 0. The
    two texts are equal if no arm begins late."""

    forked: str
    plain: str

    def put(self, file: Path, no_forks: str) -> str:
        """Write the possible version (`no_forks`: why forks are not possible), or use the existing file. Returns why
        its arms are not forks; empty if they are."""
        if not file.exists():
            text = self.plain if no_forks else self.forked
            write_atomic(file, lambda to: to.write(text.encode()))
            return no_forks
        text = file.read_text()
        is_ours = text in (self.forked, self.plain)
        require(is_ours, f"{file}: already exists with different content; choose another file")
        # Forks may have become impossible since the file was written: a run may have lost its state, or never fitted.
        if text != self.plain:
            return ""
        if text == self.forked or no_forks:
            return no_forks
        return f"{file} was written before its runs kept their state; delete it to rewrite it with forks"


def _plugin_modules(run: Run) -> list[str]:
    """The plug-in modules of a run."""
    targets = (run.record.get("plugins") or {}).values()
    return list(dict.fromkeys(str(target).partition(":")[0] for target in targets))


def _of_log(
    source: Path,
    split: str | None,
    criteria: "Criteria | None",
    known: Mapping[str, Any],
    log: LogOptions,
    measured: Sequence[str],
) -> Explained:
    from grokscope.mechanism import Setup, case_of_trajectory
    from grokscope.mechanism import explain as run_checks
    from grokscope.trajectory import from_log

    require_named(log, source, f"grokscope explain {shlex.quote(str(source))}")
    try:
        trajectory = from_log(source, **log.arguments(), measured=pairs(measured, str))
    except ValueError as error:
        raise ValueError(as_options(str(error))) from None
    return Explained(str(source), run_checks(case_of_trajectory(trajectory, Setup(**known), split, criteria)))


def _of_study(file: Path, root: Path, split: str | None) -> ExplainedStudy:
    from grokscope.mechanism.arms import contrasts, words_by_arm
    from grokscope.mechanism.delay_law import calibrated
    from grokscope.mechanism.doses import doses
    from grokscope.study.study import Study, find_study

    study = Study.load(find_study(file))
    states = study.status(root)
    finished = [state for state in states if state.finished]
    require(bool(finished), f"no run of {file} is finished in {root}; train them with: grokscope study run {file}")
    cases, notes = _cases(finished, split, study.criteria)
    if len(finished) < len(states):
        unfinished = f"{len(finished):,} of {plural(len(states), 'run')} are finished; the others are excluded"
        notes.insert(0, unfinished)
    require(bool(cases), "\n".join(notes))
    cells: dict[str, list[Case]] = {}
    for state, case in cases:
        cells.setdefault(state.entry.label, []).append(case)
    law = calibrated(cells)
    members = [_member(state, case, None if law is None else law.law) for state, case in cases]
    arms = words_by_arm(members)
    title = study.title or study.name
    split = members[0].explanation.split
    return ExplainedStudy(title, split, arms, contrasts(members), notes, law, doses(members))


def _cases(
    states: "Sequence[StudyRun]", split: str | None, criteria: "Criteria | None"
) -> "tuple[list[tuple[StudyRun, Case]], list[str]]":
    """The readable runs, and the errors of the others: one bad run does not affect the rest."""
    from grokscope.mechanism import case_of_run

    cases, notes = [], []
    for state in states:
        try:
            cases.append((state, case_of_run(state.run, split, criteria)))
        except ValueError as error:
            notes.append(str(error))
    return cases, notes


def _member(state: "StudyRun", case: "Case", law: "DelayLaw | None") -> "Member":
    from grokscope.mechanism import explain_by
    from grokscope.mechanism.arms import Member

    config = state.entry.config
    flat = with_items(flatten(dump(config)))
    settings = {key: value for key, value in flat.items() if key.partition(".")[0] not in NO_SETTING}
    for whole in ("regime.name", *LISTS):  # a label, and lists whose items stand beside them
        settings.pop(whole, None)
    is_own = law is not None and law.cell == config.regime.name  # a law predicts nothing of what it was made from
    explanation = explain_by(case, None if is_own else law)
    m = case.verdict.milestones
    T_gen = None if m.T_gen.censored else float(m.T_gen.at)
    return Member(config.regime.name, settings, explanation, float(m.end), T_gen)


NO_SETTING = ("seed", "hardware", "evaluate", "diagnose", "checkpoint")
"""Tables of a config that do not define an arm: evaluation and hardware."""
