"""One browser for all tests of a worker; they skip where none is found."""

import pytest

from tests.browser import chromium, gallery


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if chromium.found() is None:
        pytest.skip(f"no browser: none of {', '.join(chromium.NAMES)} is installed")
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Samples that the page shows."""
    return gallery.samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="session")
def file(files, tmp_path_factory):
    """The annotation page."""
    return gallery.written(tmp_path_factory.mktemp("page"), files)


@pytest.fixture
def page(browser, file):
    """The page, opened by somebody who never saw it; afterwards: nothing went wrong, nothing was asked for."""
    page = browser.page()
    page.open(file)
    yield page
    assert page.complaints() == []
    assert {address.split(":")[0] for address in page.requests()} <= {"file", "data", "blob"}
