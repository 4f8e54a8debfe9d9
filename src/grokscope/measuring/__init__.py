"""Measuring the checkpoints of a run after the run."""
