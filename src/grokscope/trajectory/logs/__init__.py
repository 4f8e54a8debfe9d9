"""Read external training logs: formats, cells, rows of one step, and suggested columns."""
