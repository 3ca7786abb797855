"""One bad input: how it is made, what meets it, and what its message must say."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from phenorep import check, cli
from phenorep.planning import Plan

# The beginning of a table of images, and of the configuration that reads it.
HEADER = "Metadata_Plate,Metadata_Well,Metadata_Site,FileName_DNA"
TABLE = {"use": "table", "table": "plates.csv"}


@dataclass(frozen=True)
class Case:
    """One bad input.

    Parameters
    ----------
    wrong
        What the user did.
    meets
        What meets it: is called in a folder of its own, with that folder and a small configuration that is right.
    place
        The file, key or column that the message must name; a tuple for several texts.
    found, remedy
        What it must say of what was found, and of what to do or what was expected.
    files
        {name: content} that lie in the folder.
    """

    wrong: str
    meets: Callable[[Path, dict], None]
    place: str | tuple[str, ...]
    found: str | tuple[str, ...]
    remedy: str | tuple[str, ...]
    files: Mapping[str, str | bytes]

    def write(self, folder: Path) -> None:
        """Lay the files into the folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def texts(self) -> list[str]:
        """All that the message must say."""
        several = (self.place, self.found, self.remedy)
        return [text for texts in several for text in ((texts,) if isinstance(texts, str) else texts)]


def configured(wrong: str, change: str, place, found, remedy, files: Mapping[str, str | bytes] | None = None) -> Case:
    """A configuration that is refused before anything is computed: when it is planned, or by the check that comes first.

    Parameters
    ----------
    change
        What the user wrote (YAML), laid over a configuration that is right. A block with `use` takes the other's place.
    """

    def meets(folder: Path, screen: dict) -> None:
        config = laid_over(screen, yaml.safe_load(change))
        Plan(config)
        check.blocks(config)

    return Case(wrong, meets, place, found, remedy, files or {})


def job(wrong: str, meets: Callable[[Path], None], place, found, remedy, files=None) -> Case:
    """What a job refuses: `meets` calls the function that its script calls."""
    return Case(wrong, lambda folder, screen: meets(folder), place, found, remedy, files or {})


def command(wrong: str, arguments: str, place, found, remedy, files=None) -> Case:
    """What a command of ``python -m phenorep`` refuses."""

    def meets(folder: Path, screen: dict) -> None:
        raise SystemExit(cli.main(arguments.split()))

    return Case(wrong, meets, place, found, remedy, files or {})


def laid_over(config: dict, change: dict) -> dict:
    """A configuration with changes, as later configuration files change earlier ones."""
    config = copy.deepcopy(config)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(config.get(key), dict) and "use" not in value
        config[key] = laid_over(config[key], value) if both else value
    return config
