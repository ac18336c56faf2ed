"""Decoded images: as a viewer shows them, decoded once, whole or not at all, and every damaged file named."""

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trainwell
from PIL import Image
from torch import Tensor
from trainwell.data.files import image_cache
from trainwell.data.files.image_cache import cached_pixels, decode, decoded, new_images
from trainwell.data.files.image_folder import list_images, new_files

Photos = Callable[..., Path]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(*trainwell.__path__).parent), "OMP_NUM_THREADS": "1"}
NOISE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def pixels_of(folder: Path, size: int = 8, channels: int = 3, cache: Path | None = None) -> Tensor:
    files = list_images(str(folder)).files
    return cached_pixels(str(folder), files, size, channels, None if cache is None else str(cache)).x[:]


def saved(path: Path, image: Any, **options: Any) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def test_an_image_of_the_right_size_keeps_every_pixel(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", NOISE)
    assert np.array_equal(decode(path, 8, 3), NOISE.transpose(2, 0, 1))
    grey = np.asarray(Image.fromarray(NOISE).convert("L"))
    assert np.array_equal(decode(path, 8, 1), grey[None])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_white_of_every_mode_in_every_format_is_white(mode: str, tmp_path: Path) -> None:
    white = np.full((12, 20), 255, np.uint8)
    sixteen_bits = mode == "I;16"
    image = Image.fromarray(white.astype(np.uint16) * 257 if sixteen_bits else white)
    image = image if sixteen_bits else image.convert("RGB").convert(mode)
    files = []
    for suffix in ("png", "jpg", "tif", "gif", "bmp", "webp"):
        with suppress(OSError, ValueError):  # not every format has every mode
            files.append(saved(tmp_path / f"x.{suffix}", image))
    assert len(files) >= 2
    for channels in (1, 3):
        for made in decoded(files, 6, channels):
            assert isinstance(made, np.ndarray)
            assert made.shape == (channels, 6, 6)
            assert (made >= 253).all()  # a JPEG is not exact


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.png", (NOISE[..., 0].astype(np.uint16) * 257))
    assert np.array_equal(decode(path, 8, 1)[0], NOISE[..., 0])


def test_what_is_transparent_is_white_and_what_is_half_transparent_is_halfway(tmp_path: Path) -> None:
    black = np.zeros((8, 8, 4), np.uint8)
    black[:4, :, 3], black[4:, :, 3] = 0, 128
    made = decode(saved(tmp_path / "x.png", black), 8, 1)[0]
    assert set(made[:4].flat) == {255}
    assert set(made[4:].flat) == {127}


def test_a_camera_held_upright_gives_an_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    path = saved(tmp_path / "x.png", NOISE, exif=exif)
    assert np.array_equal(decode(path, 8, 3), np.rot90(NOISE, -1).transpose(2, 0, 1))


def test_the_shorter_side_is_scaled_and_the_middle_is_kept(tmp_path: Path) -> None:
    wide = np.zeros((16, 48), np.uint8)
    wide[:, 16:32] = 200
    inner = (0, slice(1, -1), slice(1, -1))  # the outermost pixels are scaled together with what is cut
    assert set(decode(saved(tmp_path / "wide.png", wide), 8, 1)[inner].flat) == {200}
    assert set(decode(saved(tmp_path / "high.png", wide.T), 8, 1)[inner].flat) == {200}
    assert decode(saved(tmp_path / "thin.png", wide[:1]), 8, 1).shape == (1, 8, 8)


def test_a_large_photo_is_decoded_small_to_nearly_the_same(tmp_path: Path) -> None:
    smooth = Image.fromarray(NOISE).resize((800, 800), Image.Resampling.BICUBIC)
    path = saved(tmp_path / "x.jpg", smooth, quality=95)
    whole = np.asarray(smooth.resize((32, 32), Image.Resampling.BILINEAR), int).transpose(2, 0, 1)
    assert np.abs(decode(path, 32, 3) - whole).mean() < 2


def test_pixels_are_those_of_the_files_in_their_order(photos: Photos) -> None:
    folder = photos()
    made = pixels_of(folder)
    assert made.dtype == torch.uint8
    for pixels, file in zip(made, list_images(str(folder)).files, strict=True):
        assert np.array_equal(pixels.numpy(), decode(file, 8, 3))
    assert sorted(os.listdir(folder.with_name("photos.images"))) == ["8x3", "lock"]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that were written to."""
    folders: list[Path] = []
    kept = image_cache.write_pixels
    monkeypatch.setattr(image_cache, "write_pixels", lambda *facts: (folders.append(facts[-1]), kept(*facts)))
    return folders


def test_images_are_decoded_once_until_one_changes(photos: Photos, written: list[Path]) -> None:
    folder = photos()
    first = pixels_of(folder)
    assert torch.equal(pixels_of(folder), first)
    assert len(written) == 1
    assert pixels_of(folder, size=4).shape[2:] == (4, 4)
    assert torch.equal(pixels_of(folder), first)
    assert len(written) == 2
    saved(folder / "cat" / "0.png", NOISE)
    assert not torch.equal(pixels_of(folder), first)
    (folder / "dog" / "5.png").unlink()
    assert len(pixels_of(folder)) == 11
    assert len(written) == 4


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:200])]
)
@pytest.mark.parametrize("name", ["made_of.json", "x.npy", "checksum.txt"])
def test_a_cache_that_was_harmed_is_made_anew(harm: Callable[[Path], None], name: str, photos: Photos) -> None:
    folder = photos()
    first = pixels_of(folder)
    record = folder.with_name("photos.images") / "8x3" / name
    harm(record)
    assert torch.equal(pixels_of(folder), first)


def test_a_decoding_that_was_killed_leaves_nothing_that_is_taken_for_whole(photos: Photos) -> None:
    folder = photos()
    program = f"""
import os
from trainwell.data.files import image_cache, image_folder

def killed(files, *sizes):
    yield from (image_cache.decode(file, *sizes) for file in files[:3])
    os.kill(os.getpid(), 9)

image_cache.decoded = killed
image_cache.cached_pixels({str(folder)!r}, image_folder.list_images({str(folder)!r}).files, 8, 3, None)
"""
    ended = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, timeout=120)
    assert ended.returncode == -9
    assert len(pixels_of(folder)) == 12
    assert sorted(os.listdir(folder.with_name("photos.images"))) == ["8x3", "lock"]


def test_of_several_processes_one_decodes_and_the_others_wait(photos: Photos) -> None:
    folder = photos()
    program = f"""
import time
from trainwell.data.files import image_cache, image_folder

kept = image_cache.write_pixels
image_cache.write_pixels = lambda *facts: (print("decodes"), time.sleep(1), kept(*facts))
files = image_folder.list_images({str(folder)!r}).files
print(int(image_cache.cached_pixels({str(folder)!r}, files, 8, 3, None).x[:].sum()))
"""
    options: dict[str, Any] = {"env": ENVIRONMENT, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", program], **options) for _ in range(2)]
    said = [process.communicate(timeout=120)[0].split() for process in processes]
    assert sorted(map(len, said)) == [1, 2]
    assert {words[-1] for words in said} == {str(int(pixels_of(folder).sum()))}


def test_a_place_that_cannot_be_written_is_one_sentence_with_the_key_that_moves_it(
    photos: Photos, tmp_path: Path
) -> None:
    folder = photos()
    folder.with_name("photos.images").write_text("a file of somebody else")
    with pytest.raises(
        ValueError, match=r"^data.cache=FOLDER must name another place .* to .*photos.images: "
    ) as refused:
        pixels_of(folder)
    assert len(str(refused.value).splitlines()) == 1
    elsewhere = pixels_of(folder, cache=tmp_path / "scratch" / "deep")
    assert len(elsewhere) == 12
    assert (tmp_path / "scratch" / "deep" / "photos.images" / "8x3" / "x.npy").exists()
    assert folder.with_name("photos.images").read_text() == "a file of somebody else"


def test_decoded_images_need_no_place_that_can_be_written(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos()
    first = pixels_of(folder)
    monkeypatch.setattr("trainwell.data.on_disk.locked", lambda *a: pytest.fail("nothing is to be written"))
    assert torch.equal(pixels_of(folder), first)


def test_too_little_room_is_reported_before_anything_is_written(
    photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos()
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("usage", (), {"free": 2000}))
    with pytest.raises(ValueError, match=r"data.cache=FOLDER must name another place .* 0.0 GB are free"):
        pixels_of(folder)
    assert os.listdir(folder.parent) == ["photos"]


def bomb(path: Path) -> None:
    """A small PNG that says it has 20,000 by 20,000 pixels."""
    chunk = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    head = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    path.write_bytes(head + path.read_bytes()[33:])


def test_damaged_images_are_counted_and_named_and_nothing_is_kept(photos: Photos) -> None:
    folder = photos()
    cut = folder / "cat" / "1.png"
    cut.write_bytes(cut.read_bytes()[:-100])
    (folder / "cat" / "2.png").write_text("no image")
    (folder / "dog" / "3.png").unlink()
    (folder / "dog" / "3.png").mkdir()
    (folder / "dog" / "3.png" / "4.png").touch()
    bomb(folder / "dog" / "4.png")
    saved(folder / "dog" / "6.tif", Image.new("F", (9, 9)))
    with pytest.raises(ValueError, match="5 of 13 images cannot be read") as refused:
        pixels_of(folder)
    reasons = {line.split(": ")[1]: line.split(": ", 2)[2] for line in str(refused.value).splitlines()[1:]}
    names = {str(Path(name).relative_to(folder)): reason for name, reason in reasons.items()}
    assert "truncated" in names["cat/1.png"]
    assert "is no image, or damaged" in names["cat/2.png"]
    assert "is no image, or damaged" in names["dog/3.png/4.png"]
    assert "too many pixels" in names["dog/4.png"]
    assert "floating-point" in names["dog/6.tif"]
    assert os.listdir(folder.parent) == ["photos"]


def test_of_many_damaged_images_the_first_are_named(photos: Photos) -> None:
    folder = photos(cats=20)
    for path in folder.glob("cat/*"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="20 of 26 images cannot be read") as refused:
        pixels_of(folder)
    assert len(str(refused.value).splitlines()) == 12
    assert str(refused.value).endswith("and 10 more")


def test_damage_of_any_kind_is_a_reason_and_no_traceback(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    whole = [
        saved(tmp_path / f"x.{suffix}", NOISE).read_bytes() for suffix in ("png", "jpg", "gif", "tif", "webp", "bmp")
    ]
    files = []
    for number in range(300):
        harmed = bytearray(whole[number % len(whole)])
        for place in generator.integers(0, len(harmed), generator.integers(1, 20)):
            harmed[place] = generator.integers(256)
        files.append(tmp_path / str(number))
        files[-1].write_bytes(harmed[: generator.integers(len(harmed) // 2, len(harmed))])
    made = list(decoded(files, 8, 3))
    assert 100 < sum(isinstance(one, str) for one in made) < 300


def test_the_record_says_what_pixels_are_made_of(photos: Photos) -> None:
    folder = photos()
    made = pixels_of(folder, channels=1)
    record = json.loads((folder.with_name("photos.images") / "8x1" / "made_of.json").read_text())
    length = sum(path.stat().st_size for path in folder.glob("*/*"))
    known = {"version": 1, "size": 8, "channels": 1, "images": 12, "bytes": length}
    assert record == {**known, "files": record["files"]}
    checksum = (folder.with_name("photos.images") / "8x1" / "checksum.txt").read_text()
    assert int(checksum) == zlib.crc32(made.numpy().tobytes())


def test_new_images_are_those_of_a_folder_a_table_or_a_file(photos: Photos, tmp_path: Path) -> None:
    folder = photos()
    files = sorted(folder.glob("*/*"))
    (tmp_path / "new.csv").write_text(
        "file,width\n" + "".join(f"{file.relative_to(tmp_path)},12\n" for file in files[:2])
    )
    for path, expected in ((folder, files), (tmp_path / "new.csv", files[:2]), (files[0], files[:1])):
        (made,) = new_images(path, 8, 3)
        assert new_files(path) == expected
        assert np.array_equal(made, [decode(file, 8, 3) for file in expected])
    (tmp_path / "bad.csv").write_text("path\nx.png")
    with pytest.raises(ValueError, match=r"bad.csv: must have the columns file; it has path"):
        next(new_images(tmp_path / "bad.csv", 8, 3))
    files[3].write_text("no image")
    with pytest.raises(ValueError, match=r"input=.*photos: .*cat/3.png: is no image, or damaged"):
        next(new_images(folder, 8, 3))
