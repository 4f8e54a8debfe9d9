"""Train many runs of one architecture at once: their weights are stored in stacked tensors, and each keeps its own
folder.

Shapes: K members of a stack, n examples of a batch; a weight of shape (...) is one slice of a leaf of shape (K, ...).
"""
