"""Display of verdicts: label, pictogram, marker and meaning. Color is never the only cue."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A verdict as it is shown: its word, the curve sketched in its pictogram, the marker in figures, its meaning."""

    name: str
    marker: str
    train: str
    held: str
    meaning: str

    @property
    def role(self) -> str:
        """Its color in the palette; words that are no verdicts share one."""
        return self.name if self.name in VERDICTS else "none"


_DOTTED = " M1 10 h2 m2 0 h2 m2 0 h2 m2 0 h2"
_FIT = "M1 14 L4 14 C7 14 7 3 10 3 L27 3"
VERDICTS: dict[str, Word] = {
    word.name: word
    for word in (
        Word(
            "grokked",
            "D",
            _FIT,
            "M1 15 L14 15 C19 15 18 4.5 22 4.5 L27 4.5",
            "memorized first; held-out stayed far below the threshold for most of the delay, then reached it and "
            "kept it",
        ),
        Word(
            "semi-grokked",
            "d",
            _FIT,
            "M1 15 L14 15 C19 15 18 9 22 9 L27 9",
            "a delayed, lasting rise that has leveled off below the threshold",
        ),
        Word(
            "rising",
            "P",
            _FIT,
            "M1 15 L12 15 L27 8",
            "a delayed rise still in progress at the last evaluation; only a longer run can show whether it groks",
        ),
        Word(
            "generalized",
            "o",
            _FIT,
            "M1 15 L5 15 C8 15 8 4.5 12 4.5 L27 4.5",
            "reached the threshold with no real delay after fitting the training data",
        ),
        Word(
            "memorized",
            "s",
            _FIT,
            "M1 15 L8 15 L27 14",
            "fits the training data; held-out does not rise above its plateau within the budget (which does not mean "
            "that it never would)",
        ),
        Word(
            "ungrokked",
            "v",
            _FIT,
            "M1 14 L4 14 C7 14 7 6 10 6 C14 6 15 12 27 13",
            "held-out peaked clearly, beyond noise, and then decayed for the rest of the run; early-peak when it "
            "never generalized, after-grokking when it had",
        ),
        Word(
            "underfit",
            "_",
            "M1 15 L7 15 C14 14 16 10 27 9.5",
            "M1 16 L8 16 C16 15.5 18 13 27 12.5",
            "train accuracy never reached the fit threshold within the budget",
        ),
        Word(
            "unstable",
            "X",
            "M1 14 C4 14 6 3 9 3 L12 3 L13.5 12 L15 3 L19 3 L20.5 13 L22 3 L27 3",
            "M1 15 L10 13 L13.5 15 L17 12 L20.5 15 L27 12",
            "after fitting, the train metric collapsed repeatedly (cyclic) or permanently (lasting); weight decay "
            "that is too strong looks like this",
        ),
        Word(
            "diverged",
            "x",
            "M1 14 L4 14 C7 14 8 6 11 7 L15 12 M14 9 L20 15 M20 9 L14 15",
            "M1 15 L9 14 L13 15",
            "the loss became non-finite, or exploded, and stayed so",
        ),
        Word(
            "recovered-to-baseline",
            "^",
            "M1 12 C5 12 6 3 10 3 L27 3",
            "M1 14 L8 16 L14 16 C19 16 18 10 23 10 L27 10" + _DOTTED,
            "held-out improves late but ends no better than the trivial predictor",
        ),
    )
}
NO_VERDICT = Word(
    "no verdict",
    "|",
    "M1 9 h2 m2 0 h2 m2 0 h2 m2 0 h2 m2 0 h2 m2 0 h2 m2 0 h2",
    "",
    "the run has no evaluations to judge",
)


def word(verdict: str | None) -> Word:
    """How a verdict is shown. Unknown words (of a later version) are shown plainly, never dropped."""
    if verdict is None:
        return NO_VERDICT
    return VERDICTS.get(verdict, Word(verdict, "|", NO_VERDICT.train, "", "not in this version's glossary"))
