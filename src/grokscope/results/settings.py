"""All settings of a dissection, with their reasons."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from grokscope import registry
from grokscope.checks import names_checked, require
from grokscope.results.record import Record
from grokscope.seeds import derive

if TYPE_CHECKING:
    import numpy as np

ERASERS = ("mean_diff", "lda", "probe_rows", "leace", "splince")
RANKINGS = ("standardized_gap", "max_abs_coef")


@names_checked
@dataclass(frozen=True, kw_only=True)
class Settings(Record):
    """Every choice of the battery, with its reason. All of it is stored with the results."""

    seed: int = 0
    """Of the parts and of everything that is drawn."""
    shares: tuple[float, float, float] = (0.5, 0.25, 0.25)
    """Fit, select, test. [share]"""
    draws: int = 99
    """Random draws of each control: the fewest with which a two-sided p can fall below .05 with room for a tie.
    [count]"""
    permutations: int = 999
    """Permutations of the labels behind a probe's p: no refit, so they cost nothing. [count]"""
    resamples: int = 999
    """Bootstrap resamples of the groups (fewer, down to 199, on sets of more than 32,000 units). [count]"""
    alpha: float = 0.05
    """Level of every verdict. [probability]"""
    tolerance: float = 0.10
    """A probe counts as at chance when its interval ends below chance plus this (balanced accuracy). [share]"""
    negligible: float = 0.25
    """Share of what the class moves the logits by, below which the environment's part is negligible: it counts as
    unused when the interval of its gap ends below it (a test that found nothing does not show that there is nothing),
    and as used negligibly when what the edit takes is real and smaller than this. [share]"""
    balance: Literal["class", "none"] = "class"
    """``class`` weights the examples so that environment and class are independent; ``none`` is as published."""
    regularization: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """Inverse L2 strengths C of the probes (features standardized), from which the select part chooses. [1]"""
    refit_regularization: tuple[float, ...] = (1e-3, 1e-2, 1e-1)
    """C of the probes refitted on edited features; the most successful one is reported, and its p pays for the
    choice. [1]"""
    probe_controls: int = 2
    """Random labelings behind each selectivity. [count]"""
    erasers: tuple[str, ...] = ERASERS
    """Names of the erasers, in the order in which they are reported."""
    lda_rounds: int = 1
    """Repeats of LDA on what the rounds before left: rank (environments - 1) x rounds. [count]"""
    steps: tuple[float, ...] = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
    """Steering strengths, the published range. [units of steering]"""
    sigma_on: Literal["fit", "select", "test"] = "fit"
    """The set whose spread along the direction is one unit of relative steering."""
    fixed_step: float = 1.0
    """One unit of fixed-norm steering: the same for every network that is compared. [units of the features]"""
    norm_share: float = 0.1
    """One unit of norm-relative steering: this share of the mean length of a feature vector. [share]"""
    halves: int = 20
    """Random halvings of the fit part behind the reliability of the steering direction. [count]"""
    ks: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
    """Numbers of neurons ablated: the published ones, and 1 and 2, for a shortcut may sit in a single channel.
    [neurons]"""
    ranking: str = "standardized_gap"
    """How neurons are ranked; the other one needs the probes."""
    ablation: Literal["zero", "mean"] = "mean"
    """The ablation that verdicts rest on (both are reported): zero leaves the data's range where neurons are rarely
    0."""

    def __post_init__(self) -> None:
        require(self.draws >= 1, f"draws must be at least 1, got {self.draws}")
        require(self.permutations >= 1, f"permutations must be at least 1, got {self.permutations}")
        require(self.resamples >= 1, f"resamples must be at least 1, got {self.resamples}")
        require(0 < self.alpha < 1, f"alpha must lie in (0, 1), got {self.alpha}")
        require(0 < self.negligible < 1, f"negligible must lie in (0, 1), got {self.negligible}")
        require(0 < self.tolerance < 1, f"tolerance must lie in (0, 1), got {self.tolerance}")
        for key in ("regularization", "refit_regularization"):
            values = getattr(self, key)
            require(len(values) > 0 and min(values, default=0) > 0, f"{key} must be positive numbers, got {values}")
        unknown = [e for e in self.erasers if e not in ERASERS and e not in registry.entries("eraser")]
        require(not unknown, f"erasers: unknown {unknown}; known: {', '.join(registry.entries('eraser'))}")
        require(self.ranking in RANKINGS, f"ranking: unknown {self.ranking!r}; known: {', '.join(RANKINGS)}")
        require(all(k >= 0 for k in self.ks) and any(self.ks), f"ks must be counts, one above 0, got {self.ks}")
        require(0.0 in self.steps and len(self.steps) >= 3, "steps must hold 0 and at least two others")
        require(self.lda_rounds >= 1 and self.halves >= 1 and self.probe_controls >= 1, "counts must be at least 1")

    def rng(self, *purpose: str) -> "np.random.Generator":
        """A generator of its own for each purpose, so that adding a control changes no other number."""
        from numpy.random import default_rng

        return default_rng(derive(self.seed, "dissect", *purpose))
