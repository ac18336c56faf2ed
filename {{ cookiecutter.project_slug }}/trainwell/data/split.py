"""Split samples into train, validation and test.

The split has a seed of its own, so that techniques are compared on the same samples whatever ``seed`` is.
"""

import numpy as np

VALIDATION_FRACTION = 0.2
SPLIT_SEED = 20_240


def stratified_split(y: np.ndarray, test_given: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks (N,) of the train, validation and test samples; no test samples where others are given for that."""
    test = np.zeros(len(y), dtype=bool) if test_given else stratified_choice(y, VALIDATION_FRACTION)
    val = np.zeros_like(test)
    val[~test] = stratified_choice(y[~test], VALIDATION_FRACTION)
    return ~test & ~val, val, test


def stratified_choice(y: np.ndarray, fraction: float) -> np.ndarray:
    """Choose ``fraction`` of the samples of every class, rounded, at random but always the same: a mask (N,)."""
    generator = np.random.default_rng(SPLIT_SEED)
    chosen = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = generator.permutation(np.flatnonzero(y == label))
        chosen[members[: max(1, round(fraction * len(members)))]] = True
    return chosen
