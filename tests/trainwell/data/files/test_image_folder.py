"""Lists of images: what is found in folders and index files, and every fault of them, by name."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trainwell.data.files.image_folder import ImageList, list_images

Photos = Callable[..., Path]


def labels(listed: ImageList) -> Counter[tuple[str, str]]:
    return Counter((str(split), listed.classes[label]) for split, label in zip(listed.splits, listed.y, strict=True))


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r"data\.path") as refused:
        list_images(str(path))
    return str(refused.value)


def test_a_folder_is_a_class_with_all_images_below_it(photos: Photos) -> None:
    folder = photos()
    (folder / "cat" / "more").mkdir()
    (folder / "cat" / "0.png").rename(folder / "cat" / "more" / "0.PNG")
    for ignored in (".DS_Store", "._1.png", "notes.txt"):
        (folder / "cat" / ignored).touch()
    (folder / ".ipynb_checkpoints").mkdir()
    listed = list_images(str(folder))
    assert labels(listed) == {("train", "cat"): 6, ("train", "dog"): 6}
    assert all(file.parts[-2] == "dog" for file in np.array(listed.files)[listed.y == 1])


def test_the_order_is_always_the_same_and_mixes_classes(photos: Photos) -> None:
    folder = str(photos(cats=50, dogs=50))
    listed = list_images(folder)
    assert listed.files == list_images(folder).files
    assert 5 < listed.y[:30].sum() < 25


def test_train_val_and_test_are_splits_if_there_is_nothing_else(photos: Photos) -> None:
    for split in ("train", "Valid", "test"):
        folder = photos(f"sets/{split}").parent
    given = {(split, label): 6 for split in ("train", "val", "test") for label in ("cat", "dog")}
    assert labels(list_images(str(folder))) == given
    vehicles = photos("vehicles")
    (vehicles / "cat").rename(vehicles / "train")
    assert list_images(str(vehicles)).classes == ["dog", "train"]


def test_an_index_names_files_labels_and_splits(photos: Photos, tmp_path: Path) -> None:
    photos()
    rows = [
        f"photos/{label}/{number}.png, {label} ,{('train', 'val', 'test')[number % 3]}"
        for label in ("cat", "dog")
        for number in range(6)
    ]
    index = tmp_path / "index.csv"
    index.write_text("\ufefffile,label,split\n" + "\n".join(rows), "utf-8")
    listed = list_images(str(index))
    assert labels(listed) == {(split, label): 2 for split in ("train", "val", "test") for label in ("cat", "dog")}
    assert all(file.is_file() for file in listed.files)


def test_every_fault_of_a_folder_is_named(photos: Photos) -> None:
    folder = photos(cats=1)
    for empty in ("eel", "emu"):
        (folder / empty).mkdir()
    (folder / "emu" / "1.heic").touch()
    said = refusal(folder).splitlines()
    assert said[0] == f"data.path={folder}: 3 faults"
    assert f"{folder}: {folder / 'eel'} holds no image (.png .jpg" in said[1]
    assert said[2].endswith("and 1 other files")
    assert said[3].endswith("class cat has 1 image to train on, the fewest are 5")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "a folder of images or an index file ending in .csv"),
        (Path.mkdir, "has no folders of classes; give each class one, such as"),
        (lambda folder: folder.joinpath("train").mkdir(parents=True), "photos/train has no folders of classes"),
        (lambda folder: folder.write_text("hello"), "a folder of images or an index file ending in .csv"),
    ],
)
def test_what_is_no_folder_of_images_is_refused(make: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    make(tmp_path / "photos")
    assert said in refusal(tmp_path / "photos")


def test_a_classification_needs_two_classes(photos: Photos) -> None:
    folder = photos()
    shutil.rmtree(folder / "dog")
    assert "needs images of two classes to train on, there are cat" in refusal(folder)


INDEXES = {
    "file,class\na.png,cat": "must have the columns file, label; it has file, class",
    "file,label\na.png,": "row 1: needs file, label",
    "file,label,split\na.png,cat,dev": "row 1: needs file, label and, as split, train, val or test; it has",
    "file,label\na.png,cat\na.png,dog": "a.png is listed 2 times",
    "": "must have the columns",
    "file,label\n": "there are none",
    "\x00\xff": "is no table in UTF-8",
    "file,label,split\na,cat,train\nb,cat,train\nc,dog,train\nd,dog,train\ne,dog,val\nf,cat,test\nh,emu,test": (
        "class cat has no image in val"
    ),
}


@pytest.mark.parametrize(("text", "said"), INDEXES.items())
def test_every_fault_of_an_index_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes(text.encode("latin-1"))
    assert said in refusal(tmp_path / "index.csv")


def test_an_index_names_a_class_that_cannot_be_learnt(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text([*INDEXES][-1])
    assert "class emu has images in test but not in train" in refusal(tmp_path / "index.csv")


def test_a_folder_that_cannot_be_read_is_an_error(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos()

    def unreadable(place: Path, onerror: Callable[[OSError], None]) -> list[object]:
        onerror(PermissionError(13, "Permission denied", str(place)))
        return []

    monkeypatch.setattr(os, "walk", unreadable)
    with pytest.raises(PermissionError, match="cat"):
        list_images(str(folder))
