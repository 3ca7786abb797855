"""What all tests share."""

import os
import re
from pathlib import Path

import pytest
import yaml

import phenorep  # noqa: F401 (before torch: it says how threads wait)

ROOT = Path(__file__).resolve().parent.parent


def manual() -> dict:
    """`config.yaml` with all that is switched off in it: a `#` that touches a name, or is followed by an indented line."""
    text = (ROOT / "config.yaml").read_text()
    return yaml.safe_load(re.sub(r"^( *)#(?=[^ #]|  )", r"\1", text, flags=re.MULTILINE))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and tables beside the project; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("PHENOREP_SHARED_DATA", ROOT.parent / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="session")
def cellprofiler() -> str:
    """CellProfiler's program, which `make cellprofiler` installs; tests that need it skip where it is absent."""
    program = ROOT / ".cellprofiler" / "bin" / "cellprofiler"
    if not (program.parent.parent / ".requirements").exists():
        pytest.skip("no CellProfiler: `make cellprofiler` installs it where Python 3.9 and a JDK are found")
    return str(program)


@pytest.fixture(scope="session")
def scanpy() -> str:
    """A Python that has scanpy, which `make scanpy` installs; tests that need it skip where it is absent."""
    program = ROOT / ".scanpy" / "bin" / "python"
    if not (program.parent.parent / ".requirements").exists():
        pytest.skip("no scanpy: `make scanpy` installs it")
    return str(program)
