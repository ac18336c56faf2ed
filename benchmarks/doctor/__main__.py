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
from .cases import DEVELOPMENT, all_cases
from .field import pictures
from .field.page import examined_in_field, field_section, with_section
from .measurements import Measurements
from .page import page
from .results import examined, examined_stacks, misses

DOCS = TEMPLATE / "docs"


def main(arguments: list[str]) -> None:
    measurements = Measurements()
    only_field = "field" in arguments
    if "pictures" in arguments:
        pictures.draw(measurements, DOCS / "findings", {path.stem for path in (DOCS / "gallery").glob("*.png")})
    elif DEVELOPMENT in arguments:
        results = [*examined_in_field(measurements, only_development=True)]
        if not only_field:
            results += examined(measurements, [case for case in all_cases() if case.part == DEVELOPMENT])
            results += examined_stacks(measurements, only_development=True)
        print("\n".join(misses(results)))
    else:
        path = DOCS / "doctor.md"
        whole = path.read_text("utf-8") if only_field else page(measurements)
        write(path, with_section(whole, field_section(measurements)))


if __name__ == "__main__":
    main(sys.argv[1:])
