"""Scikit-learn's handwritten digits: 1797 images of 8 by 8 pixels."""

import torch
from trainwell.data.batches import Samples
from trainwell.data.in_memory import InMemoryDataModule
from trainwell.data.split import split_samples
from trainwell.data.standardize import Standardizer


class Digits(InMemoryDataModule):
    """1151 train, 287 validation and 359 test samples, standardized by one mean and deviation of all train pixels.

    With a ``fold``, the samples that are not test samples are cut into ``folds`` parts, one of which validates.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI.
    """

    def load(self) -> None:
        from sklearn.datasets import load_digits

        images, y = load_digits(return_X_y=True)
        images = images.reshape(-1, 8, 8)
        train, val, test = split_samples(y, self.rule)
        self.standardizer = Standardizer(torch.tensor(images[train].mean()), torch.tensor(images[train].std()))
        x = self.standardizer(torch.from_numpy(images)).numpy()
        self.train = Samples.from_numpy(x[train], y[train])
        self.val = Samples.from_numpy(x[val], y[val])
        self.test = Samples.from_numpy(x[test], y[test])
        self.num_classes = 10
