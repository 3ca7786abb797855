"""Samples for the tests of recipes; the tests of a module share them."""

import pytest

from tests.unit import made_samples


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict:
    """A small sample set on the disk."""
    return made_samples.write(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def sources(files):
    """The same, opened to be read in batches."""
    from phenorep.batches import Source, Sources  # here: tests without torch must not wait for it
    from phenorep.store import Samples

    return Sources([Source.choose("made/cells", Samples.open(*files.values()))])
