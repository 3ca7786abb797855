"""One file per dataset: which plates it has, where its images come from, and what the experiment was.

A dataset has a frozen `Config`, ``plates(config)``, ``about(config)``, ``archives(config, plate)``, ``sources(config)``;
``fields(config, plate, resources)`` lists its fields of view, ``download(config, archive, target)`` fetches an archive. One
that declares ``FEATURES`` has no images: in place of ``fields`` it has ``metadata(config)``, ``columns(config)`` and
``values(config, columns)``, see `features`. One that reads tables which a user wrote has ``check(config)``: it reads them
all, raises what is wrong and says what is read in which way, and opens no image; `phenorep plan` calls it.

Where archives are published files (`phenorep.download`), ``DOWNLOAD_KEYS`` names the config keys that they depend on: no
other change fetches anything again, and the resource `download` of the profile limits how many are fetched at a time.
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
