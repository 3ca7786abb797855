"""The annotation page of a small made-up sample set, and what tests ask of it."""

from pathlib import Path

import pandas as pd

from phenorep import contracts
from phenorep.quality import annotating, annotations
from tests.browser.chromium import Page
from tests.unit import made_samples

HOSTILE = "<script>document.title='harmed'</script>"
# Normal, abnormal and open images, as the page counts them.
COUNTS = """[...document.querySelectorAll("[data-count]")].map((element) => Number(element.textContent))"""


def samples(folder: Path) -> dict[str, list[str]]:
    """Files of samples of two plates, the second with a name that would do harm."""
    files = made_samples.write(folder, count=20)
    table = contracts.read_table(files["tables"][1], "samples")
    names = [f'{HOSTILE}, "2"/{sample.split("/", 1)[1]}' for sample in table["Sample"]]
    contracts.write_table(table.assign(Metadata_Plate=HOSTILE, Sample=names), files["tables"][1], "samples")
    return files


def written(folder: Path, files: dict, given: Path | None = None, **settings) -> Path:
    """The page of some samples."""
    settings = {"count": 30, "columns": ["Metadata_Plate"], "artefacts": ["debris", "noise"]} | settings
    path = folder / "annotate.html"
    annotating.make("trial", "made/cells", files["tables"], files["statistics"], None, settings, given, path)
    return path


def marks(page: Page) -> dict[int, list[str]]:
    """Marks by number of the image."""
    found = page.value("items.map(([sample]) => marks.get(sample) || null)")
    return {number: mark for number, mark in enumerate(found) if mark}


def saved(page: Page, folder: Path) -> pd.DataFrame:
    """What Export downloads, as the pipeline reads it."""
    page.downloads_to(folder)
    since = len(page.browser.events)
    page.click('[data-do="export"]')
    return annotations.read(page.downloaded(folder, since))


def tile(number: int) -> str:
    """Selector of an image."""
    return f'.tile[data-index="{number}"]'


def said(page: Page) -> str:
    """What the page answered last."""
    return page.value("document.getElementById('said').textContent")
