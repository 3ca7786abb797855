"""CellProfiler pipelines whose settings come from the configuration.

The files in ``workflow/cellprofiler`` open in CellProfiler 4.2 as they are; what the configuration sets is filled in.
"""

import re
from pathlib import Path

from phenorep.preprocessing import Illumination, Segmentation

FOLDER = Path(__file__).resolve().parents[2] / "workflow" / "cellprofiler"
_MODULE = re.compile(r"(?m)^(?=\w+:\[module_num:)")
_YES = {True: "Yes", False: "No"}


def fill(pipeline: str, module: str, values: dict[str, object]) -> str:
    """A pipeline's text with other values of a module's settings.

    Parameters
    ----------
    pipeline
        Text of a .cppipe file.
    module
        Name of the module; all of that name are filled.
    values
        {text of the setting: value}. Settings that share a text get the same value.

    Raises
    ------
    ValueError
        If the pipeline has no such module, or the module no such setting.
    """
    parts = split(pipeline)
    chosen = [index for index, part in enumerate(parts) if part.startswith(f"{module}:[")]
    if not chosen:
        raise ValueError(f"the pipeline has no module {module}")
    for index in chosen:
        for name, value in values.items():
            line = re.compile(rf"(?m)^    {re.escape(name)}:.*$")
            parts[index], count = line.subn(lambda _, text=f"    {name}:{value}": text, parts[index])
            if not count:
                raise ValueError(f"the module {module} has no setting '{name}'")
    return "".join(parts)


def split(pipeline: str) -> list[str]:
    """A pipeline's head and its modules, as texts."""
    return _MODULE.split(pipeline)


def join(head: str, modules: list[str]) -> str:
    """A pipeline of these modules, numbered anew."""
    head = re.sub(r"ModuleCount:\d+", f"ModuleCount:{len(modules)}", head)
    numbered = (re.sub(r"module_num:\d+", f"module_num:{number}", text) for number, text in enumerate(modules, start=1))
    return head + "\n".join(text.rstrip("\n") + "\n" for text in numbered)


def illumination(chosen: Illumination, shape: tuple[int, int]) -> str:
    """The pipeline that smooths and scales the mean images of a plate (height, width)."""
    methods = {
        "gaussian": "Gaussian Filter",
        "median": "Median Filter",
        "polynomial": "Fit Polynomial",
        "none": "No smoothing",
    }
    values = {"Smoothing method": methods[chosen.smoothing], "Smoothing filter size": chosen.width(shape)}
    return fill((FOLDER / "illumination.cppipe").read_text(), "CorrectIlluminationCalculate", values)


def nuclei(chosen: Segmentation, share: float) -> str:
    """The pipeline that finds nuclei; `share` is the camera's largest value as a part of the file type's."""
    declump = chosen.declump.capitalize()
    low, high = (bound * share for bound in chosen.threshold_bounds)
    values = {
        "Typical diameter of objects, in pixel units (Min,Max)": ",".join(map(str, chosen.diameter)),
        "Discard objects touching the border of the image?": _YES[chosen.border == "drop"],
        "Method to distinguish clumped objects": declump,
        "Method to draw dividing lines between clumped objects": (chosen.divide or chosen.declump).capitalize()
        if chosen.declump != "none"
        else declump,
        "Automatically calculate size of smoothing filter for declumping?": _YES[chosen.declump_smoothing is None],
        "Size of smoothing filter": chosen.declump_smoothing if chosen.declump_smoothing is not None else 10,
        "Automatically calculate minimum allowed distance between local maxima?": _YES[chosen.declump_distance is None],
        "Suppress local maxima that are closer than this minimum allowed distance": chosen.declump_distance
        if chosen.declump_distance is not None
        else 7.0,
        "Speed up by using lower-resolution image to find local maxima?": _YES[chosen.low_resolution],
        "Fill holes in identified objects?": "After both thresholding and declumping" if chosen.fill_holes else "Never",
        "Threshold strategy": chosen.threshold_scope.capitalize(),
        "Thresholding method": {"otsu": "Otsu", "minimum_cross_entropy": "Minimum Cross-Entropy"}[chosen.threshold],
        "Threshold smoothing scale": chosen.threshold_smoothing,
        "Threshold correction factor": chosen.threshold_correction,
        "Lower and upper bounds on threshold": f"{low:.10g},{high:.10g}",
        "Size of adaptive window": chosen.adaptive_window,
    }
    return fill((FOLDER / "nuclei.cppipe").read_text(), "IdentifyPrimaryObjects", values)
