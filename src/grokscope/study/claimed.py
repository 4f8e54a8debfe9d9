"""Published claims in a study file, and the parts of the study that test them.

    [[claimed]]
    id = "grokfast-is-faster"                  # of all study files, once
    quote = "accelerated grokking"             # short, as it is said; or claim = "...", in our words
    source = "arXiv:2405.20233"
    place = "abstract"
    verified_by = ["as fast as plain"]         # names of blocks that hold if it is so: [[expect]], ...
    falsified_by = ["Grokfast takes longer"]   # [[hypothesis]], [[effective_size]]; and if it is not
    toy = "one network, addition modulo 59"    # where the study is smaller than what is claimed
    note = "What a reader should know beside it."

A claim that nothing here tests says why: ``not_run = "..."``; one whose sources do not agree with each other:
``contradicted = "..."``. ``recomputed`` names a published number that follows from published counts
(`grokscope.inference.published`). What became of it is decided by `grokscope.inference.claim_outcome`, never typed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import configio
from grokscope.config import is_whole, require
from grokscope.inference.claim_outcome import RECOMPUTED
from grokscope.limits import brief
from grokscope.registry import nearest
from grokscope.study.conditions import names_in

if TYPE_CHECKING:
    from grokscope.study.effective_size import SizeQuestion
    from grokscope.study.expect import AnyExpectation
    from grokscope.study.hypothesis import Hypothesis

TEXTS = ("id", "quote", "claim", "source", "place", "toy", "not_run", "contradicted", "recomputed", "note")
LISTS = ("verified_by", "falsified_by")
LONGEST = 240
"""Characters of a quote: enough for a sentence."""
SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """One ``[[claimed]]`` block."""

    id: str
    quote: str = ""
    """As it is said ..."""
    claim: str = ""
    """... or in our words."""
    source: str
    place: str = ""
    verified_by: tuple[str, ...] = ()
    falsified_by: tuple[str, ...] = ()
    toy: str = ""
    not_run: str = ""
    contradicted: str = ""
    recomputed: str = ""
    note: str = ""

    @property
    def tested_by(self) -> tuple[tuple[str, bool], ...]:
        """Name of a block, and whether the claim is right where it holds."""
        return (*((name, True) for name in self.verified_by), *((name, False) for name in self.falsified_by))


def bearers(
    expectations: "Sequence[AnyExpectation]", hypotheses: "Sequence[Hypothesis]", sizes: "Sequence[SizeQuestion]" = ()
) -> dict[str, str]:
    """Name of an expectation, hypothesis or effective size -> how it stands to a published claim, where it says so.

    Raises:
        ValueError: an effective size that is called as another block is.
    """
    known = {**{h.name: "" for h in hypotheses}, **{e.name: e.published for e in expectations if e.name}}
    for i, question in enumerate(sizes):
        again = f"$.effective_size[{i}].name: {question.name!r} is the name of another block"
        require(question.name not in known, again)
        if question.name:
            known[question.name] = ""
    return known


def read_claimed(raw: Any, known: Mapping[str, str]) -> tuple[Claimed, ...]:
    """The ``[[claimed]]`` blocks; `known` are the `bearers` of the same file.

    Raises:
        ValueError: an unknown key or name (with the nearest), a claim that neither is tested nor says why not, a quote
            that is no quote but a chapter.
    """
    require(raw is None or isinstance(raw, list), "$.claimed: write [[claimed]] with double brackets, a block for each")
    claims = tuple(_read(block, f"$.claimed[{i}]", known) for i, block in enumerate(raw or ()))
    ids = [claim.id for claim in claims]
    for i, claim in enumerate(claims):
        require(ids.count(claim.id) == 1, f"$.claimed[{i}].id: {claim.id!r} is used twice")
    return claims


def _read(block: Any, where: str, known: Mapping[str, str]) -> Claimed:
    require(isinstance(block, Mapping), f"{where}: expected a table, got {brief(block)}")
    for key in block:
        require(key in (*TEXTS, *LISTS), f"{where}.{key}: unknown key{nearest(key, [*TEXTS, *LISTS])}")
    for key in TEXTS:
        require(isinstance(block.get(key, ""), str), f"{where}.{key}: expected a text, got {brief(block.get(key))}")
    for key in ("id", "source"):
        require(bool(block.get(key)), f"{where}.{key}: missing; a claim needs a name and a source")
    said = [key for key in ("quote", "claim") if block.get(key)]
    require(len(said) == 1, f"{where}.quote: state the claim, as quote (verbatim) or claim (in your own words)")
    length = len(block[said[0]])
    require(length <= LONGEST, f"{where}.{said[0]}: {length} characters; at most {LONGEST}")
    names = {key: _names(block.get(key, []), f"{where}.{key}", known) for key in LISTS}
    for name in names["verified_by"]:
        require(known[name] != "opposite", f'{where}.verified_by: {name!r} is marked published = "opposite"')
    for name in names["falsified_by"]:
        require(known[name] != "claim", f'{where}.falsified_by: {name!r} is marked published = "claim"')
    recomputed = block.get("recomputed", "")
    require(
        recomputed == "" or recomputed in RECOMPUTED,
        f"{where}.recomputed: unknown number {recomputed!r}{nearest(recomputed, list(RECOMPUTED))}",
    )
    texts = {key: block.get(key, "") for key in TEXTS}
    claim = Claimed(**texts, verified_by=names["verified_by"], falsified_by=names["falsified_by"])
    decided = claim.tested_by or claim.recomputed or claim.contradicted
    require(
        bool(decided or claim.not_run),
        f"{where}: list its tests (verified_by, falsified_by), or give the reason why there are none: not_run",
    )
    return claim


def _names(raw: Any, where: str, known: Collection[str]) -> tuple[str, ...]:
    names = tuple(names_in(raw, where))
    for name in names:
        none = f"{where}: no [[expect]], [[hypothesis]] or [[effective_size]] is called {name!r}"
        require(name in known, f"{none}{nearest(name, list(known))}")
    return names


@dataclass(frozen=True)
class ClaimList:
    """A file of claims that no study tests."""

    name: str
    title: str
    claimed: tuple[Claimed, ...]


def read_claim_list(path: Path) -> ClaimList:
    """A file that holds ``schema``, ``title`` and ``[[claimed]]`` blocks, and no study.

    Raises:
        ValueError: naming file and place of what does not fit.
    """
    raw = configio.read_file(path)
    try:
        known = ("schema", "title", "claimed")
        for key in raw:
            require(
                key in known, f"$.{key}: unknown key{nearest(key, list(known))}; a study file belongs one folder up"
            )
        schema = raw.get("schema", 1)
        require(is_whole(schema) and schema <= SCHEMA, f"$.schema: {brief(schema)} is newer than {SCHEMA}")
        require(isinstance(raw.get("title", ""), str), f"$.title: expected a text, got {brief(raw.get('title'))}")
        return ClaimList(path.stem, raw.get("title", ""), read_claimed(raw.get("claimed"), {}))
    except ValueError as error:
        raise ValueError("\n".join(f"{path}: {line}" for line in str(error).split("\n"))) from None
