"""Measure how often the doctor finds the fault of a training, and write ``docs/doctor.md``:

    python -m benchmarks.doctor [field] [development]
    python -m benchmarks.doctor pictures

With ``development`` only that part of the cases is examined by which thresholds may be chosen, and what the doctor
misses is printed. With ``field`` only the configurations in the field are, and their section of the page is written.
``pictures`` draws ``docs/findings/``, a picture for each finding that the gallery does not show. What has been measured
is kept in ``build/doctor/``.
"""

import sys

from ..project import TEMPLATE, write
from .cases import DEVELOPMENT
from .field import pictures
from .field import results as field_results
from .field.page import field_section, with_section
from .measurements import Measurements
from .page import page
from .results import examined, misses, repaired, unharmed


def main(arguments: list[str]) -> None:
    measurements = Measurements()
    if "pictures" in arguments:
        shown = {path.stem for path in (TEMPLATE / "docs" / "gallery").glob("*.png")}
        pictures.draw(measurements, TEMPLATE / "docs" / "findings", shown)
        return
    page_path = TEMPLATE / "docs" / "doctor.md"
    in_field = field_results.examined(measurements, only_development=DEVELOPMENT in arguments)
    if "field" in arguments:
        if DEVELOPMENT in arguments:
            print("\n".join(str(result) for result in in_field if not result.right))
        else:
            write(page_path, with_section(page_path.read_text("utf-8"), field_section(measurements, in_field)))
        return
    results, stacks = examined(measurements, only_development=DEVELOPMENT in arguments)
    if DEVELOPMENT in arguments:
        print("\n".join(misses([*results, *stacks])))
        return
    excluded = unharmed(measurements)
    results = [result for result in results if (result.case, result.seed) not in excluded]
    repairs = [repair for repair in repaired(measurements) if (repair.case, repair.seed) not in excluded]
    whole = page(measurements, results, stacks, repairs, excluded)
    write(page_path, with_section(whole, field_section(measurements, in_field)))


if __name__ == "__main__":
    main(sys.argv[1:])
