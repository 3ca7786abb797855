"""Headers decorated with whatever programs leave in them, and cells of any text: read as pandas reads the clean table, or
refused, and never silently another way.

``PHENOREP_FUZZ=20000`` tries so many of each; by default some few, the same each time.
"""

import unicodedata

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from phenorep import loaddata, notes
from phenorep.errors import UserError

from .fuzzing import examples, tried

EXAMPLES = examples(20)
FEW = tried(EXAMPLES)
OURS = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Compound", "Metadata_Concentration", "Metadata_MoA"]
OTHERS = ["Nuclei_Area", "replicate", "caf\xe9", "a b", "5\xb5m", "x;y"]
BLANKS = st.text("\t\n\r \x1c\x85\xa0\xad\u1680\u2003\u2028\u200b\u200d\u202e\u2060\u3000\ufeff\0\x7f", max_size=3)


@st.composite
def decorated(draw, name):
    """A name with what cannot be seen around it, in it and in its letters; or in other capitals, if it is one of ours."""
    if name in OURS:
        name = draw(st.sampled_from([name, name, name.lower(), name.upper(), f"Image_{name}", f"image_{name.lower()}"]))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(name)))
        name = name[:place] + draw(st.sampled_from(["\u200b", "\xad", "\u2060", "\ufeff"])) + name[place:]
    name = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), name)
    quotes = draw(st.sampled_from(["", "", '"', "'"]))
    name = f"{quotes}{draw(BLANKS)}{name}{draw(BLANKS)}{quotes}"
    return draw(BLANKS) + name.replace(" ", draw(st.sampled_from([" ", "\xa0", "\u2009"]))) + draw(BLANKS)


CELLS = st.one_of(
    st.text("ab,\"'\n\r;\t =\u03bc\xe9\u200b0", max_size=6),
    st.sampled_from(["NA", "None", "nan", "1.0", "000123", "1e5", "TRUE", "=1", "-", '"', '""', "a\r\nb", " a", "\ufeff"]),
    st.integers(-9, 10**20).map(str),
    st.floats(allow_nan=False).map(repr),
)


@st.composite
def tables(draw, wild):
    """A clean table, and the header under which it is written."""
    names = draw(st.permutations(draw(st.lists(st.sampled_from([*OURS, *OTHERS]), min_size=1, max_size=6, unique=True))))
    rows = draw(st.lists(st.tuples(*[CELLS] * len(names)), min_size=1, max_size=4))
    header = [draw(decorated(name)) if wild else name for name in names]
    if wild and draw(st.integers(0, 4)) == 0:  # one more column, which may be called like another
        header.append(draw(decorated(draw(st.sampled_from(OURS)))))
        names = [*names, None]
        rows = [(*row, "more") for row in rows]
    return names, header, rows


def stripped(table):
    return [[cell.strip() for cell in row] for row in table.to_numpy().tolist()]


def read(path, header, rows, parquet):
    frame = pd.DataFrame(rows)
    if parquet:
        if len(set(header)) < len(header):
            return None
        frame.set_axis(header, axis=1).to_parquet(path)
    else:
        frame.to_csv(path, index=False, header=header, quoting=1)  # all: pandas would quote no lone \\r
    with notes.kept() as kept:
        try:
            return loaddata.read(str(path), "table"), [note["text"] for note in kept]
        except UserError as error:
            if str(path) not in str(error):
                raise
            return None


@FEW
@given(tables(wild=True), st.booleans())
def test_headers(tmp_path_factory, made, parquet):
    names, header, rows = made
    path = tmp_path_factory.getbasetemp() / f"t.{'parquet' if parquet else 'csv'}"
    result = read(path, header, rows, parquet)
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    if None in names:  # the same name twice is refused, and another one is a column of its own
        if result is None:
            return
        assert len(set(result[0])) == len(names)
        names = [name or list(result[0])[-1] for name in names]
    elif result is None:
        assert not filled or len(header) == 1 or (len(set(header)) < len(header))
        return
    table, texts = result
    # What pandas reads of the table under its clean names, passing over rows that hold nothing.
    assert list(table) == names
    assert stripped(table) == stripped(pd.DataFrame(filled))
    changed = [theirs for theirs, ours in zip(header, names, strict=True) if theirs.removeprefix("Image_") != ours]
    assert all(any(repr(theirs) in text for text in texts) for theirs in changed)


@FEW
@given(tables(wild=False), st.sampled_from([0, 1, 2]), st.sampled_from(["\n", "\r\n"]))
def test_cells(tmp_path_factory, made, quoting, line_break):
    names, _, rows = made
    path = tmp_path_factory.getbasetemp() / "t.csv"
    pd.DataFrame(rows, columns=names).to_csv(path, index=False, quoting=quoting, lineterminator=line_break)
    clean = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    with notes.kept():
        try:
            table = loaddata.read(str(path), "table")
        except UserError as error:
            if "no rows" not in str(error) and len(names) > 1:
                raise
            return
    filled = [any(cell.strip() for cell in row) for row in clean.to_numpy()]
    assert stripped(table) == stripped(clean[filled])
    assert table.index.tolist() == [number + 2 for number, keep in enumerate(filled) if keep]
