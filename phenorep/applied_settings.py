"""What decides the samples of other images: what the encoder's file states, changed by ``--config`` and options."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phenorep import notes, preparation, preprocessing, sampling_choice
from phenorep.errors import UserError
from phenorep.preparation import Entry

_STEPS = ("illumination", "nuclei")
# {key of a dataset in a configuration: option that says the same of the new table}
TABLE_OPTIONS = {
    "rename": "rename",
    "names": "names",
    "images": "images_in",
    "plates": "plates",
    "time": "time",
    "plane": "plane",
}
_KEY = re.compile(rf"(?:'|datasets: |: )({'|'.join(TABLE_OPTIONS)}):")
_REMEDIES = {
    "intensity_max": "--intensity-max",
    "pixel_size_um": "--pixel-size-um",
    "samples": "--samples",
    "on_bad_image": "--on-bad-image",
    "": "say it under 'preprocess' in a file behind --config",
}


@dataclass(frozen=True)
class Settings:
    """What the steps from images to samples are called with."""

    samples: list[dict]  # the set that is cut out of fields, then the views of it
    preprocess: preprocessing.Preprocess
    intensity_max: int | None  # None: that of the images' type
    pixel_size_um: float | str | None

    def flat(self) -> dict[str, object]:
        """The same by the keys of `Entry.flat`."""
        found = {"samples": self.samples, "pixel_size_um": _number(self.pixel_size_um)}
        found |= {"on_bad_image": self.preprocess.on_bad_image, "pipeline": None}
        if self.intensity_max is not None:
            found["intensity_max"] = self.intensity_max
        for step in _STEPS:
            values = preprocessing.stage(self.preprocess, step)[step]
            found |= {f"{step}: {key}": value for key, value in values.items()}
        if self.preprocess.nuclei_settings.channel is None:
            found["nuclei: channel"] = "DNA"
        return found


def settled(options: dict, entries: Sequence[Entry], config: dict) -> Settings:
    """All settings, from the encoder's file, the file behind ``--config`` and the command line; the later ones count.

    Parameters
    ----------
    options
        As of `phenorep.applying.make`.
    entries
        What the encoder's file states of its images.
    config
        The blocks behind ``--config``.

    Raises
    ------
    UserError
        If the encoder's sample sets differ and nothing says which is meant, if it is not stated how samples are cut, or if
        nuclei are found by a pipeline of the user's.
    """
    given = _given(options, config)
    found = preparation.settled(options["encoder"], entries, given, _REMEDIES)
    if options.get("illumination") == "plate" and found.get("illumination: smoothing") == "none":
        found["illumination: smoothing"] = preprocessing.Illumination().smoothing
    if found.get("pipeline"):
        raise UserError(
            f"{options['config'] if given.get('pipeline') else options['encoder']}: preprocess: pipeline: "
            f"{found['pipeline']}: nuclei by a CellProfiler pipeline of your own are found by the workflow alone. Run it on "
            "these plates, and give the samples that it cuts: results/{dataset}/samples/... Or find them as phenorep does, "
            "which differs: 'preprocess: {pipeline: null}' in a file behind --config."
        )
    _say_what_is_not_stated(options["encoder"], found)
    preprocess = _preprocess(found)
    engines = {entry.engine for entry in entries} | {(config.get("preprocess") or {}).get("engine")}
    for engine in sorted(engines - {None, "native"}):
        print(f"preprocess: the native engine works, in place of {engine}: the same operations and settings")
    _say(preprocess, bool(entries))
    top = found.get("intensity_max") if "intensity_max" in given else _unless_whole(found)
    samples = _samples(options, found, "samples" in given)
    return Settings(samples, preprocess, top, found.get("pixel_size_um"))


def range_of(options: dict, entries: Sequence[Entry]) -> int | None:
    """The largest grey value of the camera, as given or stated; None: that of the images' type."""
    if options.get("intensity_max") is not None:
        return options["intensity_max"]
    bare = [Entry(set=entry.set, dtype=entry.dtype, intensity_max=entry.intensity_max) for entry in entries]
    return _unless_whole(preparation.settled(options["encoder"], bare, {}, _REMEDIES))


