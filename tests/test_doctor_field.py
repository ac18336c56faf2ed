"""The doctor's benchmark in the field: configurations that can be built, in two halves, and what is counted of them."""

from pathlib import Path
from pkgutil import resolve_name

import pytest
import torch
from torch import nn

from benchmarks.doctor.cases import Case
from benchmarks.doctor.field.cases import DEVELOPMENT, HELD_OUT, all_cases, files
from benchmarks.doctor.field.data import arrays_of
from benchmarks.doctor.field.page import BEGIN, with_section
from benchmarks.doctor.results import Result

SETTINGS = [dict(text.partition("=")[::2] for text in case.overrides) for case in all_cases()]
NETWORKS = {
    (each["network.factory"], Path(each.get("data.path") or each["+data.path"]).stem)
    for each in SETTINGS
    if "network.factory" in each
}
SAMPLES = 16


def test_there_are_many_of_both_in_both_halves() -> None:
    counts = {
        (part, faulty): sum(case.part == part and bool(case.codes) == faulty for case in all_cases())
        for part in (DEVELOPMENT, HELD_OUT)
        for faulty in (True, False)
    }
    assert min(counts.values()) >= 25, counts
    assert len({case.name for case in all_cases()}) == len(all_cases())


def test_a_faulty_configuration_differs_from_its_twin() -> None:
    for case in all_cases():
        if case.codes:
            assert case.twin is not None
            assert case.overrides != case.twin.overrides, case.name
            assert not case.twin.codes


@pytest.mark.parametrize(("factory", "data"), sorted(NETWORKS))
def test_a_network_has_an_output_for_each_class(factory: str, data: str) -> None:
    x = torch.from_numpy(arrays_of(data)["x"][:SAMPLES])
    x = x if not x.is_floating_point() else x.float()
    torch.manual_seed(0)
    network: nn.Module = resolve_name(factory)(tuple(x.shape[1:]), 3)
    x = x if any(isinstance(part, nn.Embedding) for part in network.modules()) else x.float()
    assert network(x).shape == (SAMPLES, 3)


def test_every_data_set_has_samples_and_targets() -> None:
    for name in files():
        made = arrays_of(name)
        assert len(made["x"]) == len(made["y"]) > 0
        assert not (made["x"] != made["x"]).any(), name


def test_notes_are_not_counted() -> None:
    case = Case("name", (), ("dead_units",), HELD_OUT)
    note = {"code": "unscaled_input", "severity": "note"}
    dead = {"code": "dead_units", "severity": "error"}
    assert Result(case, 0, [note, dead]).named
    assert not Result(case, 0, [note]).flagged


def test_the_section_replaces_an_earlier_one() -> None:
    page = "# Title\n\nText.\n"
    once = with_section(page, f"{BEGIN}new\n<!-- field: end -->\n")
    assert once == with_section(once, f"{BEGIN}new\n<!-- field: end -->\n")
    assert once.startswith("# Title\n\n<!-- field")
    assert once.endswith("Text.\n")
