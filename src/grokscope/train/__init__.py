"""Training: from a config to a finished run folder, with the step, its parts, the engines and the driver."""
