"""The page of a small made-up run."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, plugins
from phenorep.report import drawing, gaps, images, maps, tables, templates
from tests.unit.made_run import HOSTILE, make_page, make_run, score

UMAP = maps.umap  # the real one


@pytest.fixture(scope="module", autouse=True)
def declared():
    """Plug-ins of the made-up run: `noise` is a control; the page knows nothing of real plug-ins."""
    found = {
        ("methods", "noise"): {"CONTROL": True},
        ("methods", "beside"): {"COMBINES": "members"},
        ("evaluations", "matching"): {"METRICS": {"nsc": {"range": [0, 1], "better": "higher", "reference": "Ljosa 2013"}}},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "constants", lambda kind, name: found.get((kind, name), {}))
        patch.setattr(maps, "umap", lambda features: features[:, :2])  # compiling the real one takes longer than all else
        patch.setattr(plugins, "config_keys", lambda kind, name: {"with": "mean", "epsilon": 0.0})
        yield


@pytest.fixture(scope="module")
def run(declared, tmp_path_factory):
    """The made-up run, reported: (folder of the page, its text, the plan)."""
    folder = tmp_path_factory.mktemp("run")
    plan = make_run(folder)
    output = folder / "reports" / "trial"
    make_page(json.loads(json.dumps(plan)), str(output / "index.html"), str(output / "figures"), str(output / "config.yaml"))
    return output, (output / "index.html").read_text(), plan


class Elements(HTMLParser):
    """Tags, identifiers, links, scripts and text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.ids, self.links, self.texts, self.scripts = set(), [], [], [], []
        self.script = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.script = dict(attributes).get("type", "") if tag == "script" else None
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "xlink:href", "src", "srcset", "action", "data"):
                self.links.append(value)

    def handle_endtag(self, tag):
        self.script = None

    def handle_data(self, data):
        if self.script is None:
            self.texts.append(data)
        elif self.script == "":
            self.scripts.append(data)


def test_page_loads_nothing_from_outside_and_its_links_lead_somewhere(run):
    folder, text, _ = run
    page_ = Elements(text)
    assert len(page_.ids) == len(set(page_.ids))
    assert not re.search(r"@import|url\((?!#)", text)
    for link in page_.links:
        if link.startswith("#"):
            assert link[1:] in page_.ids
        elif not link.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")):
            assert (folder / unquote(link)).is_file(), link
    assert "default-src 'none'" in text