def hint(message: str, options: dict, samples: Sequence[dict], intensity_max: int | None) -> str:
    """Where the setting comes from that a message is about, if that is the encoder's file, and how it is changed."""
    if ": where:" in message and options.get("samples") is None:
        option = sampling_choice.as_option(samples)
        return f"The condition is the encoder's, as its file states; --samples {option} cuts all samples, without it."
    ranged = "intensity_max" in message or "--intensity-max" in message
    if ranged and intensity_max is not None and options.get("intensity_max") is None:
        return "The intensity_max is the encoder's, as its file states; --intensity-max says that of these images."
    if "pixel_size_um" in message and options.get("pixel_size_um") is None:
        return "Here --pixel-size-um states it."
    if keys := list(dict.fromkeys(_KEY.findall(message))):
        told = [f"--{TABLE_OPTIONS[key].replace('_', '-')}{' THEIRS=OURS,...' if key == 'rename' else ''}" for key in keys]
        return f"Here {' and '.join(told)} {'say' if len(told) > 1 else 'says'} it."
    return "Here --on-bad-image exclude does so." if "on_bad_image: exclude" in message else ""


def _given(options: dict, config: dict) -> dict[str, object]:
    """What ``--config`` and the command line say, by the keys of `Entry.flat`."""
    block = dict(config.get("preprocess") or {})
    preprocessing.settings(block)  # a mistake in it is that file's, whatever else is stated
    given: dict[str, object] = {key: block[key] for key in ("pipeline", "on_bad_image") if key in block}
    for step in _STEPS:
        given |= {f"{step}: {key}": value for key, value in (block.get(step) or {}).items()}
    for key in ("intensity_max", "pixel_size_um", "on_bad_image"):
        if options.get(key) is not None:
            given[key] = options[key]
    if options.get("illumination") == "none":
        given["illumination: smoothing"] = "none"
    if (samples := sampling_choice.given(options, config)) is not None:
        given["samples"] = samples
    return given


def _preprocess(found: dict[str, object]) -> preprocessing.Preprocess:
    """The settings of preprocessing; all is done in process."""
    values: dict = {"engine": "native"}
    if found.get("on_bad_image"):
        values["on_bad_image"] = found["on_bad_image"]
    for step in _STEPS:
        values[step] = {key.removeprefix(f"{step}: "): found[key] for key in found if key.startswith(f"{step}: ")}
    return preprocessing.settings(values)


def _samples(options: dict, found: dict[str, object], given: bool) -> list[dict]:
    """How samples are cut; says it."""
    if "samples" not in found:
        raise sampling_choice.needed(options["encoder"])
    samples = found["samples"]
    if not given:
        samples = sampling_choice.checked(samples, f"{options['encoder']}: {preparation.KEY}")
    samples, lost = sampling_choice.without_abnormality(samples)
    if lost:
        notes.warn(
            f"samples: the encoder was made with those where {lost}, which the workflow alone computes: here all are "
            "embedded, and where grey values are scaled by plate, all count in its mean and deviation"
        )
    source = "--samples" if given else "the encoder's file"
    print(f"samples: {preparation.words(samples)}, as {source} says")
    return samples


def _say(preprocess: preprocessing.Preprocess, stated: bool) -> None:
    """Say what differs from the defaults."""
    changed = [f"on_bad_image {preprocess.on_bad_image}"] if preprocess.on_bad_image != "stop" else []
    default = preprocessing.Preprocess()
    for step in _STEPS:
        usual = preprocessing.stage(default, step)[step] | ({"channel": "DNA"} if step == "nuclei" else {})
        values = preprocessing.stage(preprocess, step)[step]
        changed += [f"{step} {key} {value}" for key, value in values.items() if value is not None and value != usual[key]]
    source = ", as the encoder's file states; --config names a file with others" if stated else ""
    print(f"preprocess: {', '.join(changed) or 'default settings'}{source}")


def _say_what_is_not_stated(encoder: str, found: dict[str, object]) -> None:
    lacking = []
    if "intensity_max" not in found:
        lacking.append("the largest grey value of its camera (--intensity-max; by default that of the images' type)")
    for step, words in zip(_STEPS, ("how uneven light was corrected", "how nuclei were found"), strict=True):
        if not any(key.startswith(f"{step}: ") for key in found):
            lacking.append(f"{words} (--config with 'preprocess: {step}:'; by default as phenorep/preprocessing.py says)")
    if lacking:
        notes.warn(f"{encoder}: the file does not state {', '.join(lacking)}: defaults are used")


def _unless_whole(stated: dict) -> int | None:
    """A range that is all of its type says nothing of images of another type."""
    top = stated.get("intensity_max")
    return None if top is None or top == np.iinfo(stated["dtype"]).max else top


def _number(value: float | str | None) -> float | str | None:
    """A number of the command line; other text is refused where the dataset is configured."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return value
