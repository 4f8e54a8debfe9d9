"""Images as arrays: reading files, a cache of what was decoded, and contact sheets of what a task shows."""