def test_the_policy_lets_the_pages_own_scripts_run_and_no_others(run):
    _, text, _ = run
    scripts = Elements(text).scripts
    digests = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert len(scripts) == 3
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == digests
    assert "unsafe-inline" not in policy.split("script-src")[1]
    assert not re.search(r"\son[a-z]+=", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_names_from_data_are_text(run):
    folder, text, _ = run
    elements = Elements(text)
    assert not elements.tags & {"iframe", "object", "embed", "b-", "foreignobject"}
    assert HOSTILE in "".join(elements.texts)  # shown, as text
    for file in (folder / "figures").glob("*.svg"):
        assert "<script" not in file.read_text()
    assert "$dna_x$" in text  # a name, not a formula
    assert "_kinase" in (folder / "figures" / "map_first_learned_raw.svg").read_text()


def test_page_shows_each_part(run):
    folder, text, _ = run
    plain = "".join(Elements(text).texts)
    assert (
        text.index('id="answers"') < text.index('id="study-first"') < text.index('id="gaps"') < text.index('id="provenance"')
    )
    # What was looked at comes first, then what to do next, then the answers.
    assert text.index('class="seen"') < text.index("<b>Next:</b>") < text.index('<table class="answers">')
    strip = text[text.index('class="seen"') : text.index('id="answers"')]
    assert strip.count('<img src="data:image/jpeg;base64,') == strip.count("<small>") > 1
    assert "Two random samples of" in plain
    assert "learned × raw" in plain
    assert "over 24 compounds" in plain
    assert "null 0.260 (0.125 to 0.375)" in plain  # in the answers
    assert plain.count("0.260 (0.125 to 0.375), chance 0.250") == 1  # on the card
    assert plain.count("0.260 (0.125 to 0.375)chance 0.250") == 6  # in each row of scores, in two lines
    assert "One measure is judged on this page" in plain
    assert "the weights cannot be had & <b>that is it</b>" in plain
    assert "takes a week" in plain
    assert "reads wells" in plain
    assert "simulated images" in plain
    assert "Next: All of this is on simulated images" in plain
    assert "epsilon: 0.0 (default)" in plain
    assert "nobody 2020" in plain
    assert "3 treatments without a partner" in plain
    assert "rows: 24, kept: 5" in plain
    assert "name: trial" in plain
    assert (folder / "config.yaml").read_text().startswith("name: trial")


def test_every_figure_has_data_a_caption_and_a_bearable_size(run):
    folder, text, _ = run
    drawn = {path.stem for path in (folder / "figures").glob("*.svg")}
    kinds = {name.split("_")[0] for name in drawn}
    assert kinds == {"scores", "epochs", "map", "confusion", "dose", "training", "illumination", "samples", "costs"}
    assert text.count("<figcaption ") == len(drawn)
    # Each says from which files it was made.
    assert text.count('<span class="from">From') == len(drawn)
    for name in drawn:
        assert len(pd.read_csv(folder / "figures" / f"{name}.csv")) > 0
        assert (folder / "figures" / f"{name}.svg").stat().st_size < 300_000


def test_the_final_encoder_stands_at_the_last_epoch_of_its_training(run):
    folder, _, _ = run
    (path,) = (folder / "figures").glob("epochs_*.csv")
    assert sorted(set(pd.read_csv(path)["epoch"])) == [1, 2, 3]


def test_fields_left_out_are_listed_once(run):
    folder, text, _ = run
    table = pd.read_csv(folder / "figures" / "left_out.csv")
    assert len(table) == 2  # the field's problem stands in two tables
    assert "Fields of view left out: 2" in text


def test_the_engine_is_stated_and_how_the_other_one_agrees(run):
    _, page, _ = run
    assert "<dt>Preprocessing engine</dt><dd>native</dd>" in page
    for text in ("CellProfiler 4.2.8", "0.9938", "0.000002"):  # F1 is the mean over the fields
        assert text in page


def test_channels_without_signal_are_listed(tmp_path):
    entries = []
    for plate, deviation in (("P1", 0.0), ("P2", 3.0), ("P3", 0.0)):
        path = tmp_path / f"{plate}.parquet"
        pd.DataFrame({"Sample": ["1"]}).to_parquet(path)
        path.with_suffix(".json").write_text(json.dumps({"channels": ["DNA", "Actin"], "count": 1, "std": [2.0, deviation]}))
        entries.append({"dataset": "made", "samples": "cells", "plate": plate, "path": str(path)})
    assert gaps.dark_channels({"samples": entries}) == [
        {"dataset": "made", "samples": "cells", "channel": "Actin", "plates": "P1, P3"}
    ]


def test_figures_do_not_depend_on_the_time(run, tmp_path):
    folder, _, plan = run
    with drawing.style():
        again = images.illumination("made", plan["files"]["illumination"], tmp_path)
    assert (tmp_path / again.file).read_bytes() == (folder / "figures" / again.file).read_bytes()


def test_missing_and_damaged_files_are_listed(declared, tmp_path):
    plan = make_run(tmp_path)
    files = plan["files"]
    for kind in ("profiles", "samples", "quality"):
        (tmp_path / files[kind][0]["path"]).unlink()
    (tmp_path / files["details"][0]["path"]).write_bytes(b"PAR1 half a file")
    (tmp_path / files["illumination"][0]["path"]).write_bytes(b"PK no archive")
    plan["files"]["details"] = [entry for entry in files["details"] if entry["method"] != "other"]
    make_page(plan, str(tmp_path / "page.html"), str(tmp_path / "figures"))
    text = (tmp_path / "page.html").read_text()
    assert text.count("the file is missing") == 3
    assert text.count("the file cannot be read") == 2


def test_run_without_any_score(declared, tmp_path):
    plan = make_run(tmp_path)
    contracts.write_scores(pd.DataFrame(columns=list(contracts.SCORE_COLUMNS)), tmp_path / "scores.csv")
    plan["files"] = {key: plan["files"][key] for key in ("scores", "answers", "costs")}
    make_page(plan, str(tmp_path / "page.html"), str(tmp_path / "figures"))
    assert "Nothing was scored" in (tmp_path / "page.html").read_text()


def test_illumination_map_shows_the_range(run):
    folder, _, _ = run
    table = pd.read_csv(folder / "figures" / "illumination_made.csv")
    assert list(table["channel"]) == ["DNA", "Actin"] * 2  # the file's order, not the alphabet's
    np.testing.assert_allclose(table["highest"], 2.0)


def test_montage_groups_put_controls_first():
    names = [f"m{i:02d}" for i in range(20)]
    table = pd.DataFrame({"Metadata_MoA": ["", "", *names], "Metadata_Control": ["positive", "negative", *[""] * 20]})
    groups = images.sample_groups(table.assign(Metadata_Compound="c"))
    assert list(groups)[:2] == ["negative control", "positive control"]
    assert len(groups) == images.GROUPS_SHOWN
    assert list(groups["m00"]) == [2]


@pytest.mark.slow
def test_umap_is_repeatable_and_keeps_groups_apart():
    features = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    features[:20, 0] += 30
    features[20:, 1] += 30
    places = UMAP(features)
    np.testing.assert_array_equal(places, UMAP(features))
    middle = places[:20].mean(axis=0), places[20:].mean(axis=0)
    own, other = (np.linalg.norm(places[:20] - centre, axis=1) for centre in middle)
    assert (own < other).all()


def test_text_of_list_cells():
    assert maps.as_text(np.array(["b1", "b2"])) == "b1, b2"
    assert maps.as_text(float("nan")) == ""


def test_notes_are_gathered_over_representations(run):
    notes = {row["note"]: row["scope"] for row in gaps.notes(run[2]["files"]["details"])}
    assert set(notes) == {"3 treatments without a partner", "settings: permutations: 100"}
    assert all(scope.count("×") == 6 for scope in notes.values())


def test_controls_side_by_side_are_a_control():
    config = {"methods": {"both": {"use": "beside", "keys": {"members": ["noise", "noise"]}}, "noise": {"use": "noise"}}}
    config["methods"]["borrowed"] = {"from": "made/cells/noise", "use": None, "keys": {}}
    config["methods"]["mixed"] = {"use": "beside", "keys": {"members": ["noise", "learned"]}}
    assert tables.is_control(config, "borrowed")
    assert tables.is_control(config, "both")
    assert not tables.is_control(config, "mixed")


def test_numbers_and_places():
    assert templates.number(float("nan")) == "–"
    assert templates.number(0.12345) == "0.123"
    assert templates.place("a b<c") == "a-b-c"
    assert str(templates.breakable("a_b<c")) == "a_<wbr>b&lt;c"


def test_data_in_a_page_end_no_element():
    block = str(templates.data_block("facts", {"name": "</script><!--<script>\u2028&"}))
    assert block.count("<") == 2
    assert json.loads(re.sub(r"^<[^>]*>|</script>$", "", block)) == {"name": "</script><!--<script>\u2028&"}


@pytest.mark.parametrize("name", ["../../etc/passwd", "<script>", '"><img src=x onerror=alert(1)>', "x" * 500, "..", "a/b"])
def test_figures_have_safe_file_names(name, tmp_path):
    with drawing.style():
        made = [drawing.save(tmp_path, name, name, "", drawing.canvas(1, 1), pd.DataFrame({"a": [1]})) for _ in range(2)]
    files = {file for figure in made for file in (figure.file, figure.data)}
    assert len(files) == 4
    assert {path.name for path in tmp_path.iterdir()} == files
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,130}", file) for file in files)


