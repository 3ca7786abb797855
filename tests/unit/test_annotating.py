"""The annotation page without a browser: which samples it shows, how they look, and what stands in it."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phenorep import contracts, plugins
from phenorep.errors import UserError
from phenorep.quality import annotating, choosing
from phenorep.report import colours
from tests.unit import made_samples

HOSTILE = "</script><script>alert('x')</script>"


def screen(plates: int = 3, wells: int = 4, sites: int = 2, cells: int = 5) -> pd.DataFrame:
    """A samples table; the first plate has twice the cells of the others."""
    rows = [
        (f"P{plate}", f"A{well:02d}", str(site), f"P{plate}/A{well:02d}/{site}/{cell}")
        for plate in range(plates)
        for well in range(wells)
        for site in range(sites)
        for cell in range(cells * (1 if plate else 2))
    ]
    return pd.DataFrame(rows, columns=[*contracts.FIELD, "Sample"])


def embeddings(folder: Path, values: np.ndarray, blocks: dict[str, int], groups: int = 3) -> tuple[Path, pd.DataFrame]:
    """A file of embeddings in several row groups, and the samples table."""
    names = [name for block, count in blocks.items() for name in contracts.feature_names(block, count)]
    table = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": "A01", "Metadata_Site": "1"}, index=range(len(values)))
    table["Sample"] = [f"P/A01/1/{number}" for number in range(len(values))]
    whole = pd.concat([table, pd.DataFrame(values.astype(np.float32), columns=names)], axis=1)
    with contracts.table_writer(folder / "e.parquet", "embeddings") as write:
        for part in np.array_split(np.arange(len(values)), groups):
            write(whole.iloc[part].reset_index(drop=True))
    return folder / "e.parquet", table


def data_of(path: Path) -> dict:
    """What the page's script reads."""
    text = path.read_text()
    return json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)[1])


def write_page(folder: Path, files: dict, settings: dict | None = None, annotations=None, vectors=None) -> Path:
    output = folder / "page.html"
    annotating.make(
        "trial", "made/cells", files["tables"], files["statistics"], vectors, settings or {}, annotations, output
    )
    return output


def picture(page: dict, index: int) -> np.ndarray:
    """The channels (C, H, W) of an image of the page."""
    width, height = page["size"]
    grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(page["items"][index][2]))))
    return grey.reshape(len(page["channels"]), height, width)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return made_samples.write(tmp_path_factory.mktemp("samples"))


# -- which samples are shown ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 24, 30])
def test_a_random_choice_is_even_over_plates_wells_and_fields(count):
    table = screen()
    rows = choosing.spread(table, np.ones(len(table), bool), count, seed=0)
    assert len(set(rows.tolist())) == count
    for depth, places in ((1, 3), (2, 12), (3, 24)):
        sizes = table.iloc[rows].groupby(list(contracts.FIELD[:depth])).size()
        assert sizes.max() - (sizes.min() if len(sizes) == places else 0) <= 1


def test_a_random_choice_has_a_seed_and_keeps_to_what_is_free():
    table = screen()
    free = (table["Metadata_Plate"] != "P1").to_numpy()
    rows = choosing.spread(table, free, 40, seed=0)
    assert (rows == choosing.spread(table, free, 40, seed=0)).all()
    assert set(rows.tolist()) != set(choosing.spread(table, free, 40, seed=1).tolist())
    assert free[rows].all()
    # All that there is, if more is wanted; from the plate that has more too.
    assert sorted(choosing.spread(table, free, 1000, seed=0)) == np.flatnonzero(free).tolist()


def test_a_diverse_choice_shows_a_rare_kind_that_a_random_one_mostly_misses(tmp_path):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(1000, 16))
    rare = generator.choice(1000, 10, replace=False)
    values[rare] += 12
    path, table = embeddings(tmp_path, values, {"net": 16})
    free = np.ones(1000, bool)
    seeds = range(10)
    by_chance = [np.isin(choosing.spread(table, free, 20, seed), rare).any() for seed in seeds]
    by_kind = [np.isin(choosing.diverse(path, table, free, 20, seed)[0], rare).any() for seed in seeds]
    assert sum(by_chance) <= 5
    assert all(by_kind)


