"""The published inference of the shortcut study, recomputed from its counts."""

from grokscope.inference.compare import fisher
from grokscope.results.seed_tests import Result


def published_inference() -> tuple[Result, Result]:
    """The study's two tests of shares, one-sided as published: .286 and .179; their two-sided values are .464 and .196.

    Its Mann-Whitney p of .071 for steering (5 v 3 seeds) does not say its sidedness: `attainable` finds U = 13 of 15
    one-sided and U = 14 two-sided. In neither case do the two sides reach .05.
    """
    return (
        fisher((4, 5), (1, 3), "greater", question="monotone steering: grokking-favorable 4/5, standard 1/3"),
        fisher((3, 5), (0, 3), "greater", question="separated neurons at K = 64: grokking-favorable 3/5, standard 0/3"),
    )
