"""From a config to a finished run folder: the step, its parts, the engines and the driver that records what they do."""