def test_the_same_samples_are_chosen_in_any_order_of_the_rows(tmp_path):
    table, generator = screen(), np.random.default_rng(6)
    order = generator.permutation(len(table))
    shuffled, free = table.iloc[order].reset_index(drop=True), generator.random(len(table)) < 0.7
    rows, others = choosing.spread(table, free, 20, seed=0), choosing.spread(shuffled, free[order], 20, seed=0)
    assert table["Sample"].iloc[rows].tolist() == shuffled["Sample"].iloc[others].tolist()

    path, table = embeddings(tmp_path, generator.normal(size=(90, 4)), {"a": 4})
    rows, _ = choosing.diverse(path, table, np.ones(90, bool), 12, seed=3)
    order = generator.permutation(90)
    whole = contracts.read_table(path, "embeddings").iloc[order].reset_index(drop=True)
    contracts.write_table(whole, path, "embeddings", {})
    others, _ = choosing.diverse(path, table.iloc[order].reset_index(drop=True), np.ones(90, bool), 12, seed=3)
    assert table["Sample"].iloc[rows].tolist() == whole["Sample"].iloc[others].tolist()


def test_a_diverse_choice_is_repeatable_and_keeps_to_what_is_free(tmp_path):
    path, table = embeddings(tmp_path, np.random.default_rng(1).normal(size=(200, 4)), {"net": 4})
    free = np.arange(200) % 2 == 0
    rows, clustered = choosing.diverse(path, table, free, 30, seed=3)
    assert clustered == 100
    assert len(set(rows.tolist())) == 30
    assert free[rows].all()
    assert (rows == choosing.diverse(path, table, free, 30, seed=3)[0]).all()
    assert set(choosing.diverse(path, table, free, 500, seed=3)[0].tolist()) == set(np.flatnonzero(free).tolist())


def test_every_block_of_embeddings_weighs_the_same():
    generator = np.random.default_rng(0)
    scaled = choosing._scaled(generator.normal(5, 3, size=(500, 60)).astype(np.float32), [50, 10])
    assert scaled[:, :50].var(axis=0).sum() == pytest.approx(1, rel=1e-3)
    assert scaled[:, 50:].var(axis=0).sum() == pytest.approx(1, rel=1e-3)
    assert np.isfinite(choosing._scaled(np.ones((9, 2), np.float32), [2])).all()


def test_of_many_embeddings_a_part_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "CLUSTERED", 50)
    monkeypatch.setattr(choosing, "BATCH", 7)
    values = np.arange(200.0)[:, None] * [1, -1]
    path, table = embeddings(tmp_path, values, {"net": 2})
    samples, features, blocks = choosing._read(path, np.random.default_rng(0))
    assert (len(samples), blocks) == (50, [2])
    numbers = pd.Index(table["Sample"]).get_indexer(samples)
    np.testing.assert_array_equal(features, values[numbers].astype(np.float32))
    rows, clustered = choosing.diverse(path, table, np.ones(200, bool), 10, seed=0)
    assert (clustered, len(set(rows.tolist()))) == (50, 10)


def test_equal_embeddings_are_filled_up_at_random(tmp_path):
    path, table = embeddings(tmp_path, np.repeat([[0.0, 0.0], [1.0, 2.0]], 30, axis=0), {"net": 2})
    rows, _ = choosing.diverse(path, table, np.ones(60, bool), 20, seed=0)
    assert len(set(rows.tolist())) == 20


def test_embeddings_that_do_not_serve_are_refused(tmp_path, files):
    path, table = embeddings(tmp_path, np.eye(6), {"net": 6})
    with pytest.raises(UserError, match="not in the sample set"):
        choosing.diverse(path, table.assign(Sample="other/" + table["Sample"]), np.ones(6, bool), 2, seed=0)
    contracts.write_not_run(path, "no weights")
    with pytest.raises(UserError, match="no weights"):
        choosing.diverse(path, table, np.ones(6, bool), 2, seed=0)
    with pytest.raises(UserError, match="name a 'method'"):
        write_page(tmp_path, files, {"sampling": "diverse"})


