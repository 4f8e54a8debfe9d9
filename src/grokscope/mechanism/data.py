"""Checks of the data: was anything memorized, do the splits leak, are they scored alike, and is there too little
data?"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import binomtest

from grokscope.mechanism.case import Case
from grokscope.mechanism.check import Answer, Check, lacking, not_applicable, word_of
from grokscope.results.mechanisms import Arm
from grokscope.vocabulary.text import percent, plural


@dataclass(frozen=True)
class NothingMemorized(Check):
    """A plateau of held-out is memorization only where train is better than the trivial predictor meanwhile."""

    margin: float = 0.05
    """Of the score (accuracy, or R2) above the trivial predictor's."""
    still: float = 0.02
    """A rise of held-out up to this is none."""

    name = "nothing memorized"
    claim = (
        "Nothing was memorized: train stayed at the trivial predictor until held-out moved, and group means were "
        "learned."
    )
    source = "arXiv:2201.02177"
    misleads = (
        "The trivial predictor must use the groups that a network can distinguish at once; a global mean hides this."
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
        until = case.until if moved is None else moved
        best = float(np.max(before.value[before.step <= until], initial=-np.inf))
        end = float(case.verdict.milestones.end)
        numbers = {"best_train_before": best, "trivial": trivial, "held_out_end": end, "moved_at": moved}
        unit = "R2" if t.kind == "regression" else "accuracy"
        is_better = best >= trivial + 4 * self.margin
        if moved is None:
            evidence = (
                f"train got to an {unit} of {best:.3g} at best (trivial predictor {trivial:.3g}), and held-out never "
                f"improved, so the curves do not show whether anything was learned"
            )
            return Answer(word_of(supports=False, against=is_better), evidence, numbers)
        evidence = (
            f"before held-out improved, at {moved:,.6g}, train had reached an {unit} of {best:.3g} at best (trivial "
            f"predictor {trivial:.3g}); held-out ends at {end:.3g}"
        )
        # Group means are what held-out ends with; far below the trivial predictor it has learned nothing yet.
        at_trivial = best <= trivial + self.margin and end >= trivial - self.margin
        word = word_of(supports=at_trivial, against=is_better)
        return Answer(word, evidence, numbers, arm=FITTED)

    def _moved(self, case: Case) -> float | None:
        """Where held-out first covers half of the way from its plateau to its best lasting value; None where it hardly
        moves. The plateau is the median of what lies before that best value."""
        held = case.trajectory.curve(case.split)
        top = int(np.argmax(held.smooth))
        plateau = float(np.median(held.smooth[: top + 1]))
        way = float(held.smooth[top]) - plateau
        if way <= max(self.still, NOISE_OF_A_PEAK * (held.roughness or 0.0)):
            return None
        row = int(np.argmax(held.smooth >= plateau + way / 2))
        return float(held.step[max(row - 1, 0)])


NOISE_OF_A_PEAK = 3.0
"""Standard deviations of single evaluations up to which the highest of many smoothed ones lies above their median."""
FITTED = Arm(
    name="trained until it fits",
    changes={},
    expects="only once train is better than the trivial predictor can held-out lag behind it",
    in_own_loop="train longer, at a higher learning rate, or a larger network, until it fits its training set",
)


@dataclass(frozen=True)
class LabelNoise(Check):
    """Whether the training labels were drawn at random when the run began: then no mechanism is missing."""

    name = "label noise"
    claim = "The training labels are noise: there is nothing to generalize to."
    source = "arXiv:1611.03530"
    misleads = (
        "Only noise drawn by grokscope, or declared, is known. Labels that were already random look like a memorized "
        "task with too little data."
    )

    def is_reason(self, case: Case, answer: Answer) -> bool:
        return case.outcome in self.explains

    def read(self, case: Case) -> Answer:
        noise = case.setup.label_noise
        if noise is None:
            return lacking("label_noise")
        if noise == 0:
            return not_applicable("no training label was replaced")
        evidence = f"{percent(noise)} of the training labels were replaced by random ones"
        return Answer(
            word_of(supports=case.labels_are_noise, against=False), evidence, {"label_noise": noise}, arm=CLEAN
        )


CLEAN = Arm(
    name="labels as they are", changes={"regime.label_noise": 0.0}, expects="with the true labels held-out rises"
)


@dataclass(frozen=True)
class Leakage(Check):
    """Rows of train that stand in held-out, where the data was compared; else held-out at least as good as train while
    train is still being learned, or one column under two names."""

    ahead: float = 0.02
    share: float = 0.5
    many: float = 0.05
    """Share of held-out rows that stand in train, from which they could carry a rise."""

    name = "leakage"
    claim = "The splits leak: rows of train stand in held-out, or held-out was ahead of train while train was learned."
    source = "arXiv:2201.02177"
    misleads = (
        "Rows are compared bit for bit, so near-duplicates are missed. In curves, augmentation and label noise "
        "legitimately make train harder than held-out, and duplicates among rows that are learned late do not show."
    )
    explains = frozenset({"at once", "not judged", "late"})

    def read(self, case: Case) -> Answer:
        same = _same_columns(case)
        if same:
            numbers = {"rows": float(len(case.trajectory.step))}
            return Answer("supports", f"{same} are the same column", numbers, arm=DISJOINT)
        known = case.setup.rows_in_train.get(case.split)
        if known:
            return self._of_rows(case, known)
        curves = self._of_curves(case)
        if known is None or curves.word == "supports":
            return curves
        evidence = f"no row of {case.split} is in train; {curves.evidence}"
        return Answer("against", evidence, {**curves.numbers, "rows_in_train": 0.0})

    def _of_rows(self, case: Case, known: int) -> Answer:
        n = case.trajectory.n.get(case.split)
        share = known / n if n else None
        numbers = {"rows_in_train": float(known), "share_in_train": share}
        of = f"{known:,} rows" if share is None else f"{known:,} of {n:,} rows ({percent(share, 1)})"
        evidence = f"{of} of {case.split} are also in train"
        # A few shared rows are a fault of the data, and still too few to have carried what is to be explained.
        word = word_of(supports=share is None or share >= self.many, against=False)
        return Answer(word, evidence, numbers, arm=DISJOINT)

    def _of_curves(self, case: Case) -> Answer:
        t = case.trajectory
        both = ~np.isnan(t.train) & ~np.isnan(t.held_out[case.split])
        train, held = t.train[both], t.held_out[case.split][both]
        if len(train) < 3:
            return Answer("cannot tell", f"only {plural(len(train), 'row')} with both scores")
        trivial = t.trivial.get("train", 0.0)
        learning = (train > trivial + 0.05) & (train < 0.95)
        count = int(learning.sum())
        if count < 3:
            return Answer("cannot tell", f"only {plural(count, 'row')} between the trivial predictor and the fit")
        ahead, low = share_ahead(held[learning], train[learning], self.ahead)
        numbers = {"rows": float(count), "share_ahead": ahead, "share_low": low}
        evidence = (
            f"held-out is ahead of train in {percent(ahead)} of the {count} rows in which train was being learned"
        )
        return Answer(word_of(supports=low >= self.share, against=ahead <= 0.1), evidence, numbers, arm=DISJOINT)


DISJOINT = Arm(
    name="splits without shared rows",
    changes={},
    expects="held-out no longer rises with train",
    in_own_loop="take out of the held-out splits every row that also stands in train, and log each column once",
    raises=False,
)


def share_ahead(held: np.ndarray, train: np.ndarray, by: float) -> tuple[float, float]:
    """The share of rows in which held-out (t,) is ahead of train by so much, and what they speak for at least."""
    count = int((held > train + by).sum())
    return count / len(train), lowest_share(count, len(train))


@cache
def lowest_share(count: int, n: int) -> float:
    """The share that `count` of n rows speak for at least: the lower end of Wilson's 99 % interval. Scores of two
    columns that differ by noise alone are ahead of each other in at most half of the rows, and in few rows by luck in
    all of them."""
    return float(binomtest(count, n).proportion_ci(0.99, method="wilson").low)


def _same_columns(case: Case) -> str | None:
    """Train, or another held-out split, that has the same scores as this one in every row: ``train and id_val``. None
    where there is none, or where scores are too few or too alike for equality to mean anything."""
    t = case.trajectory
    held = t.held_out[case.split]
    others = {"train": t.train} | {name: values for name, values in t.held_out.items() if name != case.split}
    for name, values in others.items():
        both = ~np.isnan(values) & ~np.isnan(held)
        distinct = np.unique(held[both])
        if both.sum() >= 3 and np.array_equal(values[both], held[both]) and len(distinct) > 2:
            return f"{name} and {case.split}"
    return None


@dataclass(frozen=True)
class EvaluationMode(Check):
    """Whether train and held-out are scored in the same way. Of two samples of one distribution train cannot stay the
    harder one once it is learned; where it does, it is scored with dropout, augmentation or batch statistics on, as an
    average over an epoch, or against noisy labels."""

    ahead: float = 0.02
    share: float = 0.8

    name = "evaluation mode"
    claim = "Train is scored in another way than held-out: in training mode, or while it is learned."
    source = "arXiv:1502.03167"
    misleads = (
        "A held-out set that is easier than train looks the same; a score that is averaged over an epoch shows only "
        "where scores change fast."
    )
    explains = frozenset({"at once", "failed", "not judged"})

    def read(self, case: Case) -> Answer:
        t, noise = case.trajectory, case.setup.label_noise
        if noise:
            return not_applicable(
                f"{percent(noise)} of the training labels are wrong, so train is legitimately the harder split"
            )
        if case.setup.evaluated_alike:
            return not_applicable("both are scored in eval mode, over all rows, without augmentation")
        both = ~np.isnan(t.train) & ~np.isnan(t.held_out[case.split])
        late = both & (t.step >= t.step[0] + 0.75 * (t.step[-1] - t.step[0]))
        train, held = t.train[late], t.held_out[case.split][late]
        if len(train) < 3:
            return Answer("cannot tell", f"only {plural(len(train), 'row')} of the last quarter with both scores")
        gap = float(np.median(held - train))
        ahead, low = share_ahead(held, train, self.ahead)
        numbers = {"share_ahead": ahead, "share_low": low, "median_gap": gap}
        evidence = (
            f"in the last quarter held-out is ahead of train in {percent(ahead)} of {len(train):,} rows "
            f"(median {gap:+.3f})"
        )
        word = word_of(supports=ahead >= self.share and low > 0.5, against=ahead <= 0.1)
        return Answer(word, evidence, numbers, arm=SCORED_ALIKE)


SCORED_ALIKE = Arm(
    name="train scored as held-out is",
    changes={},
    expects="train is no longer behind held-out, in eval mode and over all rows after the epoch",
    in_own_loop="score train as held-out is scored: model.eval(), no augmentation, all rows, after the update "
    "(Recorder.evaluate does so)",
)


@dataclass(frozen=True)
class TooLittleData(Check):
    """Below a critical size no regime generalizes within any budget seen. One run has one size."""

    name = "too little data"
    claim = "There is too little data: below the critical size nothing generalizes."
    source = "arXiv:2309.02390"
    misleads = "A size that is critical under one regime may not be critical under another."

    def read(self, case: Case) -> Answer:
        n = case.trajectory.n.get("train")
        if case.outcome in ("late", "at once"):
            return Answer("against", "it generalized with the available data", {"n_train": n})
        if n is None:
            return lacking("number of training examples")
        arm = Arm(
            name="twice the data",
            changes={"task.n_train": 2 * n},
            expects="above the critical size held-out rises late",
        )
        return Answer("cannot tell", f"{n:,} examples; one run has one size", {"n_train": n}, arm=arm)
