"""Tasks: each builds named splits of numpy arrays and computes its trivial predictor."""
