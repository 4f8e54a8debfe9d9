"""Whether both sides were trained and evaluated on the same examples, which determines what a difference can mean."""

from collections.abc import Sequence

from grokscope.comparison.member import Member
from grokscope.comparison.sides import Side
from grokscope.results.comparison import Data, SplitData
from grokscope.store.same_data import digests_of
from grokscope.vocabulary.splits import in_order
from grokscope.vocabulary.text import listed, plural


def split_data(a: Side, b: Side) -> tuple[SplitData, ...]:
    """Every split of which a digest is recorded on either side; empty where neither side records any."""
    first, second = ([digests_of(m.record) for m in side.members] for side in (a, b))
    names = set[str]().union(*first, *second)
    pairs = _same_seed(a.members, b.members)
    return tuple(_of_split(name, a, b, pairs) for name in in_order(names))


def same_data(pairs: Sequence[SplitData]) -> Data:
    """``same`` where it is of every split; ``other`` where it is not of any one."""
    words = {split.word for split in pairs}
    if "other" in words:
        return "other"
    return "same" if words == {"same"} else "unknown"


def data_sentence(pairs: Sequence[SplitData], a: Side, b: Side) -> str:
    """What a reader must know before any number."""
    if not pairs:
        return f"Data: whether both sides used the same examples is unknown ({_silent(a, b)})."
    if same_data(pairs) == "same":
        return f"Data: the same examples on both sides, in {listed([f.split for f in pairs])} ({pairs[0].says})."
    parts = []
    for word, words in (("other", "other examples in"), ("same", "the same in"), ("unknown", "unknown of")):
        if splits := [f for f in pairs if f.word == word]:
            parts.append(f"{words} {listed([f.split for f in splits])} ({splits[0].says})")
    sentence = f"Data: {'; '.join(parts)}."
    if same_data(pairs) == "other":
        return f"{sentence} This alone may explain differences of scores and times."
    return sentence


def _silent(a: Side, b: Side) -> str:
    logs = [side.name for side in (a, b) if side.kind == "logs"]
    if logs:
        return f"{listed(logs)}: a log records no digest of its data"
    return "no digests are recorded"


def _same_seed(a: Sequence[Member], b: Sequence[Member]) -> list[tuple[Member, Member]]:
    """Runs of one seed; of several arms with one seed each with each."""
    known: dict[int, list[Member]] = {}
    for m in b:
        if m.seed is not None:
            known.setdefault(m.seed, []).append(m)
    pairs = []
    for m in a:
        if m.seed is not None:
            pairs += [(m, other) for other in known.get(m.seed, ())]
    return pairs


def _of_split(name: str, a: Side, b: Side, pairs: Sequence[tuple[Member, Member]]) -> SplitData:
    first, second = ({digests_of(m.record).get(name) for m in side.members} - {None} for side in (a, b))
    if not first or not second:
        lacking = a.name if not first else b.name
        return SplitData(split=name, word="unknown", says=f"{lacking} records no digest of it")
    if len(first) == len(second) == 1:
        word = "same" if first == second else "other"
        return SplitData(split=name, word=word, says="one set of examples on each side")
    return _by_seed(name, pairs)


def _by_seed(name: str, pairs: Sequence[tuple[Member, Member]]) -> SplitData:
    """Where every seed draws its own examples only runs of one seed can have the same."""
    both = [(digests_of(m.record).get(name), digests_of(o.record).get(name)) for m, o in pairs]
    known = [(one, two) for one, two in both if one is not None and two is not None]
    if not known:
        return SplitData(split=name, word="unknown", says="each seed draws its own data, and the sides share no seed")
    other = sum(one != two for one, two in known)
    if other:
        return SplitData(split=name, word="other", says=f"in {other:,} of {plural(len(known), 'pair')} of one seed")
    return SplitData(split=name, word="same", says=f"in all {plural(len(known), 'pair')} of one seed")
