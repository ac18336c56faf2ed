"""An epoch of augmented batches against transforms of single images in a DataLoader, in turn; nothing is trained:

python -m benchmarks.speed.augmentation
"""

from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad
from torch.utils.data import DataLoader

from ..project import TEMPLATE, Project
from .page import ratio, spread
from .per_sample import standardized
from .settings import TABLES


class PerImage(list[tuple[torch.Tensor, int]]):
    """Each image is standardized, mirrored, padded and cropped, and gets a rectangle erased, on its own."""

    def __getitem__(self, number: Any) -> Any:
        pixels, y = super().__getitem__(number)
        keys, (height, width) = TABLES["augmentation"]["keys"], pixels.shape[1:]
        x = standardized(pixels.float(), 127.5, 73.9)
        x = x.flip(-1) if torch.rand(()) < keys["flip"] else x
        top, left = np.random.randint(0, 2 * keys["shift"] + 1, 2)
        x = pad(x, 4 * (keys["shift"],))[:, top : top + height, left : left + width].contiguous()
        if torch.rand(()) < keys["erase"]:
            area, sides = height * width * np.random.uniform(0.02, keys["erase_area"]), np.random.uniform(0.3, 1 / 0.3)
            high, wide = (int(min(height, max(1, side**0.5))) for side in (area * sides, area / sides))
            top, left = np.random.randint(height - high + 1), np.random.randint(width - wide + 1)
            x[:, top : top + high, left : left + wide] = 0
        return x, y


def main() -> None:
    Project(TEMPLATE / "build" / "bench")
    from my_network.data.augment import Augment
    from trainwell.data.batches import Batches, Samples

    table, size = TABLES["augmentation"], TABLES["augmentation"]["batch_size"]
    torch.set_num_threads(table["threads"])
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, table["shape"], dtype=np.uint8))
    samples, augment = Samples(images, torch.arange(len(images)) % 10), Augment(**table["keys"], mixup=0)
    transform = augment.transform(samples, lambda batch, *_: batch._replace(x=(batch.x - 127.5) / 73.9), 0, 10)
    loaders: dict[str, Any] = {"whole batches": Batches(samples, size, 0, transform)}
    for workers in table["workers"]:
        options = {"shuffle": True, "num_workers": workers, "persistent_workers": workers > 0}
        loaders[f"{workers} workers"] = DataLoader(PerImage(zip(*samples, strict=True)), size, **options)
    seconds: dict[str, list[float]] = {name: [] for name in loaders}
    for name in [*loaders] * (1 + table["rounds"]):
        since, _ = perf_counter(), [None for _ in loaders[name]]
        seconds[name].append(perf_counter() - since)
    for name, (_, *turns) in seconds.items():  # the first starts the workers
        ratios = spread(*ratio(turns, seconds["whole batches"][1:]), digits=1)
        print(f"{name:14}{np.median(turns):7.3f} s an epoch, {ratios} times as long")


if __name__ == "__main__":
    main()
