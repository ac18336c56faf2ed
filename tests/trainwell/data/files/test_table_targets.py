"""Target columns: classes by name, numbers, labels; every fault in one sentence, with the task that suits."""

from collections.abc import Sequence

import numpy as np
import pandas
import pytest
from trainwell.data.files.table_targets import targets_of

ROWS = pandas.DataFrame(
    {
        "species": ["b", "a", "c"] * 20,
        "rank": ["10", "9", "2"] * 20,
        "price": np.arange(60) * 1.5,
        "text": [f"t{number}" for number in range(60)],
        "same": ["x"] * 60,
        "rare": ["x"] * 58 + ["y", "z"],
        "hole": [None, *["x"] * 59],
        "sold": ["True", "False"] * 30,
        "new": ["1", "0", "0"] * 20,
        "never": ["0"] * 60,
    }
)


def test_classes_keep_their_names_in_their_order() -> None:
    assert targets_of(ROWS, ["species"], "classes", None).names == ["a", "b", "c"]
    y, names = targets_of(ROWS, ["rank"], "classes", None)
    assert names == ["2", "9", "10"]
    assert y[:3].tolist() == [2, 1, 0]


def test_numbers_and_labels_have_a_column_each() -> None:
    y, names = targets_of(ROWS, ["price"], "numbers", None)
    assert (y.shape, y.dtype, names) == ((60, 1), np.float32, ["price"])
    y, names = targets_of(ROWS, ["sold", "new"], "labels", None)
    assert (y.shape, y.dtype, names) == ((60, 2), np.int64, ["sold", "new"])
    assert y[:2].tolist() == [[1, 1], [0, 0]]


FAULTS: dict[str, tuple[Sequence[str], str, str]] = {
    "a constant": (["same"], "classes", "data.target=same: is x in every row"),
    "a class of one": (["rare"], "classes", "every class needs 3 rows or more, one for each split; y has 1"),
    "no value": (["hole"], "classes", "data.target=hole: column hole has no value in 1 rows, the first is row 0"),
    "numbers as classes": (
        ["price"],
        "classes",
        "has 60 different values in 60 rows; for numbers type task=regression",
    ),
    "text as classes": (["text"], "classes", "has 60 different values in 60 rows; these are no classes"),
    "several classes": (["species", "rank"], "classes", "data.target=[species,rank]: must be one column of classes"),
    "text as numbers": (
        ["species"],
        "numbers",
        "column species holds text, such as 'b', and no numbers; for classes type",
    ),
    "constant numbers": (["never"], "numbers", "column never is 0 in every row: there is nothing to learn"),
    "numbers as labels": (["price", "new"], "labels", "column price must hold 1 or 0, true or false, row 1 has '1.5'"),
    "a constant label": (["sold", "never"], "labels", "column never is 0 in every row"),
}


@pytest.mark.parametrize(("columns", "kind", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_targets_that_cannot_be_learned_are_one_sentence(columns: Sequence[str], kind: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^data.target=") as refusal:
        targets_of(ROWS, columns, kind, None)
    assert said in str(refusal.value)


def test_a_class_that_the_run_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="the run was trained without the class c"):
        targets_of(ROWS, ["species"], "classes", ["a", "b"])
