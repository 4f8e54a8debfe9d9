"""Display of verdicts: label, pictogram, marker and meaning. Color is never the only cue."""

from dataclasses import dataclass

from grokscope.vocabulary.verdicts import KINDS


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


VERDICTS: dict[str, Word] = {
    kind.name: Word(kind.name, kind.marker, kind.train, kind.held_out, kind.meaning) for kind in KINDS
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
