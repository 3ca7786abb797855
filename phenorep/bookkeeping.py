"""Which columns of a table of features say where, when or how something was measured, by their names: not how a cell looks.

A number of an image or an object, a place in the field, a path or the seconds that a module took follow the plate's layout
and the order of the work. As features they carry batches and positions into every comparison.

The names are those that CellProfiler [1], Harmony and Columbus, MetaXpress, IN Carta, ImageJ [2], QuPath, scikit-image and
pycytominer [3] write. They are compared word by word, so that no part of a longer word counts: ``Nuclei_AreaShape_Center_X``
is a place, ``RadialDistribution_MeanFrac_DNA_1of4`` and ``Neighbors_NumberOfNeighbors_Adjacent`` are measurements.

[1] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/help/output_measurements.html
[2] https://imagej.net/ij/docs/menus/analyze.html#set
[3] https://pycytominer.readthedocs.io
"""

import re

# Where a word ends: at what is neither letter nor digit, and inside ImageNumber, FeretX, MD5Digest and XMLFile.
_WORD = re.compile(r"[^\W\d_]?\d*[^\W\d_A-Z]+\d*|[A-Z]+\d*(?![^\W\d_A-Z])|\d+|[^\W_]")

_AXIS = "[xyz]"
_UNIT = "(?: (?:px|pixels?|[uμnm]?m|microns?|s|sec|seconds?|min|minutes?|h|hours?))"
_DOSE_UNIT = "(?: (?:(?:[munpkμ] ?)?(?:m|mol|g|l)|log|log10|per|liter|litre))"  # uM is two words, see `_WORD`
_NUMBER = "(?:id|ids|number|no|nr|num|index|idx|name)"

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
    rf"|(?:centroid|centroid weighted|centroid local|cg|position|coord|coordinate) (?:{_AXIS}|[012])"
    r")\b"
)

# What is bookkeeping as the whole of a name, but for the table's name before it.
_WHOLE = re.compile(
    r"(?:image |images |global |cells? |nucle(?:i|us) |cytoplasm |objects? |stage |measurement |assay |the )*"
    r"(?:"
    rf"(?:plate|well|site|field|fov|row|column|col|batch|replicate|rep|run|experiment|screen|frame|slice|plane|stack|track"
    rf"|group|roi|set)(?: {_NUMBER}| row| column| col| position| {_AXIS})?"
    rf"|id|ids|uuid|guid|barcode|number|index|idx|unnamed(?: \d+)*|level \d+|{_AXIS}{_UNIT}?"
    # ImageJ: centre of mass, corner of the bounding rectangle, start of the longest diameter.
    r"|xm|ym|bx|by|x start|y start|feret [xy]|ch|pos|position|centroid|center|label|class|classification|target|split|fold"
    rf"|(?:absolute |elapsed |log |log10 |compound |drug )*(?:concentration|conc|dose|dosage|mmoles){_DOSE_UNIT}*"
    rf"|(?:absolute |elapsed )?(?:time|time ?stamp|time ?point|date|date ?time|day|hour|hours){_UNIT}?"
    r"|number of (?:analyzed |analysed )?(?:fields|sites|images)"
    r")"
)

# An identifier of anything: Nuclei ID, PlateID, compound_id, track_index.
_LAST = re.compile(r".* (?:id|uuid|guid|barcode)|(?:cells?|nucle(?:i|us)|track|sample) (?:index|idx|no|nr)")

# What CellProfiler notes of each image that it opened; the height of an object is a measurement.
_OF_IMAGES = re.compile(r"(?:image )?(?:scaling|series|frame|align)(?: .*)?|image (?:height|width|channel|index)(?: .*)?")


def words(name: str) -> str:
    """A column's name as words in small letters with a blank between them: ``image md5 digest dna``."""
    # The two signs for micro are one here, and QuPath's raised 2 is a digit.
    return " ".join(_WORD.findall(name.replace("#", " number "))).lower().replace("\u00b5", "\u03bc")


def is_bookkeeping(name: str) -> bool:
    """Whether a column's name says that it holds no measurement of a cell, a field or a well."""
    text = words(name)
    return bool(_ANYWHERE.search(text) or any(rule.fullmatch(text) for rule in (_WHOLE, _LAST, _OF_IMAGES)))


def numbers_objects(name: str) -> bool:
    """Whether a column holds the numbers of objects: a row is one cell."""
    return bool(re.fullmatch(r"(?:\w+ )*(?:object|cell|nucleus|nuclei) (?:number|no|nr|id|index|label)", words(name)))
