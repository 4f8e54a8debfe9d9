"""Reading training logs that grokscope did not write: formats, cells, rows of one step, and a guess at the columns."""
