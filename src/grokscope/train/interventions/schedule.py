"""Which interventions are active in which step, their reference values, and their record.

Moments that wait for `T_fit` are resolved when the driver says that the fit has come; the step after is the first that
can feel it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from grokscope import configio
from grokscope.components import Intervention, LossFunction
from grokscope.config import Regime
from grokscope.moment import Moment, read_moment
from grokscope.train.evaluate import TensorSplit
from grokscope.train.interventions.base import Acting, Training


@dataclass
class _Slot:
    """One intervention of a run: when it may act, and what it did so far."""

    component: Intervention
    acting: Acting
    begin: Moment
    end: Moment | None
    began: int | None = None
    """The last step without it; None before."""
    ended: int | None = None
    """The last step with it."""
    referred_to: dict[str, float | str] = field(default_factory=dict)

    @property
    def acts(self) -> bool:
        return self.began is not None and self.ended is None


class Interventions:
    """All interventions of one run, in the order of its config. Falsy where there are none; such a run's steps pass
    by empty hooks."""

    def __init__(self, components: Sequence[Intervention], training: Training, steps_per_epoch: int):
        self.steps_per_epoch = steps_per_epoch
        self.fitted_at: int | None = None
        """`T_fit`, once the driver has seen it."""
        self.slots = [_slot(component, training, i) for i, component in enumerate(components)]
        self.acting: tuple[Acting, ...] = ()
        """Those that act in the present step."""
        self._index: Tensor | None = None

    def __bool__(self) -> bool:
        return bool(self.slots)

    def overrides(self, hook: Literal["logits", "evaluated"]) -> bool:
        """Whether any of them changes the outputs at some step: those of the training loss, or of evaluation."""
        return any(getattr(type(slot.acting), hook) is not getattr(Acting, hook) for slot in self.slots)

    # -- one step -----------------------------------------------------------------------------------------------------

    def due(self, step: int) -> bool:
        """Whether anything begins or ends when `step` steps have been made."""
        return any(self._turn(slot, step) is not None for slot in self.slots)

    def before_step(self, step: int) -> bool:
        """Begin and end what is due when `step` steps have been made. Returns whether anything did."""
        changed = False
        for slot in self.slots:
            turn = self._turn(slot, step)
            if turn == "end":
                slot.ended = step
            elif turn == "begin":
                slot.referred_to = slot.acting.begin()
                slot.began = step
            changed = changed or turn is not None
        if changed:
            self._collect()
        return changed

    def _turn(self, slot: _Slot, step: int) -> Literal["begin", "end"] | None:
        begin, end = self._bounds(slot)
        over = end is not None and step >= end
        if slot.acts:
            return "end" if over else None
        waits = slot.began is None and not over
        if waits and begin is not None and step >= begin:
            return "begin"
        return None

    def _collect(self) -> None:
        self.acting = tuple(slot.acting for slot in self.slots if slot.acts)

    def _bounds(self, slot: _Slot) -> tuple[int | None, int | None]:
        """(begin, end) as steps; None for a beginning that waits for the fit, and for no end or one that waits."""
        begin = slot.begin.step(self.steps_per_epoch, self.fitted_at)
        end = None
        if slot.end is not None:
            end = slot.end.step(self.steps_per_epoch, self.fitted_at)
        return begin, end

    def settings(self, regime: Regime) -> Regime:
        """The settings in force, from those of the run."""
        for slot in self.slots:
            if slot.acts:
                regime = slot.component.settings(regime)
        return regime

    def batch(self, index: Tensor | None) -> Tensor | None:
        for acting in self.acting:
            index = acting.batch(index)
        self._index = index
        return index

    def logits(self, logits: Tensor) -> Tensor:
        for acting in self.acting:
            logits = acting.logits(logits, self._index)
        return logits

    def gradient(self) -> None:
        for acting in self.acting:
            acting.gradient()

    def after_step(self) -> None:
        for acting in self.acting:
            acting.after_step()

    # -- evaluations --------------------------------------------------------------------------------------------------

    def _shown(self, step: int) -> Iterator[Acting]:
        """What shows in an evaluation after `step` steps: what acted in the last of them, and before the first step
        what will act in it."""
        for slot in self.slots:
            first = step == 0 and self._bounds(slot)[0] == 0
            if slot.acts or first:
                yield slot.acting

    def evaluated(self, logits: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        out = dict(logits)
        for acting in self._shown(step):
            out = {split: acting.evaluated(values, split) for split, values in out.items()}
        return out

    def columns(self, logits: Tensor, train: TensorSplit, loss: LossFunction, step: int) -> dict[str, Tensor | int]:
        out: dict[str, Tensor | int] = {}
        for acting in self._shown(step):
            out |= acting.columns(logits, train, loss)
        return out

    # -- record and state ---------------------------------------------------------------------------------------------

    def record(self, step: int, over: bool) -> list[dict[str, Any]]:
        """What each did up to `step`, as plain data; `over` where the run ends there."""
        return [self._entry(slot, step, over) for slot in self.slots]

    def _entry(self, slot: _Slot, step: int, over: bool) -> dict[str, Any]:
        end = self._bounds(slot)[1]
        ended = step if slot.acts and end is not None and step >= end else slot.ended
        entry = {**configio.dump(slot.component), "began": slot.began, "ended": ended, "referred_to": slot.referred_to}
        if slot.began is not None:
            return {**entry, "state": "acting" if ended is None else "ended"}
        if not over and not self._missed(slot):
            return {**entry, "state": "waiting"}
        return {**entry, "state": "never began", "why": self._why_not(slot, step)}

    def _missed(self, slot: _Slot) -> bool:
        """Whether its end comes no later than its beginning, so that it can never begin."""
        begin, end = self._bounds(slot)
        return begin is not None and end is not None and end <= begin

    def _why_not(self, slot: _Slot, step: int) -> str:
        begin, end = self._bounds(slot)
        if begin is None:
            return f"train was not fitted by step {step:,}"
        if self._missed(slot):
            return f"its end, step {end:,}, is not later than its beginning, step {begin:,}"
        return f"it begins at step {begin:,}, and the run ended at {step:,}"

    def state_dict(self) -> list[dict[str, Any]]:
        return [
            {"began": s.began, "ended": s.ended, "referred_to": s.referred_to, "acting": s.acting.state_dict()}
            for s in self.slots
        ]

    def load_state_dict(self, states: Sequence[dict[str, Any] | None]) -> None:
        """Put saved states back; None leaves an intervention as it is before it begins.

        Raises ValueError for states of another number of interventions."""
        if len(states) != len(self.slots):
            raise ValueError(f"it holds {len(states)} interventions, not {len(self.slots)}")
        for slot, state in zip(self.slots, states, strict=True):
            if state is not None:
                slot.began, slot.ended = state["began"], state["ended"]
                slot.referred_to = dict(state["referred_to"])
                slot.acting.load_state_dict(state["acting"])
        self._collect()


def _slot(component: Intervention, training: Training, number: int) -> _Slot:
    where = f"$.regime.interventions[{number}]"
    try:
        acting = component.build(training)
    except ValueError as error:
        raise ValueError(f"{where}: {component.name!r}: {error}") from None
    if not isinstance(acting, Acting):
        raise ValueError(f"{where}: {component.name!r}: what its build returns extends no Acting")
    end = None
    if component.until is not None:
        end = read_moment(component.until, f"{where}.until")
    return _Slot(component, acting, read_moment(component.from_, f"{where}.from"), end)
