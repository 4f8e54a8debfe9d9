"""What the data allow: was anything memorized, do the splits leak, and is there too little of it?"""

from dataclasses import dataclass

import numpy as np

from grokscope.mechanism.case import Case
from grokscope.mechanism.check import Answer, Check, lacking, word_of
from grokscope.results.mechanisms import Arm


@dataclass(frozen=True)
class NothingMemorized(Check):
    """A plateau of held-out is memorization only where train is better than the trivial predictor meanwhile."""

    margin: float = 0.05
    """Of the score (accuracy, or R2) above the trivial predictor's."""

    name = "nothing memorized"
    claim = (
        "Nothing was memorized: train stayed at the trivial predictor until held-out moved, and group means were "
        "learned."
    )
    source = "arXiv:2201.02177"
    misleads = (
        "The trivial predictor must be the one of the groups that a network can tell apart at once: a global mean "
        "hides it."
    )
    explains = frozenset({"failed", "late", "broke"})

    def read(self, case: Case) -> Answer:
        t = case.trajectory
        trivial = t.trivial.get("train")
        if trivial is None:
            return lacking("trivial predictor of train")
        if case.fitted_at is not None:
            return Answer("against", "train reached the fit threshold")
        moved = self._moved(case)
        before = t.curve("train")
        best = float(np.max(before.value[before.step <= moved], initial=-np.inf))
        end = float(case.verdict.milestones.end)
        numbers = {"best_train_before": best, "trivial": trivial, "held_out_end": end, "moved_at": moved}
        unit = "R2" if t.kind == "regression" else "accuracy"
        evidence = (
            f"before held-out moved, at {moved:,.6g}, train had reached an {unit} of {best:.3g} at best (trivial "
            f"predictor {trivial:.3g}); held-out ends at {end:.3g}"
        )
        # Group means are what held-out ends with; far below the trivial predictor it has learned nothing yet.
        at_trivial = best <= trivial + self.margin and end >= trivial - self.margin
        word = word_of(supports=at_trivial, against=best >= trivial + 4 * self.margin)
        return Answer(word, evidence, numbers)

    def _moved(self, case: Case) -> float:
        """Where held-out first covers half of the way from its plateau to its best lasting value; the end where it
        hardly moves. The plateau is the median of what lies before that best value."""
        held = case.trajectory.curve(case.split)
        top = int(np.argmax(held.smooth))
        plateau = float(np.median(held.smooth[: top + 1]))
        way = float(held.smooth[top]) - plateau
        if way <= 0.02:
            return float(held.step[-1])
        row = int(np.argmax(held.smooth >= plateau + way / 2))
        return float(held.step[max(row - 1, 0)])


@dataclass(frozen=True)
class Leakage(Check):
    """Held-out at least as good as train while train is still being learned: rows in both splits, the same column
    twice, or two ways of evaluating (dropout, augmentation, batch statistics)."""

    ahead: float = 0.02
    share: float = 0.5

    name = "leakage"
    claim = "The splits leak: held-out was ahead of train while train was being learned."
    source = "arXiv:2201.02177"
    misleads = (
        "Random augmentation and label noise make train harder than held-out honestly; duplicates among rows that "
        "are learned "
        "late do not show in curves, so compare the data itself."
    )
    explains = frozenset({"at once", "not judged", "late"})

    def read(self, case: Case) -> Answer:
        t = case.trajectory
        both = ~np.isnan(t.train) & ~np.isnan(t.held_out[case.split])
        train, held = t.train[both], t.held_out[case.split][both]
        if len(train) < 3:
            return Answer("cannot tell", f"only {len(train):,} rows hold both")
        if np.array_equal(train, held):
            return Answer("supports", "train and held-out are the same column", {"rows": float(len(train))})
        trivial = t.trivial.get("train", 0.0)
        learning = (train > trivial + 0.05) & (train < 0.95)
        count = int(learning.sum())
        if count < 3:
            return Answer("cannot tell", f"only {count} rows lie between the trivial predictor and the fit")
        ahead = float((held[learning] > train[learning] + self.ahead).mean())
        numbers = {"rows": float(count), "share_ahead": ahead}
        evidence = f"held-out is ahead of train in {ahead:.0%} of the {count} rows in which train was being learned"
        return Answer(word_of(supports=ahead >= self.share, against=ahead <= 0.1), evidence, numbers)


@dataclass(frozen=True)
class TooLittleData(Check):
    """Below a critical size no regime generalizes within any budget seen. One run has one size."""

    name = "too little data"
    claim = "There is too little data: below the critical size nothing generalizes."
    source = "arXiv:2309.02390"
    misleads = "A size that is critical under one regime need not be so under another."

    def read(self, case: Case) -> Answer:
        n = case.trajectory.n.get("train")
        if case.outcome in ("late", "at once"):
            return Answer("against", "it generalized with what there is", {"n_train": n})
        if n is None:
            return lacking("number of training examples")
        arm = Arm(
            name="twice the data",
            changes={"task.n_train": 2 * n},
            expects="above the critical size held-out rises late",
        )
        return Answer("cannot tell", f"{n:,} examples; one run has one size", {"n_train": n}, arm=arm)
