"""A table's matrix: scikit-learn's on the same rows, measured on train rows alone, the same after it was saved."""

import io
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn
from trainwell.data.files.columns import Kinds
from trainwell.data.files.encoding import CategoryEmbedding, TableEncoder

KINDS = Kinds(["size", "price", "same"], ["colour", "zip"])


def rows(seed: int, count: int = 200, **changes: Any) -> pandas.DataFrame:
    generator = np.random.default_rng(seed)
    size, price = generator.normal(1e6, 3, count), generator.lognormal(3, 1, count)
    size[generator.random(count) < 0.2] = np.nan
    colour = generator.choice(["red", "green", "blue", None], count)
    made = {
        "size": size,
        "price": price,
        "same": 7.0,
        "colour": colour,
        "zip": generator.choice(["1", "10", "2"], count),
    }
    return pandas.DataFrame(made | changes)


def test_the_matrix_is_scikit_learns() -> None:
    train, new = rows(0), rows(1)
    new.loc[0, "price"], new.loc[1, "colour"] = np.nan, "teal"
    numbers, categories = list(KINDS.numbers), list(KINDS.categories)
    impute = SimpleImputer(strategy="median").fit(train[numbers])
    scale = StandardScaler().fit(impute.transform(train[numbers]))
    absent = MissingIndicator(features="missing-only", error_on_new=False).fit(train[numbers])
    onehot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(train[categories])
    given = train.copy()
    encoder = TableEncoder.fit(train, KINDS, one_hot=True)
    pandas.testing.assert_frame_equal(train, given)  # missing cells are not filled in the caller's table
    for table in (train, new):
        expected = np.hstack(
            [
                scale.transform(impute.transform(table[numbers])),
                absent.transform(table[numbers]),
                onehot.transform(table[categories]),
            ]
        )
        made = encoder(table)
        assert made.dtype == np.float32
        assert np.allclose(made, expected, atol=1e-6)  # float32 has steps of 5e-7 at 4


@pytest.mark.parametrize("one_hot", [True, False])
def test_it_is_the_same_after_it_was_saved_as_plain_data(one_hot: bool) -> None:
    encoder, file = TableEncoder.fit(rows(0), KINDS, one_hot), io.BytesIO()
    torch.save(encoder.state(), file)
    file.seek(0)
    again = TableEncoder.from_state(torch.load(file, weights_only=True))
    assert again == encoder
    assert np.array_equal(again(rows(1)), encoder(rows(1)))


def test_codes_count_the_values_of_the_train_rows_and_0_is_none_of_them() -> None:
    encoder = TableEncoder.fit(rows(0), KINDS, one_hot=False)
    made = encoder(rows(1, 4, colour=["blue", "red", None, "teal"]))
    assert made.shape == (4, 3 + 1 + 2)
    assert made[:, 4].tolist() == [1, 3, 4, 0]
    assert [*encoder.unseen(rows(1, 4, colour=["blue", "red", None, "teal"]))] == [("colour", "'teal'")]


def test_a_number_that_is_missing_in_new_rows_alone_is_reported() -> None:
    """Where train rows lacked it too, the network has learned from a column that says so."""
    known = rows(0, 4, colour=["red"] * 4)
    complete = known.assign(**{name: 1.0 for name in KINDS.numbers})
    encoder = TableEncoder.fit(complete, KINDS, one_hot=True)
    new = complete.assign(**{KINDS.numbers[0]: [1.0, np.nan, 1.0, 1.0]})
    assert [*encoder.unseen(new)] == [(KINDS.numbers[0], "cells without a number, which get the median")]
    assert [*TableEncoder.fit(new, KINDS, one_hot=True).unseen(new)] == []


def test_embeddings_stand_beside_the_numbers_and_an_unseen_value_is_zeros() -> None:
    layer = CategoryEmbedding(numbers=2, sizes=[3, 50])
    x = torch.tensor([[0.5, -1.0, 3.0, 50.0], [2.0, 1.0, 0.0, 0.0]])
    made = layer(x)
    widths = [embedding.embedding_dim for embedding in layer.embeddings if isinstance(embedding, nn.Embedding)]
    assert widths == [3, 14]
    assert made.shape == (2, 2 + 3 + 14)
    assert torch.equal(made[:, :2], x[:, :2])
    assert not made[1, 2:].any()
    assert made[0, 2:].all()


def test_what_cannot_be_measured_or_encoded_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^column size has no value in the train rows") as refusal:
        TableEncoder.fit(rows(0, size=np.nan, price=[1e300, *[0] * 199]), KINDS, one_hot=True)
    assert "column price has values too large to be standardized" in str(refusal.value)
    encoder = TableEncoder.fit(rows(0), KINDS, one_hot=True)
    with pytest.raises(ValueError, match=r"^row 1, column price: 'cheap' is no number"):
        encoder(rows(1, 2, price=["3", "cheap"]))
    with pytest.raises(ValueError, match="has no column zip; it has size, price, same, colour"):
        encoder(rows(1).drop(columns="zip"))
