"""Files of a run directory: checkpoints, logs, config, videos."""
