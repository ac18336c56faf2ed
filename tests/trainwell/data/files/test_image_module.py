"""A data module of images: what it measures, what a run keeps of it, and what doctor and predictions read from it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from trainwell.data.batches import Samples, Transform
from trainwell.data.files.image_cache import cached_pixels
from trainwell.data.files.image_folder import list_images
from trainwell.data.files.image_module import ImageDataModule
from trainwell.doctor.problem import problem_of

Photos = Callable[..., Path]


class Thirds(ImageDataModule):
    """A third of the images for each split; train images are augmented to nothing but zeros."""

    size, channels = 8, 3

    def __init__(self, folder: Path) -> None:
        super().__init__(batch_size=4, seed=0)
        self.folder = folder

    def load(self) -> None:
        listed = list_images(str(self.folder))
        pixels, checksum = cached_pixels(str(self.folder), listed.files, self.size, self.channels, None)
        splits = [Samples(pixels[part::3], torch.from_numpy(listed.y)[part::3]) for part in range(3)]
        self.keep(splits, listed.classes, checksum)

    def train_transform(self, samples: Samples) -> Transform:
        return lambda batch, index, epoch: Samples(torch.zeros(len(index), 3, 8, 8), batch.y)


def loaded(folder: Path) -> Thirds:
    data = Thirds(folder)
    data.setup("fit")
    return data


def test_channels_are_standardized_by_the_train_images_alone(photos: Photos) -> None:
    data = loaded(photos())
    pixels = data.train.x.double()
    assert data.standardizer is not None
    mean, deviation = (part.flatten() for part in data.standardizer)
    assert torch.allclose(mean, pixels.mean(dim=(0, 2, 3)))
    assert torch.allclose(deviation, pixels.std(dim=(0, 2, 3), correction=0))
    (batch,) = data.val_dataloader()
    assert batch.x.dtype == torch.float32
    assert torch.allclose(batch.x, data.prepared(data.val.x.numpy()), atol=1e-6)


def test_only_the_train_loader_augments_and_the_doctor_sees_none_of_it(photos: Photos) -> None:
    data = loaded(photos())
    assert not next(iter(data.train_dataloader())).x.any()
    assert next(iter(data.val_dataloader())).x.any()
    problem = problem_of(data)
    assert problem is not None
    assert torch.equal(problem.train.x, data.standardized(data.train, torch.arange(4), 0).x)
    assert torch.equal(problem.val.y, data.val.y)
    assert (problem.num_classes, problem.in_memory, problem.share) == (2, False, 1.0)


def test_a_run_that_has_ended_needs_only_new_images(photos: Photos, tmp_path: Path) -> None:
    trained = loaded(photos())
    (tmp_path / "photos").rename(tmp_path / "new")
    data = Thirds(tmp_path / "gone")
    data.load_state_dict(trained.state_dict())
    data.setup("predict")
    assert (data.in_shape, data.num_classes, data.target_names) == ((3, 8, 8), 2, ["cat", "dog"])
    (expected,), (found,) = (list(of.new_samples(tmp_path / "new")) for of in (trained, data))
    assert torch.equal(found, expected)
    names = data.new_names(tmp_path / "new")
    assert names is not None
    assert len(names) == len(found) == 12
    np.save(tmp_path / "new.npy", trained.val.x.numpy())
    (array,) = data.new_samples(tmp_path / "new.npy")
    assert torch.equal(array, data.prepared(trained.val.x.numpy()))
    assert data.new_names(tmp_path / "new.npy") is None


def test_a_run_is_not_resumed_with_other_images(photos: Photos, tmp_path: Path) -> None:
    state = loaded(photos()).state_dict()
    shutil.copytree(tmp_path / "photos", tmp_path / "copy", copy_function=shutil.copyfile)
    loaded(tmp_path / "copy").load_state_dict(state)
    Image.fromarray(np.zeros((9, 12, 3), np.uint8)).save(tmp_path / "copy" / "dog" / "3.png")
    with pytest.raises(ValueError, match=r"data\.path holds other images than when the run began"):
        loaded(tmp_path / "copy").load_state_dict(state)
