"""Carrying out many runs: one protocol, and an executor for this process and one for a pool of worker processes."""
