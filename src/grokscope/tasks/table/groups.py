"""Whether equal group numbers in several environments are one patient, or each hospital has its own numbering."""

import re
from collections.abc import Sequence
from typing import Any

_NUMBER = re.compile(r"\d{1,9}")
_FEWEST = 3
"""Numbers that an environment must have before they look like a count: one or two agree by chance."""
_FULL = 0.8
"""Share of the numbers up to the highest that must be there."""


def told_apart(groups: Sequence[Any], environments: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """The groups (n,), those of an environment that counts anew as ``environment/group``, and what to say of it.

    An environment counts anew when its groups are numbers that begin at 0 or 1, nearly without gaps, at least three of
    them, all of them stand in other environments too, and some of those environments have other numbers than it has.
    Where all have the very same numbers, they may be the same patients seen by several scanners, and stay one. So does
    everything else: an equal name is then the same group, wherever it stands.

    Misleads: where the first patients of one numbering, and nobody else, were seen in a second hospital too. Groups
    that are not mere numbers (``p000``) are never told apart.
    """
    members: dict[Any, set[Any]] = {}
    for group, environment in zip(groups, environments, strict=True):
        members.setdefault(environment, set()).add(group)
    anew = {env for env, of_env in members.items() if _counts(of_env) and _recurs(env, members)}
    if not anew:
        return list(groups), []
    pairs = zip(groups, environments, strict=True)
    return [f"{env}/{group}" if env in anew else str(group) for group, env in pairs], [_said(anew, members)]


def _counts(groups: set[Any]) -> bool:
    """Whether these are numbers counted from 0 or 1."""
    if not all(_NUMBER.fullmatch(str(group)) for group in groups):
        return False
    numbers = {int(group) for group in groups}
    first, last = min(numbers), max(numbers)
    return len(groups) == len(numbers) >= _FEWEST and first <= 1 and len(numbers) >= _FULL * (last - first + 1)


def _recurs(environment: Any, members: dict[Any, set[Any]]) -> bool:
    """Whether all of its groups stand elsewhere, and not everywhere as the very same set."""
    groups = members[environment]
    others = [other for env, other in members.items() if env != environment and groups & other]
    return groups <= set().union(*others) and any(other != groups for other in others)


def _said(anew: set[Any], members: dict[Any, set[Any]]) -> str:
    names = sorted(anew, key=str)
    example = min(members[names[0]])
    return (
        f"group numbers restart in environment {', '.join(map(str, names[:5]))}{(' ...' if len(names) > 5 else '')}, "
        f"so equal numbers are treated as different groups (there {names[0]}/{example}); if they are the same, use "
        f"names that are not only digits (p{example})"
    )
