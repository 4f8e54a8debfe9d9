"""Measurements of diagnosed rows, in addition to the scores and norms of every evaluation. Importing it imports no
torch.

The ``standard`` ones are taken in every run that they apply to; those that a config names under ``measure`` come after
them, and any of them can be taken later, from checkpoints. Importing this module registers them all.
"""

from grokscope.train.measurements import bundle, complexity, curvature, movement, prequential, standard, structure

__all__ = ["bundle", "complexity", "curvature", "movement", "prequential", "standard", "structure"]
