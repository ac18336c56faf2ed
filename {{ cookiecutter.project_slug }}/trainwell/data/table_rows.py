"""The rows of a table and of those given to validate and to test on, and how they are split."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .columns import as_categories, lacks, read_table
from .split import PARTS, SplitRule, split_samples
from .table_targets import Targets

if TYPE_CHECKING:
    from pandas import DataFrame


class TableRows(NamedTuple):
    """Rows of the main file and after them those of ``data.split.val_path`` and ``test_path``."""

    rows: "DataFrame"
    given: np.ndarray  # (rows,): "val" or "test" for those of a file of their own, else ""

    @classmethod
    def read(cls, path: str, rule: SplitRule, columns: Mapping[str, Sequence[str]]) -> "TableRows":
        """Read the files; ``columns`` are the names that each key of the configuration holds.

        Raises: ValueError: a file is no table, or a column that is named does not exist.
        """
        import pandas

        frames = [read_table(path)]
        if faults := [*faults_of_names(path, list(frames[0].columns), rule, columns)]:
            raise ValueError("\n".join(faults))
        given = [""] * len(frames[0])
        for part, file in (("val", rule.val_path), ("test", rule.test_path)):
            if file is not None:
                frames.append(read_table(file, list(frames[0].columns)))
                frames[-1].index = [f"{row} of {file}" for row in frames[-1].index]
                given += [part] * len(frames[-1])
        return cls(pandas.concat(frames), np.array(given))

    def split(self, targets: Targets, rule: SplitRule) -> list[np.ndarray]:
        """Masks of the train, validation and test rows; the shares of all classes are alike.

        Raises: ValueError: the rows cannot be split by the rule.
        """
        own = self.given == ""
        columns = {name: self.rows[name].to_numpy()[own] for name in rule.column_keys()}
        given = sorted(set(self.given) - {""})
        if rule.group is not None:
            groups = as_categories(self.rows[rule.group])
            if both := set(groups[own]) & set(groups[~own]):
                raise ValueError(f"data.split.group={rule.group}: {min(both)} is in two files, and so in two parts")
        masks = [self.given == part for part in PARTS]
        chosen = split_samples(targets.classes[own], rule, columns, names=targets.names, given=given)
        for mask, of_own in zip(masks, chosen, strict=True):
            mask[own] = of_own
        return masks


def faults_of_names(
    path: str, names: Sequence[str], rule: SplitRule, columns: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for key, wanted in {**columns, **{key: [name] for name, key in rule.column_keys().items()}}.items():
        if absent := [name for name in wanted if name not in names]:
            yield f"{key}: {path} {lacks(absent, names)}"
    if both := [name for name in columns["data.target"] if name in columns["data.drop"]]:
        yield f"data.drop must not hold the target {both[0]}"
