"""Measurement of a run's checkpoints after the run."""
