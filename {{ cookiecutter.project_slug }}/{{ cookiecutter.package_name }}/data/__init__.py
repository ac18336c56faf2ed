"""Data: LightningDataModules, one a module."""
