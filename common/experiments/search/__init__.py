"""`sweep`: a search for config values with Optuna; each trial is one or more runs of a grid."""
