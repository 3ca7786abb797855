"""One file per dataset: which plates it has, where its images come from, and what the experiment was.

A dataset has a frozen `Config` and these functions:

- ``plates(config)``: names of its plates, in order; known before anything is downloaded;
- ``about(config)``: facts about the whole: ``channels`` (names, in order), ``pixel_size_um`` (micrometres, None: unknown),
  ``intensity_max`` (the camera's largest grey value, None: that of the files' type), ``citation``, ``licence`` (text, None:
  unknown), ``simulated`` (bool);
- ``archives(config, plate=None)``: names of what is to be downloaded or drawn, for a plate or for all; none where all lies
  there already. ``download(config, archive, target)`` fills a folder with one of them;
- ``sources(config)``: paths of the tables that are read where they lie;
- ``fields(config, plate, resources)``: a row per field of view of a plate: ``Metadata_Plate``, ``Metadata_Well`` (A01) and
  ``Metadata_Site``, which are text and name one row, other ``Metadata_*`` and ``Label_*``, and of each channel
  ``FileName_*`` and ``PathName_*``. It may have ``Problem``: why a field cannot be used, or nothing.

And it may have:

- ``extent(config)``: an `phenorep.extents.Extent`, how much there is, told before anything is downloaded; without it
  `phenorep estimate` counts the fields. So a dataset that is downloaded has it;
- ``check(config)``, where it reads tables that a user wrote: it reads them all, raises what is wrong and says what is read
  in which way, and opens no image; `phenorep plan` calls it;
- ``FEATURES = True``: it has no images. In place of ``fields`` it has ``metadata(config)``, ``columns(config)`` and
  ``values(config, columns)``, see `features`; its ``about`` has ``features: True`` and no ``intensity_max``;
- ``DOWNLOAD_KEYS``, where archives are published files (`phenorep.download`): the config keys that they depend on. No other
  change fetches anything again, and the resource `download` of the profile limits how many are fetched at a time;
- ``FINDS``: a folder of phenorep whose files it finds by name, as ``microscopes``: a change of one counts as one of its own.
"""

from contextlib import contextmanager
from pathlib import Path

from phenorep import plugins, writing
from phenorep.errors import UserError


def configured(block: dict, name: str):
    """The module and the built `Config` of a dataset's block of the resolved configuration."""
    module = plugins.load("datasets", block["use"])
    return module, plugins.configure(module.Config, block["keys"], f"datasets: {name}")


@contextmanager
def named(name: str):
    """Put a dataset's name in front of the message of an error raised inside: its module does not know it."""
    try:
        yield
    except UserError as error:
        where = f"datasets: {name}: "
        raise UserError(where + str(error).removeprefix(where).removeprefix("datasets: ")) from error


def download(block: dict, archive: str, target: str | Path) -> None:
    """Fill the folder `target` (resources/{dataset}/{archive}) with what one archive holds."""
    target = Path(target)
    module, config = configured(block, target.parent.name)
    with writing.filling(target):
        target.mkdir(parents=True, exist_ok=True)
        module.download(config, archive, target)
