"""verdict --rule: the evaluation that a selection rule chooses, and its scores, for runs and logs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from grokscope.commands.logs import as_options
from grokscope.commands.output import Result, print_table
from grokscope.commands.output import number as text
from grokscope.foreign.sources import Listing, Source
from grokscope.verdicts import select
from grokscope.vocabulary.text import p_equation

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.trajectory import Selection


@dataclass
class Selected(Result):
    """The evaluations that selection rules choose for each source, and their scores."""

    chosen: "list[tuple[str, float | None, Selection]]"
    """(source, epoch if known, selection)."""
    errors: dict[str, str] = field(default_factory=dict)
    """Source -> why nothing could be chosen."""

    def data(self) -> Any:
        out: dict[str, dict[str, Any]] = {}
        for source, epoch, s in self.chosen:
            out.setdefault(source, {})[s.rule] = {**s.to_dict(), "epoch": epoch}
        return out | {source: {"error": words} for source, words in self.errors.items()}

    def show(self, console: "Console") -> None:
        splits = list(dict.fromkeys(chain.from_iterable(s.values for _, _, s in self.chosen)))
        header = ["source", "rule", "step", "epoch", *splits, "optimism", "corrected"]
        print_table(console, header, [_selected_cells(*row, splits) for row in self.chosen])
        for source, _, s in self.chosen if len(self.chosen) <= 3 else ():
            console.print(f"{source}: {s.label}: {_optimism(s)}")
        if any(s.oracle for _, _, s in self.chosen):
            console.print(
                "oracle: chosen on a split reserved for reporting; no valid procedure could have stopped there"
            )
        for words in self.errors.values():
            console.print(f"not read: {words}")


def _selected_cells(source: str, epoch: float | None, s: "Selection", splits: Sequence[str]) -> list[str]:
    values = [_or_empty(s.values.get(split)) for split in splits]
    optimism = [_or_empty(s.bias and s.bias.optimism), _or_empty(s.bias and s.bias.corrected)]
    return [source, s.label, text(s.step), _or_empty(epoch), *values, *optimism]


def _or_empty(value: float | None) -> str:
    if value is None or value != value:
        return ""
    return text(value)


def _optimism(s: "Selection") -> str:
    """A sentence on the selection optimism of a chosen maximum."""
    if s.chosen_on is None:
        if s.averaged == 1:
            return "chosen without using a score"
        return f"mean of the last {s.averaged} evaluations"
    if s.bias is None:
        return "selection optimism: not estimable, too few evaluations"
    if s.bias.optimism is None or s.bias.corrected is None or s.bias.p is None:
        return f"selection optimism: not estimable: {s.bias.cannot_tell}"
    return (
        f"selection optimism of the best of {s.bias.evaluations:,} evaluations: {text(s.bias.optimism)} (corrected "
        f"{text(s.bias.corrected)}); a curve without a peak shows an equally high one with {p_equation(s.bias.p)}"
    )


def selections(listing: Listing, rules: Sequence[str], read: Callable[[Source], Any]) -> Selected:
    """Apply every rule to every source; list sources that cannot be read or lack the data of a rule.

    Raises:
        ValueError: for an unknown rule, or if no source allows a choice.
    """
    from grokscope.trajectory.selection import parse_rule

    for rule in rules:  # before any source is read, so that the error does not name a source
        parse_rule(rule)
    chosen: list[tuple[str, float | None, Selection]] = []
    errors = {name: as_options(words) for name, words in listing.errors.items()}
    for source in listing.sources:
        try:
            trajectory = read(source)
            chosen += [(source.name, _epoch(source, s.step), s) for s in (select(trajectory, rule) for rule in rules)]
        except ValueError as error:
            words = as_options(str(error))
            errors[source.name] = words if source.name in words else f"{source.name}: {words}"
    if not chosen:
        raise ValueError("\n".join(list(dict.fromkeys(errors.values()))[:5]))
    return Selected(chosen, errors)


def _epoch(source: Source, step: float) -> float | None:
    """The epoch that a run logged with an evaluation."""
    if source.run is None:
        return None
    metrics = source.run.metrics()
    epochs = metrics.get("epoch")
    logged = [] if epochs is None else epochs[metrics["step"] == step].tolist()
    if logged and logged[0] == logged[0]:
        return logged[0]
    return None
