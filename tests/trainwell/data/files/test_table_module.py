"""Rows of several files: every one in the part that its file is given for, and no group in two files."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from trainwell.data.files.table_module import TableRows
from trainwell.data.files.table_targets import Targets
from trainwell.data.split import SplitRule


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = pandas.DataFrame({"size": np.arange(60), "patient": np.arange(60) // 5, "kind": np.arange(60) % 3})
    rows.to_csv("own.csv", index=False)
    rows.iloc[:7].assign(patient=99).to_csv("test.csv", index=False)
    rows.iloc[7:9].to_csv("val.csv", index=False)


NAMES = {"data.target": ["kind"], "data.drop": []}


@pytest.mark.usefixtures("files")
def test_rows_of_a_given_file_are_their_part() -> None:
    rule = SplitRule(test_path="test.csv", group="patient")
    table = TableRows.read("own.csv", rule, NAMES)
    train, val, test = table.split(Targets(np.zeros((67, 1)), []), rule)
    assert np.flatnonzero(test).tolist() == list(range(60, 67))
    assert np.array_equal(train | val, ~test)
    assert table.rows.index[60] == "0 of test.csv"
    assert not set(table.rows["patient"][train]) & set(table.rows["patient"][val])


@pytest.mark.usefixtures("files")
def test_a_group_in_two_files_is_refused() -> None:
    rule = SplitRule(val_path="val.csv", group="patient")
    with pytest.raises(ValueError, match=r"^data.split.group=patient: 1 is in two files"):
        TableRows.read("own.csv", rule, NAMES).split(Targets(np.zeros((62, 1)), []), rule)


@pytest.mark.usefixtures("files")
def test_names_that_are_no_columns_are_reported_with_their_keys() -> None:
    with pytest.raises(ValueError, match="data") as refusal:
        TableRows.read("own.csv", SplitRule(time="when"), {"data.target": ["kin"], "data.drop": ["siz"]})
    assert [line.partition(":")[0] for line in str(refusal.value).splitlines()] == [
        "data.target",
        "data.drop",
        "data.split.time",
    ]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("path", "rule", "said"),
    [
        ("empty.csv", SplitRule(), "^data.path=empty.csv has no rows$"),
        ("own.csv", SplitRule(val_path="empty.csv"), "^data.split.val_path=empty.csv has no rows$"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_key(path: str, rule: SplitRule, said: str) -> None:
    Path("empty.csv").write_text("")
    with pytest.raises(ValueError, match=said):
        TableRows.read(path, rule, NAMES)