# -- the page ---------------------------------------------------------------------------------------------------------------


def test_the_page_holds_the_samples_and_asks_for_nothing(tmp_path, files):
    path = write_page(tmp_path, files, {"count": 10, "columns": ["Metadata_Well"]})
    page = data_of(path)
    assert len(page["items"]) == 10
    assert {sample.split("/")[1] for sample, _, _ in page["items"]} == {about[0] for _, about, _ in page["items"]}
    assert [name for name, _ in page["channels"]] == ["DNA", "Actin"]
    assert page["size"] == [24, 24]
    text = path.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|https?:", re.sub(r"image\.src =|link\.href\b", "", text))
    again = write_page(tmp_path, files, {"count": 10, "columns": ["Metadata_Well"]})
    assert again.read_text() == text


def test_labels_that_a_dataset_brings_are_not_shown(tmp_path):
    files = made_samples.write(tmp_path / "s", plates=1)
    table = contracts.read_table(files["tables"][0], "samples")
    contracts.write_table(table.assign(Label_Quality="abnormal", Label_Artefact="tell-tale"), files["tables"][0], "samples")
    path = write_page(tmp_path, files)
    assert data_of(path)["given"] == {}
    assert "tell-tale" not in path.read_text()
    assert "Metadata_Compound" not in path.read_text()


def test_names_do_no_harm(tmp_path):
    files = made_samples.write(tmp_path / "s", plates=1)
    table = contracts.read_table(files["tables"][0], "samples")
    table = table.assign(Metadata_Plate=HOSTILE, Sample=[f"{HOSTILE}/A01/1/{n}" for n in range(len(table))])
    contracts.write_table(table, files["tables"][0], "samples")
    path = tmp_path / "page.html"
    settings = {"columns": ["Metadata_Plate"], "artefacts": [HOSTILE]}
    annotating.make("trial", f"made/{HOSTILE}", files["tables"], files["statistics"], None, settings, None, path)
    assert HOSTILE not in path.read_text()
    assert path.read_text().count("<script") == 2  # the data and the page's own
    assert data_of(path)["items"][0][1] == [HOSTILE]


def test_samples_with_marks_come_first_and_no_mark_is_lost(tmp_path, files):
    table = pd.concat([contracts.read_table(path, "samples") for path in files["tables"]])
    marked = table["Sample"].iloc[[20, 3, 11]].tolist()
    given = pd.DataFrame(
        {
            "Sample": [*marked, "P9/A01/1/1"],
            "Label_Quality": ["abnormal", "normal", "normal", "abnormal"],
            "Label_Artefact": ["debris", "", "", "noise"],
        }
    )
    given.to_csv(tmp_path / "given.csv", index=False)
    page = data_of(write_page(tmp_path, files, {"count": 5}, tmp_path / "given.csv"))
    samples = [item[0] for item in page["items"]]
    assert samples[:3] == marked
    assert len(set(samples)) == 8
    assert page["given"]["P9/A01/1/1"] == ["abnormal", "noise"]
    # Another table is another page: the browser must not put old marks over it.
    given.assign(Label_Quality="normal").to_csv(tmp_path / "given.csv", index=False)
    other = data_of(write_page(tmp_path, files, {"count": 5}, tmp_path / "given.csv"))
    assert [item[0] for item in other["items"]] == samples
    assert other["digest"] != page["digest"]
    assert other["set"] == page["set"]
    # Only as many pictures as are wanted; all marks.
    few = data_of(write_page(tmp_path, files, {"count": 2}, tmp_path / "given.csv"))
    assert ([item[0] for item in few["items"]][:2], len(few["items"]), len(few["given"])) == (marked[:2], 4, 4)


# -- pictures ---------------------------------------------------------------------------------------------------------------


