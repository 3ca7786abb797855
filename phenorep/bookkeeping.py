"""Which columns of a table of features say where, when or how something was measured, by their names: not how a cell looks.

A number of an image or an object, a place in the field, a path or the seconds that a module took follow the plate's layout
and the order of the work. As features they carry batches and positions into every comparison.

The names are those that CellProfiler [1], Harmony and Columbus, MetaXpress, IN Carta, ImageJ [2], QuPath, scikit-image and
pycytominer [3] write, and those of compounds, wells and amounts (`phenorep.lookalikes`), about which the features are asked.
They are compared word by word, so that no part of a longer word counts: ``Nuclei_AreaShape_Center_X`` is a place,
``RadialDistribution_MeanFrac_DNA_1of4`` and ``Neighbors_NumberOfNeighbors_Adjacent`` are measurements.

[1] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/help/output_measurements.html
[2] https://imagej.net/ij/docs/menus/analyze.html#set
[3] https://pycytominer.readthedocs.io
"""

import re
from collections.abc import Collection

from phenorep import lookalikes

# Where a word ends: at what is neither letter nor digit, and inside ImageNumber, FeretX, MD5Digest and XMLFile.
_WORD = re.compile(r"[^\W\d_]?\d*[^\W\d_A-Z]+\d*|[A-Z]+\d*(?![^\W\d_A-Z])|\d+|[^\W_]")

_AXIS = "[xyz]"
_LENGTH = "(?: (?:px|pixels?|[uμnm]?m|microns?))"
_TIME = "(?: (?:s|ms|sec|seconds?|min|minutes?|h|hours?))"
_NUMBER = "(?:id|ids|number|no|nr|num|index|idx|names?)"
_END = "(?:center|centre|centroid|pos|position|coords?|coordinates?|min|max|start|end|offset)"  # of x: what of it is meant
_PART = "(?:image|img|tile|crop|patch|frame|fov)"  # of a plate, of which objects are parts

# What is bookkeeping wherever it is in a name: pycytominer writes Cells_ before it, aggregation Mean_.
_ANYWHERE = re.compile(
    r"\b(?:"
    r"metadata|path ?name|file ?name|urls?|md5|sha1|sha256|checksum|digest"
    r"|execution time|module error|processing status"
    r"|(?:image|object|table) (?:number|no|nr|id|index)|group (?:index|number|length)"
    # Number_Object_Number is of the line above. A parent is named by its number; so are those that a track leads from.
    r"|parent|children (?:\w+ ){1,20}count|track objects label|assigned label"
    # Location_MaxIntensity_X_DNA and Location_CenterMassIntensity_X_DNA too.
    rf"|location|center (?:{_AXIS})|bounding box|bounding rect\w*|bbox"
    rf"|(?:centroid|centroid weighted|centroid local|cg|position|coord|coordinate) (?:{_AXIS}|[012]|row|col|column)"
    r")\b"
)

# What is bookkeeping as the whole of a name, but for the table's name before it.
_WHOLE = re.compile(
    r"(?:image |images |global |cells? |nucle(?:i|us) |cytoplasm |objects? |stage |measurement |assay |the )*"
    r"(?:"
    rf"(?:plate|well|site|field|fov|row|column|col|batch|replicate|rep|run|experiment|screen|frame|slice|plane|stack|track"
    rf"|group|roi|set|tile|crop|patch|scene)(?: {_NUMBER}| row| column| col| position| {_AXIS})?"
    rf"|ids?(?: [xy])?|(?:cell|object|image|well|plate|site|field)ids?|uuid|guid|barcode|number"
    rf"|(?:index|idx|level)(?: {_AXIS}| \d+)?|row ?names?|unnamed(?: \d+)*|epoch|seed"
    # Places: x, X [px], x_center, xmin, pos_x, cx. Width and height of the same box may be those of a cell.
    rf"|{_AXIS}(?: ?{_END})?{_LENGTH}?|(?:pos|center|centre|coords?|min|max|start|end|offset) ?{_AXIS}{_LENGTH}?|c{_AXIS}"
    rf"|left|top|right|bottom|(?:crop |tile |patch )?(?:box|boxes|coords?|coordinates|xyz?|yx|xywh|xyxy|corners?)"
    # ImageJ: centre of mass, corner of the bounding rectangle, start of the longest diameter.
    r"|xm|ym|bx|by|x start|y start|feret [xy]|ch|pos|position|centroid|center|label|class|classification|target|split|fold"
    rf"|(?:absolute |elapsed |acquisition |exposure )*(?:time|time ?stamp|time ?point|date|date ?time|day|hours?){_TIME}?"
    rf"|exposure{_TIME}?|number of (?:analyzed |analysed )?(?:fields|sites|images)"
    # What a language model is given, and what a picture was before it was made smaller.
    rf"|{_PART} (?:sizes?|shape|height|width)|(?:input|token|token type) ids|attention mask"
    r")"
)

