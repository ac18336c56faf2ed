"""Measure how often the doctor finds the fault of a training, and write ``docs/doctor.md``:

    python -m benchmarks.doctor [development]

With ``development`` only that part of the cases is examined by which thresholds may be chosen, and what the doctor
misses is printed. What has been measured is kept in ``build/doctor/``.
"""

import sys

from ..project import TEMPLATE, write
from .cases import DEVELOPMENT
from .measurements import Measurements
from .page import page
from .results import examined, misses, repaired, unharmed


def main(arguments: list[str]) -> None:
    measurements = Measurements()
    results, stacks = examined(measurements, only_development=DEVELOPMENT in arguments)
    if DEVELOPMENT in arguments:
        print("\n".join(misses([*results, *stacks])))
        return
    excluded = unharmed(measurements)
    results = [result for result in results if (result.case, result.seed) not in excluded]
    repairs = [repair for repair in repaired(measurements) if (repair.case, repair.seed) not in excluded]
    write(TEMPLATE / "docs" / "doctor.md", page(measurements, results, stacks, repairs, excluded))


if __name__ == "__main__":
    main(sys.argv[1:])
