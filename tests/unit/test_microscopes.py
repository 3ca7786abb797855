"""What the names and indexes of a microscope's folder say; no image is opened, so that files may be empty."""

import os

import pytest

from phenorep import fieldlist, microscopes
from phenorep.errors import UserError

GUID = "66923EBB-9960-4952-8955-D1721D112EE2"


def made(folder, *names):
    """Empty files below a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def read(folder, layout="auto", pattern=""):
    listing = microscopes.scan(folder, pattern)
    return microscopes.layout(listing, layout).read(listing)


def facts(folder, **options):
    """What each image shows, by its path."""
    return {image.path: tuple(image)[:-1] for image in read(folder, **options).images}


@pytest.mark.parametrize("name", microscopes.names())
def test_every_layout_has_what_is_asked_of_it(name):
    module = microscopes.module_of(name)
    assert len(module.__doc__) > 30
    for function in ("recognises", "tables", "read"):
        assert callable(getattr(module, function))


# -- the listing -------------------------------------------------------------------------------------------------------


def test_images_of_any_spelling_and_no_system_files(tmp_path):
    made(
        tmp_path,
        "a/1.TIF",
        "a/2.tiff",
        "b/3.Png",
        "a/._1.TIF",
        "Thumbs.db",
        ".hidden/4.tif",
        "notes.txt",
        "a/P.HTD",
        "5.jpg",
    )
    listing = microscopes.scan(tmp_path)
    assert listing.images == ["a/1.TIF", "a/2.tiff", "b/3.Png"]
    assert listing.with_extension(".htd") == ["a/P.HTD"]


def test_links_are_followed_once_and_loops_end(tmp_path):
    made(tmp_path / "elsewhere", "P_A01_s1.tif")
    screen = made(tmp_path / "screen", "z/P_B01_s1.tif")
    (screen / "a_linked").symlink_to(tmp_path / "elsewhere")
    (screen / "a_second").symlink_to(screen / "z")
    (screen / "z" / "loop").symlink_to(screen)
    (screen / "nowhere").symlink_to(tmp_path / "missing")
    # A folder with a path of its own is listed by that one, not by a link to it.
    assert microscopes.scan(screen).images == ["a_linked/P_A01_s1.tif", "z/P_B01_s1.tif"]


def test_folders_that_cannot_be_listed(tmp_path):
    with pytest.raises(UserError, match=r"nothing: there is no such folder"):
        microscopes.scan(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"no image \(.*\.tif"):
        microscopes.scan(made(tmp_path, "notes.txt"))
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0)
        with pytest.raises(UserError, match="closed: the folder cannot be read"):
            microscopes.scan(tmp_path)


def test_a_folder_that_no_layout_or_more_than_one_recognises(tmp_path):
    made(tmp_path, "first.tif")
    with pytest.raises(UserError, match=r"none of the layouts .* the first of its 1 images is first\.tif.*--pattern"):
        read(tmp_path)
    with pytest.raises(UserError, match="Did you mean 'metaxpress'"):
        read(tmp_path, layout="metexpress")
    made(tmp_path, "P_A01_s1.tif")
    (tmp_path / "Index.xml").write_text(index(image()))
    with pytest.raises(UserError, match="looks like harmony and like metaxpress"):
        read(tmp_path)


def test_rows_of_large_plates():
    assert [microscopes.row_letters(number) for number in (1, 16, 26, 27, 32)] == ["A", "P", "Z", "AA", "AF"]


# -- MetaXpress --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("P1_B02_s3_w2.TIF", ("P1", "B02", "3", "w2", "w2", 1, 0)),
        (f"P1_B02_s3_w2{GUID}.tif", ("P1", "B02", "3", "w2", "w2", 1, 0)),  # the GUID starts with digits
        (f"P1_B02_s3_w12{GUID}.tif", ("P1", "B02", "3", "w12", "w12", 1, 0)),
        (f"P1_B02_s3{GUID}.tif", ("P1", "B02", "3", "w1", "w1", 1, 0)),
        (f"P1_B02{GUID}.tif", ("P1", "B02", "1", "w1", "w1", 1, 0)),
        ("P1_AB24_w2.tiff", ("P1", "AB24", "1", "w2", "w2", 1, 0)),
        ("B02_s003_w1_z004_t005.tif", ("screen", "B02", "3", "w1", "w1", 5, 4)),
        ("of_A01_and_b02_S1_W1.TIF", ("of_A01_and", "B02", "1", "w1", "w1", 1, 0)),
        ("TimePoint_7/P1_B02_s1.tif", ("P1", "B02", "1", "w1", "w1", 7, 0)),
        ("timepoint_2/ZStep_3/P1_B02_s1.tif", ("P1", "B02", "1", "w1", "w1", 2, 3)),
        ("ZStep_0/P1_B02_s1.tif", ("P1", "B02", "1", "w1", "w1", 1, 0)),
    ],
)
def test_a_name_of_metaxpress(tmp_path, name, shows):
    assert facts(made(tmp_path / "screen", name)) == {name: shows}


def test_thumbnails_and_other_images_are_counted_and_left_out(tmp_path):
    made(tmp_path, "P_B02_s1_w1.tif", "P_B02_s1_w1_thumb.tif", f"P_B02_s1_w1_thumb{GUID}.tif", "overview.png")
    found = read(tmp_path)
    assert [image.path for image in found.images] == ["P_B02_s1_w1.tif"]
    assert found.passed_over == {"thumbnails": 2, "images of other names": 1}


def test_wavelengths_are_named_by_the_plates_own_htd_file(tmp_path):
    made(
        tmp_path, "m/TimePoint_1/P_B02_w1.tif", "m/TimePoint_1/P_B02_w2.tif", "m/TimePoint_1/Q_B02_w1.tif", "n/R_B02_w1.tif"
    )
    (tmp_path / "m" / "P.HTD").write_bytes(b'"Description", "6\xb5m"\r\n"WaveName1", "DAPI"\r\n"WaveName2", "Texas Red"\r\n')
    (tmp_path / "m" / "Q.HTD").write_text('"NWavelengths", 1\n"WaveName1", "Cy5"\n"EndFile"\n')
    channels = {image.path: (image.code, image.channel) for image in read(tmp_path).images}
    assert list(channels.values()) == [("w1", "DAPI"), ("w2", "Texas Red"), ("w1", "Cy5"), ("w1", "w1")]


def test_folders_that_share_a_plate_name_are_plates_of_their_own(tmp_path):
    made(tmp_path, "9987_Plate_3434/9987_A01_s1.tif", "9987_Plate_3435/9987_A01_s1.tif")
    made(tmp_path, "mix/2023-02-21/1334/mix_A01_s1.tif", "mix/2023-02-22/1335/mix_A01_s1.tif", "alone/12/P_A01_s1.tif")
    found = read(tmp_path)
    assert {image.plate for image in found.images} == {"9987_Plate_3434", "9987_Plate_3435", "mix_1334", "mix_1335", "P"}
    assert any("9987: each is a plate of its own (9987_Plate_3434, 9987_Plate_3435)" in note for note in found.notes)


def test_folders_that_cannot_be_told_apart_as_plates(tmp_path):
    made(tmp_path, "one/images/P_A01_s1.tif", "two/images/P_A02_s1.tif")
    with pytest.raises(UserError, match="would be plate 'images': those of one/images, two/images"):
        read(tmp_path)


def test_no_name_of_metaxpress(tmp_path):
    with pytest.raises(UserError, match=r"no image is called PLATE_WELL.*the first is first\.tif"):
        read(made(tmp_path, "first.tif"), layout="metaxpress")


@pytest.mark.parametrize(
    ("folder", "plate", "channels", "times", "thumbnails"),
    [
        ("ImageXpress/Projection-Mix", "Projection-Mix", {"w1", "w2", "w3"}, {1}, 12),
        ("ImageXpress/1well-3C-2S-Zmix-T", "1well-3C-2S-Zmix-T", {"w1", "w2", "w3"}, {1, 2}, 0),
        ("ImageXpress_exported", "9987", {"DAPI", "FITC"}, {1, 2}, 0),
    ],
)
def test_real_folders_of_metaxpress(shared_data, folder, plate, channels, times, thumbnails):
    found = read(shared_data / "metaxpress" / folder)
    assert {image.plate for image in found.images} == {plate}
    assert {image.channel for image in found.images} == channels
    assert {image.time for image in found.images} == times
    assert {image.site for image in found.images} == {"1", "2"}
    assert found.passed_over["thumbnails"] == thumbnails
    assert found.passed_over["images of other names"] == 0
    wells = len({image.well for image in found.images})
    assert len(found.images) == wells * 2 * len(channels) * len(times)


# -- Harmony -----------------------------------------------------------------------------------------------------------

V5 = "http://www.perkinelmer.com/PEHH/HarmonyV5"
V7 = "43B2A954-E3C3-47E1-B392-6635266B0DD3/HarmonyV7"


def image(channel=1, described="<ChannelName>DAPI</ChannelName>", **changed):
    values = {"Row": 2, "Col": 3, "FieldID": 4, "PlaneID": 1, "TimepointID": 0, "ChannelID": channel}
    values = {"URL": f"r02c03f04p01-ch{channel}sk1fk1fl1.tiff"} | values | changed
    texts = "".join(f"<{name}>{value}</{name}>" for name, value in values.items() if value is not None)
    return f'<Image Version="1"><id>0203K1F4P1R1</id><State>Ok</State>{texts}{described}</Image>'


def index(*images, plate="<PlateID>0001</PlateID><Name>P1</Name>", maps="", namespace=V5, start=""):
    wells = '<Wells><Well><id>0203</id><Row>2</Row><Col>3</Col><Image id="0203K1F4P1R1"/></Well></Wells>'
    return (
        f'<?xml version="1.0" encoding="utf-8"?>{start}<EvaluationInputData xmlns="{namespace}" Version="1"><User>x</User>'
        f"<Plates><Plate>{plate}<PlateRows>16</PlateRows></Plate></Plates>{wells}<Maps>{maps}</Maps>"
        f"<Images>{''.join(images)}</Images></EvaluationInputData>"
    )


def harmony(folder, text, name="Images/Index.idx.xml", images=("r02c03f04p01-ch1sk1fk1fl1.tiff",)):
    path = folder / name
    made(path.parent, *images)
    path.write_text(text)
    return folder


def test_an_index_that_describes_each_image(tmp_path):
    described = '<ChannelName>{}</ChannelName><ImageResolutionX Unit="m">6.5E-07</ImageResolutionX>'
    text = index(image(1, described.format("DAPI")), image(2, described.format("Alexa 488"), TimepointID=1, PlaneID=5))
    found = read(harmony(tmp_path, text))
    assert [tuple(one) for one in found.images] == [
        ("P1", "B03", "4", "ch1", "DAPI", 0, 1, "Images/r02c03f04p01-ch1sk1fk1fl1.tiff"),
        ("P1", "B03", "4", "ch2", "Alexa 488", 1, 5, ""),  # the index lists it, the folder lacks it
    ]
    assert found.pixel_size_um == 0.65


def test_an_index_that_describes_channels_once(tmp_path):
    entry = '<Entry ChannelID="{}">{}</Entry>'
    maps = "<Map>" + entry.format(1, "<FlatfieldProfile>...</FlatfieldProfile>") + "</Map><Map>"
    for number, name in ((1, "DAPI"), (2, "mCherry")):
        size = '<ImageResolutionX Unit="m">3.0E-07</ImageResolutionX>'
        maps += entry.format(number, f"<ChannelName>{name}</ChannelName>{size}")
    text = index(image(1, ""), image(2, ""), plate="<PlateID>MOCK</PlateID>", maps=f"{maps}</Map>", namespace=V7)
    found = read(harmony(tmp_path, text, "Index.xml"))
    assert [(one.plate, one.channel) for one in found.images] == [("MOCK", "DAPI"), ("MOCK", "mCherry")]
    assert found.pixel_size_um == 0.3


def test_several_indexes_are_plates_and_each_is_read_by_itself(tmp_path):
    for plate in ("P1", "P2"):
        harmony(tmp_path, index(image(), plate=f"<Name>{plate}</Name>"), f"{plate}__1-Measurement 1/Images/Index.idx.xml")
    harmony(tmp_path, "an older index that is not read", "P1__1-Measurement 1/Images/Index.xml", images=["other.tiff"])
    listing = microscopes.scan(tmp_path)
    module = microscopes.module_of("harmony")
    assert len(module.tables(listing)) == 2
    assert module.plates(listing) == ["P1", "P2"]
    assert {one.plate for one in module.read(listing).images} == {"P1", "P2"}
    assert {one.plate for one in module.read(listing, "P2").images} == {"P2"}
    assert module.read(listing, "P1").passed_over == {"images that stand in no index": 1}


def test_plates_are_named_without_reading_all_of_an_index(tmp_path):
    text = index(*[image()] * 1000)
    listing = microscopes.scan(harmony(tmp_path, text[: len(text) - 100]))
    assert microscopes.module_of("harmony").plates(listing) == ["P1"]
    with pytest.raises(UserError, match="the index is damaged"):
        microscopes.module_of("harmony").read(listing)


def test_pixels_of_two_sizes(tmp_path):
    size = '<ImageResolutionX Unit="m">{}</ImageResolutionX>'
    found = read(harmony(tmp_path, index(image(1, size.format(3e-7)), image(2, size.format(6e-7)))))
    assert found.pixel_size_um is None
    assert "Pixels of 0.3, 0.6 micrometres" in found.notes[0]


BILLION = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (index(image(), plate="<Name>&b;</Name>", start=BILLION), "has a DOCTYPE"),
        (index(image(), start='<!DOCTYPE x SYSTEM "file:///etc/hostname">'), "has a DOCTYPE"),
        (index(image(URL=None)), r"an image lacks URL"),
        (index(image(Row=None, Col=None)), r"lacks Row, Col \(r02"),
        (index(image(URL="../../secret.tiff")), "has the URL '../../secret.tiff', expected a file beside"),
        (index(image(URL="/secret.tiff")), "has the URL '/secret.tiff'"),
        (index(image(URL="C:\\secret.tiff")), "has the URL 'C:/secret.tiff'"),
        (index(image(FieldID="first")), "expected whole numbers"),
        (index(image(described="<ImageResolutionX>wide</ImageResolutionX>")), "ImageResolutionX: wide: expected numbers"),
        (index(image(), plate=""), "expected one plate with a Name or PlateID, found none"),
        ("no XML", "the index is damaged"),
    ],
)
def test_indexes_that_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(harmony(tmp_path, text))


def test_a_folder_without_an_index(tmp_path):
    with pytest.raises(UserError, match=r"there is no Index\.idx\.xml"):
        read(made(tmp_path, "r01c01f01p01-ch1sk1fk1fl1.tiff"), layout="harmony")


# -- any other ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pattern", "shows"),
    [
        (
            "P1/B-02_f03_DAPI.png",
            r"(?P<plate>[^/]+)/(?P<row>[A-H])-(?P<column>\d+)_f(?P<site>\d+)_(?P<channel>\w+)",
            ("P1", "B02", "3", "DAPI", "DAPI", 1, 0),
        ),
        ("b2.tif", r"^(?P<well>\w\d+)\.", ("screen", "B02", "1", "channel1", "channel1", 1, 0)),
        (
            "r02c03-ch1t007z2.tif",
            r"r(?P<row>\d+)c(?P<column>\d+)-(?P<channel>ch\d)t(?P<time>\d+)(?:z(?P<plane>\d+))?",
            ("screen", "B03", "1", "ch1", "ch1", 7, 2),
        ),
    ],
)
def test_names_by_a_regular_expression(tmp_path, name, pattern, shows):
    assert facts(made(tmp_path / "screen", name), pattern=pattern) == {name: shows}


def test_images_that_the_pattern_does_not_fit_are_counted(tmp_path):
    found = read(made(tmp_path, "A01.tif", "overview.tif"), pattern=r"(?P<well>[A-H]\d\d)\.")
    assert [one.well for one in found.images] == ["A01"]
    assert found.passed_over == {"images that the pattern does not fit": 1}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", r"needs 'pattern:' \(--pattern\)"),
        ("(", "is no regular expression"),
        (r"(?P<wel>.+)", "no meaning for a group 'wel'. Did you mean 'well'"),
        (r"(?P<row>.)", "has no group"),
        (r"(?P<well>Z\d\d)\.", r"is found in none of the 1 images' paths; the first is A01_x\.tif"),
        (r"(?P<well>...)_(?P<time>.)", r"A01_x\.tif .*time: 'x' is no number"),
        (r"(?P<well>.+)\.", "'A01_x' is no well"),
    ],
)
def test_patterns_that_are_refused(tmp_path, pattern, message):
    with pytest.raises(UserError, match=message):
        read(made(tmp_path, "A01_x.tif"), layout="pattern", pattern=pattern)


def test_a_pattern_is_a_choice_whatever_the_names_look_like(tmp_path):
    made(tmp_path, *(f"A01_s1_w{channel}.tif" for channel in (1, 2)))
    pattern = r"(?P<well>[A-H]\d\d)_s(?P<site>\d)_w(?P<channel>\d)"
    assert {image.code for image in read(tmp_path).images} == {"w1", "w2"}
    assert {image.code for image in read(tmp_path, pattern=pattern).images} == {"1", "2"}
    assert {image.code for image in read(tmp_path, layout="metaxpress", pattern=pattern).images} == {"w1", "w2"}


def test_wells_with_blanks_within(tmp_path):
    made(tmp_path, "A - 1(fld 1 wv DAPI).tif", "B - 02(fld 1 wv DAPI).tif")
    images = read(tmp_path, pattern=r"(?P<well>[A-P] - \d+)\(fld (?P<site>\d+) wv (?P<channel>\w+)\)").images
    assert [image.well for image in images] == ["A01", "B02"]


def test_channels_of_files_that_differ_only_in_case(tmp_path):
    made(tmp_path, "A01_s1_DAPI.tif", "A01_s1_dapi.tif")
    pattern = r"(?P<well>[A-H]\d\d)_s(?P<site>\d)_(?P<channel>\w+)\.tif"
    listing, chosen = microscopes.scan(tmp_path, pattern), fieldlist.Selection()
    images = read(tmp_path, pattern=pattern).images
    with pytest.raises(UserError, match="channels: DAPI and dapi differ only in case"):
        fieldlist.channels(listing, chosen, images)
    chosen = fieldlist.Selection(channels={"DAPI": "DNA", "dapi": "Other"})
    assert fieldlist.channels(listing, chosen, images) == {"DAPI": "DNA", "dapi": "Other"}
