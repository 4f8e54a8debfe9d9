"""The networks. `config` holds what can be written in a file and imports no torch; the modules hold the arithmetic."""
