import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule
from trainwell.runs import checkpoint_io
from trainwell.runs.checkpoint_io import AtomicCheckpointIO, load_weights, read_checkpoint


class Linear(LightningModule):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(width, 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "best.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": Linear().state_dict()}, path)
    return path


def test_what_is_saved_is_an_ordinary_torch_checkpoint(path: Path) -> None:
    for mmap in (False, True):
        assert torch.load(path, weights_only=True, mmap=mmap).keys() == {"state_dict"}
    assert zipfile.is_zipfile(path)
    assert AtomicCheckpointIO().load_checkpoint(path)["state_dict"].keys() == {"linear.weight", "linear.bias"}


def test_a_full_disk_leaves_the_older_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(place: Path, content: Any) -> None:
        place.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_best_weights_wait_for_the_next_checkpoint_or_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_io, "PAUSE", 1e9)
    plugin, best, weight = AtomicCheckpointIO(), tmp_path / "best.ckpt", torch.zeros(())

    def written() -> float:
        return read_checkpoint(best)["state_dict"]["weight"].item()

    def improve(value: float) -> None:
        plugin.save_checkpoint({"state_dict": {"weight": weight.fill_(value)}}, best)
        weight.fill_(-1.0)  # by the next step

    improve(1.0)
    assert written() == 1.0
    improve(2.0)
    improve(3.0)
    assert written() == 1.0
    plugin.save_checkpoint({"state_dict": {}}, tmp_path / "next.ckpt")
    assert written() == 3.0
    improve(4.0)
    plugin.teardown()
    assert written() == 4.0


def test_best_weights_do_not_wait_if_writing_takes_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_io, "PAUSE", 0)
    plugin, best = AtomicCheckpointIO(), tmp_path / "best.ckpt"
    for value in range(3):
        plugin.save_checkpoint({"state_dict": {"weight": torch.tensor(value)}}, best)
        assert read_checkpoint(best)["state_dict"]["weight"] == value


def test_a_checkpoint_that_something_else_has_saved_is_checked_by_its_records(tmp_path: Path) -> None:
    path = tmp_path / "theirs.ckpt"
    module = Linear()
    torch.save({"state_dict": module.state_dict()}, path)
    assert torch.equal(read_checkpoint(path)["state_dict"]["linear.bias"], module.linear.bias)
    content = path.read_bytes()
    weights = module.linear.weight.detach().numpy().tobytes()
    assert content.count(weights) == 1
    damaged = bytearray(content)
    damaged[content.index(weights)] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="cannot be read: is damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"PK\5\6" + bytes(18), b"\x80\x02X\xff\xff\xff\xff.", None, "x"]
)
def test_what_is_no_checkpoint_is_answered_with_one_line(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    if content is None:
        path.mkdir()
    elif content == "x":
        torch.save({"epoch": 1}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot be read: .") as refusal:
        load_weights(Linear(), path)
    assert "\n" not in str(refusal.value)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    path, sentinel = tmp_path / "best.ckpt", tmp_path / "called"

    class Attack:
        def __reduce__(self) -> Any:
            return (Path.touch, (sentinel,))

    torch.save({"state_dict": Attack()}, path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_checkpoint(path)
    assert not sentinel.exists()


def test_weights_of_another_network_are_refused_by_name(path: Path) -> None:
    with pytest.raises(ValueError, match=r"linear.weight was \(2, 3\), is \(2, 4\)"):
        load_weights(Linear(4), path)
    load_weights(Linear(3), path)


def test_a_network_that_is_built_in_configure_model_gets_its_weights(path: Path) -> None:
    class Late(LightningModule):
        def configure_model(self) -> None:
            self.linear = torch.nn.Linear(3, 2)

    module = Late()
    load_weights(module, path)
    assert torch.equal(module.linear.bias, read_checkpoint(path)["state_dict"]["linear.bias"])
