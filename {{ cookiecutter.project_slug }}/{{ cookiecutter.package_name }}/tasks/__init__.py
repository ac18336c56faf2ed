"""Tasks: LightningModules, one a module."""
