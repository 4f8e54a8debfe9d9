"""Tests over seeds and groups, exact for small numbers.

The unit is the seed for claims about training and the group (patient, slide) for claims about one network; never the
patch. Every result carries n, an effect with its interval, the p-value with its sidedness, the smallest p that such n
allow, and the power for shifts of 1, 1.5 and 2 standard deviations, so that a large p can be read for what it is.
Tests of one family are corrected together by `holm`; a study file's hypotheses are so of themselves.

Heavy libraries (scipy, statsmodels) are imported when a test is run.
"""

from grokscope.inference.compare import boschloo, fisher, mann_whitney, sign_flip
from grokscope.inference.design import attainable, mann_whitney_p, power, smallest_p
from grokscope.inference.families import holm
from grokscope.inference.intervals import bootstrap_interval, cliffs_delta
from grokscope.inference.published import mean_peaks, published_inference, seeds_of_mean, steering_readings
from grokscope.results.seed_tests import Alternative, Counts, Power, Result

__all__ = [
    "Alternative",
    "Counts",
    "Power",
    "Result",
    "attainable",
    "bootstrap_interval",
    "boschloo",
    "cliffs_delta",
    "fisher",
    "holm",
    "mann_whitney",
    "mann_whitney_p",
    "mean_peaks",
    "power",
    "published_inference",
    "seeds_of_mean",
    "sign_flip",
    "smallest_p",
    "steering_readings",
]