def test_mean_over_many_settings_is_judged_by_what_all_have(run):
    rows = [
        score(method, "raw", "matching", "nsc", value + index / 100, settings=f"c{index}", ci_low="", ci_high="")
        for method, value in (("learned", 0.8), ("other", 0.4))
        for index in range(6)
        if (method, index) != ("other", 5)
    ]
    table = pd.DataFrame(rows, columns=list(contracts.SCORE_COLUMNS)).astype({"seed": str})
    table[["ci_low", "ci_high"]] = np.nan
    study = run[2]["studies"]["first"]
    judged, behind, _ = tables.measures("first", study, table, run[2])
    assert len(judged) == 1
    assert len(behind) == 6
    assert judged[0].rows.loc[0, "value"] == pytest.approx(0.82)
    assert len(judged[0].units["learned", "raw"]) == 5


def test_how_tables_were_read_is_said_on_the_page(tmp_path):
    entries = []
    for plate, said in (
        ("P2", [("a blank was taken off", False)]),
        ("P10", [("a blank was taken off", False), ("doses", True)]),
    ):
        path = str(tmp_path / f"{plate}.parquet")
        fields = pd.DataFrame({"Metadata_Plate": [plate], "Metadata_Well": "A01", "Metadata_Site": "1", "Problem": ""})
        notes = [{"text": text, "check": check} for text, check in said]
        contracts.write_table(fields, path, "fields", {"notes": notes})
        entries.append({"dataset": "mine", "plate": plate, "path": path})
    rows = gaps.read_with_notes({"fields": entries})
    assert rows == [
        {"dataset": "mine", "text": "doses", "check": True, "scope": "P10"},
        {"dataset": "mine", "text": "a blank was taken off", "check": False, "scope": ""},
    ]
