"""How images became the samples that an encoder was made for: stated in its file, so that other images are treated alike.

Each step states what it did where it writes: illumination functions and nuclei their settings, samples all of it, beside
their statistics. The encoder's file copies that, for each sample set it learned from, or was made ready for. None of it
decides weights, so no training depends on this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from phenorep import notes, plugins
from phenorep.errors import UserError

KEY = "prepared"  # among the facts of an encoder: a list with an entry for each sample set
_STEPS = ("illumination", "nuclei")
_MAKING = ("samples", "engine", "pipeline", "on_bad_image", *_STEPS)  # what statistics state as `preparation`


@dataclass(frozen=True)
class Entry:
    """What an encoder's file states of one sample set; None: it is not known."""

    set: str  # dataset/samples
    dtype: str  # of the images
    intensity_max: int | None = None  # largest grey value of the camera
    pixel_size_um: float | None = None  # micrometres in a pixel of the images
    samples: list | None = None  # blocks as of the configuration: the set cut out of fields, then the views of it
    engine: str | None = None  # native, or cellprofiler
    pipeline: str | None = None  # a CellProfiler pipeline of the user's
    on_bad_image: str | None = None
    illumination: dict | None = None  # keys of preprocessing.Illumination
    nuclei: dict | None = None  # keys of preprocessing.Segmentation

    def __post_init__(self):
        if self.dtype not in ("uint8", "uint16"):
            raise ValueError("dtype must be uint8 or uint16")
        if self.intensity_max is not None and not 1 <= self.intensity_max <= np.iinfo(self.dtype).max:
            raise ValueError(f"intensity_max must lie between 1 and {np.iinfo(self.dtype).max} for {self.dtype}")
        if self.pixel_size_um is not None and not 0 < self.pixel_size_um < np.inf:
            raise ValueError("pixel_size_um must be above 0")
        if self.samples is not None and not (self.samples and all(map(_is_block, self.samples))):
            raise ValueError("samples must be blocks of a strategy ('use'), its 'keys' and perhaps 'where'")

    def flat(self) -> dict[str, object]:
        """What decides samples, by the key that a message names; without what is not known."""
        names = ("dtype", "intensity_max", "pixel_size_um", "samples", "on_bad_image")
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.nuclei is not None:
            found["pipeline"] = self.pipeline
        if self.samples is not None:  # a view of whole samples without a condition is the set itself
            found["samples"] = [block for block in self.samples if block.get("use") or block.get("where")]
        for step in _STEPS:
            found |= {f"{step}: {key}": value for key, value in (getattr(self, step) or {}).items()}
        return found


def of_statistics(name: str, statistics: dict) -> dict:
    """What the statistics of a plate's samples state, as an entry of an encoder's file; `name` is dataset/samples."""
    found = {key: statistics.get(key) for key in ("dtype", "intensity_max", "pixel_size_um")}
    return {"set": name, **found, **{key: (statistics.get("preparation") or {}).get(key) for key in _MAKING}}


def of_sources(sources: Sequence) -> list[dict]:
    """Entries for all that an encoder learns from, or is made ready for: `phenorep.batches.Source`, each once."""
    found = []
    for source in sources:
        for statistics in source.samples.facts:
            entry = of_statistics(source.name, statistics)
            if entry not in found:
                found.append(entry)
    return found


def stated(encoder: str, facts: dict) -> list[Entry]:
    """What an encoder's file states of its images; nothing, if it was written before files did.

    Raises
    ------
    UserError
        If it cannot be understood: a file may come from elsewhere.
    """
    entries = facts.get(KEY, [])
    place = f"{encoder}: {KEY}"
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(
            f"{place}: found {str(entries)[:80]}, expected an entry for each sample set. Take a file that phenorep has "
            "written, or remove it and run again."
        )
    return [_completed(plugins.configure(Entry, entry, place)) for entry in entries]


def _completed(entry: Entry) -> Entry:
    """The entry with the keys of sample sets that came later than its file, as they would have been then."""
    if entry.samples is None:
        return entry
    named = plugins.names("samples")
    earlier = [
        plugins.constants("samples", b["use"]).get("EARLIER", {}) if b.get("use") in named else {} for b in entry.samples
    ]
    return replace(entry, samples=[b | {"keys": e | b["keys"]} for b, e in zip(entry.samples, earlier, strict=True)])


def settled(encoder: str, entries: Sequence[Entry], given: dict[str, object], remedies: dict[str, str]) -> dict[str, object]:
    """The value of each key of `Entry.flat`: as given, or else as all sample sets of the encoder have it.

    Parameters
    ----------
    given
        What options and ``--config`` say, by the same keys.
    remedies
        How a key is given on the command line; the key ``""`` for all others.

    Raises
    ------
    UserError
        If the sample sets differ in a key that is not given.
    """
    found, differing = {}, []
    for key, values in _values(entries).items():
        if key not in given and len({str(value) for value in values.values()}) > 1:
            remedy = remedies.get(key, remedies[""])
            differing.append(f"{key}: {_listed(key, values)} ({remedy})")
        found[key] = next(iter(values.values()))
    if differing:
        raise UserError(
            f"{encoder}: the sample sets that it was made with differ; say which is meant here:\n  " + "\n  ".join(differing)
        )
    return found | given


def warn_of_differences(entries: Sequence[Entry], here: dict[str, object]) -> None:
    """Say in what samples differ from those that an encoder was made with; `here` has keys as of `Entry.flat`."""
    for key, values in _values(entries).items():
        if key in here and any(not _same(value, here[key]) for value in values.values()):
            alike = len({str(value) for value in values.values()}) == 1
            text = _shown(key, next(iter(values.values()))) if alike else _listed(key, values)
            notes.warn(f"{key}: the encoder was made with {text}, here {_shown(key, here[key])}")


def words(samples: Sequence[dict]) -> str:
    """A sample set, with its views, in words."""
    parts = []
    for block in samples:
        keys = ", ".join(f"{key} {value}" for key, value in block["keys"].items() if value is not None)
        parts.append((f"{block['use']} ({keys})" if keys else block["use"]) if block["use"] else "")
        if block.get("where"):
            parts[-1] = f"{parts[-1]} where {block['where']}".strip()
    return ", of these ".join(part for part in parts if part)


def _values(entries: Sequence[Entry]) -> dict[str, dict[str, object]]:
    """By key: the value of each sample set that states it."""
    found: dict[str, dict[str, object]] = {}
    for entry in entries:
        for key, value in entry.flat().items():
            found.setdefault(key, {})[entry.set] = value
    return found


def _same(first: object, second: object) -> bool:
    first, second = (list(value) if isinstance(value, tuple) else value for value in (first, second))
    return first == second


def _listed(key: str, values: dict[str, object]) -> str:
    return ", ".join(f"{_shown(key, value)} of {name}" for name, value in values.items())


def _shown(key: str, value: object) -> str:
    if key == "samples":
        return words(value)
    return "none" if value is None else str(list(value) if isinstance(value, tuple) else value)


def _is_block(block: object) -> bool:
    if not isinstance(block, dict) or not set(block) <= {"use", "keys", "where"} or not isinstance(block.get("keys"), dict):
        return False
    return isinstance(block.get("use"), str | None) and isinstance(block.get("where"), str | None)
