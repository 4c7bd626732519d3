"""What package.json has to list, so that `mpremote mip install` brings the firmware onto a board.

    python -m tests.mip_package

writes it, for whoever adds, moves or removes a file of a chip.
"""

import json

from host.build.firmware_version import RELEASE, chip_sources
from tests.simulation.launch import REPOSITORY

PACKAGE = REPOSITORY / "package.json"


def content() -> str:
    """Returns the text of package.json."""
    names = [path.relative_to(REPOSITORY).as_posix() for path in chip_sources()]
    rows = ",\n".join(f"    {json.dumps([name, name])}" for name in sorted(names))
    return f'{{\n  "version": "{RELEASE}",\n  "urls": [\n{rows}\n  ]\n}}\n'


if __name__ == "__main__":
    PACKAGE.write_text(content())
