"""Search for hyperparameters with Optuna: spaces, studies, pruning, results."""
