import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from trainwell.data.batches import Samples
from trainwell.data.in_memory import InMemoryDataModule
from trainwell.data.standardize import Standardizer


class Small(InMemoryDataModule):
    """40 train samples; counts how often it is loaded."""

    loads = 0
    integers = False

    def load(self) -> None:
        self.loads += 1
        generator = np.random.default_rng(0)
        x = np.arange(120).reshape(60, 2) if self.integers else generator.normal(size=(60, 2))
        y = np.arange(60) % 4
        parts = (slice(0, 40), slice(40, 50), slice(50, 60))
        self.train, self.val, self.test = (Samples.from_numpy(x[part], y[part]) for part in parts)
        self.num_classes = 4


def small(**kw: float) -> Small:
    data = Small(**{"batch_size": 16, "seed": 0, **kw})  # type: ignore[arg-type]
    data.setup("fit")
    return data


def test_it_is_loaded_once() -> None:
    data = small(label_noise=0.5)
    noisy = data.train.y.clone()
    data.setup("test")
    data.setup()
    assert data.loads == 1
    assert torch.equal(data.train.y, noisy)


def test_it_can_be_printed() -> None:
    assert str(Small(batch_size=16, seed=0)) == "Small: not loaded"
    assert str(small()) == "Small: 40 train, 10 val, 10 test"


def test_label_noise_makes_its_share_of_the_train_classes_wrong_and_no_other() -> None:
    right, noisy = small(), small(label_noise=0.4)
    assert torch.equal(right.train.y, torch.arange(40) % 4)
    assert (noisy.train.y != right.train.y).sum() == 16
    assert noisy.train.y.unique().tolist() == [0, 1, 2, 3]
    assert torch.equal(noisy.train.y, small(label_noise=0.4).train.y)
    for split in ("val", "test"):
        assert torch.equal(getattr(noisy, split).y, getattr(right, split).y)


def test_only_train_batches_are_shuffled() -> None:
    data = small()
    assert data.in_shape == (2,)
    assert torch.equal(torch.cat([y for _, y in data.val_dataloader()]), data.val.y)
    assert torch.equal(torch.cat([x for x, _ in data.test_dataloader()]), data.test.x)
    assert not torch.equal(torch.cat([x for x, _ in data.train_dataloader()]), data.train.x)


class Listener(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def training_step(self, batch: Samples, batch_index: int) -> None:
        self.seen.append(batch.x)

    def configure_optimizers(self) -> None:
        return None


@pytest.mark.filterwarnings("ignore")  # Lightning's advice
def test_overfit_batches_are_the_same_in_every_epoch() -> None:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    listener = Listener()
    Trainer(accelerator="cpu", max_epochs=2, overfit_batches=1, **quiet).fit(listener, datamodule=small())
    assert torch.equal(*listener.seen)


def test_new_samples_are_prepared_as_the_train_samples_were() -> None:
    data = small()
    assert torch.equal(data.prepared(data.val.x.double().numpy()), data.val.x)
    data.standardizer = Standardizer(torch.tensor([1.7e9, 0.0]), torch.tensor([2.0, 1.0]))
    assert data.prepared(np.array([[1.7e9 + 1, 3]])).tolist() == [[0.5, 3]]
    with pytest.raises(ValueError, match=r"every value must be within the range of float32, .* got 1e\+39"):
        data.prepared(np.array([[0, 1e39]]))


def test_new_integers_stay_integers_and_nothing_else_is_taken_for_one() -> None:
    data = Small(batch_size=16, seed=0)
    data.integers = True
    data.setup()
    assert data.train.x.dtype == torch.int64
    assert data.prepared(np.array([[1.0, 5.0]])).tolist() == [[1, 5]]
    with pytest.raises(ValueError, match=r"every value must be an integer, as the network takes it, got 1.5"):
        data.prepared(np.array([[1.5, 5.0]]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("ignore")
def test_samples_that_fit_lie_on_the_trainers_device(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    data = small()
    Trainer(accelerator="gpu", devices=1, max_epochs=1, **quiet).fit(Listener(), datamodule=data)
    assert data.train_dataloader().samples.x.device.type == "cuda"
    monkeypatch.setattr("trainwell.data.in_memory.available_memory", lambda device: 100)
    assert data.train_dataloader().samples.x.device.type == "cpu"
