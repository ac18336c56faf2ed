"""Loaders that a run resumes exactly, and what data modules share: splits, standardizing, files."""
