"""Mirrors: what a run writes to its folder is copied to TensorBoard, W&B or trackio, while it trains or afterward.

The run folder is the truth, and the queue as well: a process of its own for each tracker reads the rows from the
folder and hands them on. Training tells it which folder to read, and never waits for it before the end.
"""