def with_images(folder: Path, change, **other) -> dict:
    """Sample sets of blobs, with the first plate's array changed."""
    files = made_samples.write(folder, **other)
    array = np.load(folder / "P1.npy")
    change(array)
    np.save(folder / "P1.npy", array)
    return files


def test_contrast_is_that_of_the_plate_so_that_bad_images_look_bad(tmp_path):
    def spoil(array):
        array[0] = 200  # empty
        array[1] = 4095  # saturated
        array[2] = array[3] // 2  # dim

    page = data_of(write_page(tmp_path, with_images(tmp_path / "s", spoil, plates=1, count=16)))
    shown = {sample: picture(page, index) for index, (sample, _, _) in enumerate(page["items"])}
    number = {int(sample.split("/")[-1]): image for sample, image in shown.items()}
    assert number[0].max() < 40
    assert number[1].min() == 255
    assert number[2].mean() < number[3].mean()
    # Neither empty nor saturated images change the others: cells are bright on black.
    sound = [number[index] for index in range(3, 16)]
    assert all((image.max(axis=(1, 2)) > 150).all() for image in sound)
    assert all((np.median(image[:, :3, :3], axis=(1, 2)) < 60).all() for image in sound)


def test_contrast_follows_the_plate_not_the_choice(tmp_path, files):
    one, other = (data_of(write_page(tmp_path, files, {"count": count})) for count in (3, 24))
    pictures = {sample: content for sample, _, content in other["items"]}
    assert all(pictures[sample] == content for sample, _, content in one["items"])
    # The second plate's background is brighter than the first's, and black like it on the page.
    darkest = {}
    for index, (sample, _, _) in enumerate(other["items"]):
        darkest.setdefault(sample[:2], []).append(np.median(picture(other, index)[:, :3, :3]))
    assert abs(np.mean(darkest["P1"]) - np.mean(darkest["P2"])) < 15


def test_large_samples_are_shrunk_and_keep_their_shape(tmp_path):
    files = made_samples.write(tmp_path / "s", plates=1, count=4, size=(60, 90))
    page = data_of(write_page(tmp_path, files, {"size": 45}))
    assert page["size"] == [45, 30]
    assert picture(page, 0).shape == (2, 30, 45)


def test_three_hundred_images_fit_into_15_megabytes(tmp_path):
    channels, size = ("DNA", "Actin", "Tubulin"), (128, 128)
    files = made_samples.write(tmp_path / "s", plates=1, count=4, channels=channels, size=size)
    page = data_of(write_page(tmp_path, files))
    assert 300 * np.mean([len(item[2]) for item in page["items"]]) < 15e6


def test_channels_have_colours(tmp_path, files):
    named = dict(data_of(write_page(tmp_path, files, {"colours": {"Actin": "#00ff00"}}))["channels"])
    assert named == {"DNA": colours.NUCLEI[1], "Actin": "#00ff00"}
    assert annotating._coloured(["GFP"], {}) == [["GFP", "#ffffff"]]
    many = annotating._coloured([*"abcdefgh", "DNA"], {})
    assert [name for name, _ in many] == [*"abcdefgh", "DNA"]
    assert many[-1][1] == colours.NUCLEI[1]


# -- keys -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        {"count": 0},
        {"count": 100000},
        {"size": 4},
        {"artefacts": list("abcdefghij")},
        {"artefacts": ["a", "a"]},
        {"artefacts": [" a"]},
        {"contrast": [99, 1]},
        {"colours": {"DNA": "blue"}},
        {"sampling": "clever"},
        {"columns": ["Metadata_Wel"]},
        {"colours": {"DAN": "#0000ff"}},
    ],
)
def test_wrong_keys_are_refused(tmp_path, files, keys):
    with pytest.raises(UserError, match=f"annotate: .*{next(iter(keys))}"):
        write_page(tmp_path, files, keys)
    assert not (tmp_path / "page.html").exists()


def test_planning_reads_the_keys_without_importing():
    keys = plugins.dataclass_keys(Path(annotating.__file__), "Config")
    assert {"count", "sampling", "size", "artefacts", "seed", "contrast"} <= keys.keys()
    assert keys["count"] == annotating.Config().count