# An identifier of anything: Nuclei ID, PlateID, compound_id, track_index; and answers as numbers: moa_idx, is_control.
_LAST = re.compile(
    r".* (?:ids?|uuid|guid|barcode)|(?:cells?|nucle(?:i|us)|track|sample) (?:index|idx|no|nr)"
    r"|(?:\w+ )?(?:compound|cmpd|cpd|drug|molecule|treatment|perturbation|pert|gene|moa|mechanism|class|label|target|control"
    r"|plate|well|site|field|batch|replicate|cell line|cluster|split|fold) (?:index|idx|code|codes|no|nr|num|number|encoded)"
    r"|is (?:\w+ )?(?:control|negcon|poscon|dmso|treated|untreated|train|training|test|val|validation|outlier)"
)

# What R's readr makes of a column without a name: ...1.
_NAMELESS = re.compile(r"\.{3}\d+")

# What CellProfiler notes of each image that it opened; the height of an object is a measurement.
_OF_IMAGES = re.compile(r"(?:image )?(?:scaling|series|frame|align)(?: .*)?|image (?:height|width|channel|index)(?: .*)?")


def words(name: str) -> str:
    """A column's name as words in small letters with a blank between them: ``image md5 digest dna``."""
    # The two signs for micro are one here, and QuPath's raised 2 is a digit.
    return " ".join(_WORD.findall(name.replace("#", " number "))).lower().replace("\u00b5", "\u03bc")


def is_bookkeeping(name: str) -> bool:
    """Whether a column's name says that it holds no measurement of a cell, a field or a well."""
    text = words(name)
    if _ANYWHERE.search(text) or any(rule.fullmatch(text) for rule in (_WHOLE, _LAST, _OF_IMAGES)):
        return True
    return bool(_NAMELESS.fullmatch(name.strip()) or lookalikes.of(name))


def among(names: Collection[str], embedded: bool = False) -> list[str]:
    """Those of a table's columns that are bookkeeping, also by what other columns the table has.

    Parameters
    ----------
    names
        The columns that may be features.
    embedded
        Whether the table holds an encoder's lists of numbers: width and height beside them are no measurements of objects.
    """
    by_words = {words(name): name for name in names}
    # x1 and y1 are a corner, x1, x2, x3 ... what an encoder made.
    corners = {f"{axis}{end}" for axis in "xy" for end in "0123"} & set(by_words)
    boxes = corners if {"x1", "y1"} <= corners and not {"x3", "y3"} & corners else set()
    sizes = {"width", "height"} & set(by_words) if embedded else set()
    also = {by_words[text] for text in boxes | sizes}
    return [name for name in names if name in also or is_bookkeeping(name)]


def may_number_rows(name: str) -> bool:
    """Whether R or a spreadsheet calls a column so that had no name, as the row numbers that they write."""
    return bool(re.fullmatch(r"(?:v|x|var|column|col)[ ._]?1", name.strip(), re.IGNORECASE))


def numbers_objects(name: str) -> bool:
    """Whether a column holds the numbers of objects: a row is one cell."""
    return bool(re.fullmatch(r"(?:\w+ )*(?:object|cell|nucleus|nuclei) (?:number|no|nr|id|index|label)", words(name)))
