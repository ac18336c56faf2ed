import numpy as np
from trainwell.data.split import stratified_choice, stratified_split


def test_a_stratified_choice_takes_the_share_of_every_class() -> None:
    y = np.repeat([0, 1, 2], [100, 50, 6])
    assert np.bincount(y[stratified_choice(y, 0.2)]).tolist() == [20, 10, 1]


def test_every_sample_is_in_one_split_and_always_in_the_same() -> None:
    y = np.random.default_rng(0).integers(0, 4, 500)
    for test_given in (False, True):
        masks = stratified_split(y, test_given)
        assert np.array_equal(np.sum(masks, axis=0), np.ones(500))
        assert np.array_equal(masks, stratified_split(y, test_given))
        assert masks[2].any() != test_given
