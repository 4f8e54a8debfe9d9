"""Execution of many runs: one protocol, with executors for this process and for a pool of worker processes."""
