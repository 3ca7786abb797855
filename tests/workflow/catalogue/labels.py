"""Labels of single images: the blocks that name them, the files that hold them, and what is learnt from them."""

from pathlib import Path

from phenorep import contracts
from phenorep.quality import abnormality, annotating, annotations

from ...unit import made_samples
from .case import Case, configured, job
from .learning import features


def marked(wrong: str, lines: str, found, remedy) -> Case:
    """A table of annotations of the samples s0 to s7."""

    def meets(folder: Path) -> None:
        annotations.join(features(), folder / "labels.csv")

    return job(wrong, meets, ("annotations: ", "labels.csv"), found, remedy, {"labels.csv": lines})


def shown(wrong: str, keys: dict, place, found, remedy) -> Case:
    """The page of small made-up samples of DNA and Actin, with these keys."""

    def meets(folder: Path) -> None:
        made = made_samples.write(folder / "samples", plates=1, count=4)
        page = str(folder / "annotate.html")
        annotating.make("run", "made/cells", made["tables"], made["statistics"], None, keys, None, page)

    return job(wrong, meets, place, found, remedy)


def one_kind(folder: Path) -> None:
    """Learn what is abnormal from normal samples alone."""
    contracts.write_table(features(Label_Quality="normal"), folder / "final.parquet", "embeddings")
    abnormality.make({"embeddings": str(folder / "final.parquet")}, {"method": "random"}, folder / "abnormality.parquet")


HEADER = "Sample,Label_Quality\n"

CASES = [
    # -- annotations ---------------------------------------------------------------------------------------------------
    configured("text for the annotations", "annotations: labels.csv", "annotations", "'labels.csv'", "{key: value}"),
    configured(
        "annotations that are not there",
        "annotations: {screen/cells: labels.csv}",
        "annotations: screen/cells",
        "no file labels.csv",
        "snakemake annotate",
    ),
    configured(
        "annotations without a dataset",
        "annotations: {cells: a.csv}",
        "annotations",
        "'cells' is not",
        "like 'screen/cells'",
    ),
    configured(
        "annotations of samples that there are not",
        "annotations: {screen/cels: a.csv}",
        "annotations",
        "no 'cels' under samples",
        "Did you mean 'cells'",
    ),
    marked("annotations without samples", "Name,Label_Quality\ns1,normal\n", "no column 'Sample'", "Needed are"),
    marked("an annotation of no kind", HEADER + "s1,good\n", ("row 2", "'good'"), "it can be normal, abnormal or empty"),
    marked("annotations that are empty", HEADER + "s1,\n", "no sample has a label", "Mark some"),
    marked("a sample with both labels", HEADER + "s1,normal\ns1,abnormal\n", "the first is 's1'", "Leave one label"),
    marked("annotations of another sample set", HEADER + "t1,normal\n", "the file has 't1', the set has 's0'", "right one"),
    marked("annotations that are empty to the last byte", "", "cannot be read as a table", "Name another table"),
    # -- abnormality ---------------------------------------------------------------------------------------------------
    configured("abnormality without a method", "abnormality: {}", "abnormality", "the key 'method'", "is needed"),
    configured("abnormality by a method alone", "abnormality: random", "abnormality", "found 'random'", "{key: value}"),
    configured("abnormality by a method that there is not", "abnormality: {method: randm}", "method", "'randm'", "'random'"),
    configured(
        "abnormality of samples that there are not",
        "abnormality: {method: random, samples: cels}",
        "abnormality: samples",
        "'cels'",
        "Did you mean 'cells'",
    ),
    configured(
        "a key of abnormality that is misspelt", "abnormality: {method: random, fold: 3}", "abnormality", "'fold'", "'folds'"
    ),
    configured("one fold", "abnormality: {method: random, folds: 1}", "abnormality", "not 1", "folds must be 2 or more"),
    configured(
        "text for a seed of abnormality", "abnormality: {method: random, seed: x}", "seed", "'x' is no seed", "from 0"
    ),
    configured(
        "a share above all", "abnormality: {method: random, prevalence: 5}", "abnormality", "prevalence", "between 0 and 1"
    ),
    configured(
        "abnormality by an encoder that learns without it",
        "{abnormality: {method: simclr}, samples: {clean: {of: cells, where: abnormality < 0.5}},"
        " methods: {simclr: {train: [{samples: screen/clean}]}},"
        " studies: {tiny: {methods: [simclr]}, other: {dataset: screen, samples: clean, methods: [random]}}}",
        "abnormality: method",
        "simclr learns from screen/clean",
        "Take another method",
    ),
    job("abnormality of normal samples alone", one_kind, "final.parquet", "0 samples are labelled abnormal", "annotations:"),
    # -- the page ------------------------------------------------------------------------------------------------------
    configured("a page of samples without a dataset", "annotate: {samples: cells}", "annotate", "'cells'", "screen/cells"),
    configured("a page of no images", "annotate: {count: 0}", "annotate: count", "not 0", "1 to 2000"),
    configured(
        "diverse samples without a method", "annotate: {sampling: diverse}", "annotate: sampling", "embeddings", "name a 'm"
    ),
    configured("a colour by its name", "annotate: {colours: {DNA: blue}}", "annotate: colours", "'blue'", "'#rrggbb'"),
    configured(
        "a key of the page that is misspelt", "annotate: {counts: 9}", "annotate", "'counts'", "Did you mean 'count'"
    ),
    shown(
        "a colour of a channel that there is not",
        {"colours": {"DAPI": "#0000ff"}},
        "annotate: colours",
        "'DAPI'",
        "are: Actin",
    ),
    shown(
        "a column of the page that there is not", {"columns": ["Compound"]}, "columns", "no 'Compound'", "Metadata_Compound"
    ),
]
