"""Configurations that cannot be planned: each is refused with the place, what is wrong and the remedy."""

import pytest

from phenorep.errors import UserError
from phenorep.planning import Plan


def unknown_key(config):
    config["methods"]["random"]["backbon"] = "resnet18"


def unknown_block(config):
    config["dataset"] = config.pop("datasets")


def unknown_method(config):
    config["methods"]["simcrl"] = {}


def unknown_reference(config):
    config["studies"]["tiny"]["methods"] = ["randon"]


def unknown_step(config):
    config["profiles"]["raw"] = [{"agregate": {}}]


def unknown_step_key(config):
    config["profiles"]["raw"][0]["aggregate"]["wiht"] = "mean"


def study_key(config):
    config["studies"]["tiny"]["seed"] = [0]


def engine(config):
    config["preprocess"] = {"engine": "cell_profiler"}


def pipeline_that_is_not_there(config):
    config["preprocess"] = {"engine": "cellprofiler", "pipeline": "none.cppipe"}


def pipeline_of_the_native_engine(config):
    config["preprocess"] = {"pipeline": "Snakefile"}


def preprocess_key(config):
    config["preprocess"] = {"on_bad_images": "stop"}


def circle_of_init(config):
    config["methods"] |= {
        "first": {"use": "simclr", "init": "screen/cells/second"},
        "second": {"use": "simclr", "init": "screen/cells/first"},
    }
    config["studies"]["tiny"]["methods"] = ["first"]


def circle_of_views(config):
    config["samples"] |= {"one": {"of": "two"}, "two": {"of": "one"}}


def wrong_reference(config):
    config["methods"]["borrowed"] = {"from": "screen/simclr"}
    config["studies"]["tiny"]["methods"] = ["borrowed"]


def keys_beside_from(config):
    config["methods"]["borrowed"] = {"from": "screen/cells/random", "epochs": 3}


def name_with_a_slash(config):
    config["name"] = "a/b"


def plate_outside(config):
    config["samples"]["../cells"] = {"use": "nuclei"}


def device(config):
    config["compute"] = {"device": "gpu"}


def saved_epochs(config):
    config["methods"]["simclr"] = {"save_epochs": {"evry": 1}}
    config["studies"]["tiny"]["methods"] = ["simclr"]


def profile_of_saved_epochs(config):
    config["studies"]["tiny"]["saved_epochs"] = {"profiles": ["rawr"]}


def mean_of_saved_epochs(config):
    config["studies"]["tiny"]["saved_epochs"] = {"mean": [50, "last"]}


def fold(config):
    hold_out = {"column": "Metadata_Compound", "fold": 3, "of": 3}
    config["methods"]["simclr"] = {"train": [{"samples": "screen/cells", "hold_out": hold_out}]}
    config["studies"]["tiny"]["methods"] = ["simclr"]


def seeds(config):
    config["studies"]["tiny"]["seeds"] = [1.5]


def level(config):
    config["profiles"]["raw"] = [{"aggregate": {"by": 5}}]


def members_no_list(config):
    config["methods"]["both"] = {"use": "concat", "members": "random"}
    config["studies"]["tiny"]["methods"] = ["both"]


def train_no_list(config):
    config["methods"]["simclr"] = {"train": ["screen/cells"]}
    config["studies"]["tiny"]["methods"] = ["simclr"]


def step_without_keys(config):
    config["profiles"]["raw"] = [{"tvn": 5}]


def nothing_to_score(config):
    config["profiles"]["raw"] = [{"aggregate": {"by": "well"}}]


def absent_table(config):
    config["datasets"]["screen"] = {"use": "table", "table": "welz.csv"}


def absent_plate_map(config):
    config["datasets"]["screen"] = {"use": "table", "table": __file__, "plate_map": "welz.csv"}


def reserved_name(config):
    config["name"] = "templates"


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (unknown_key, ["methods: random", "'backbon'", "'backbone'"]),
        (unknown_block, ["unknown key 'dataset'", "'datasets'"]),
        (unknown_method, ["methods: simcrl", "phenorep/methods/simcrl.py", "'simclr'"]),
        (unknown_reference, ["studies: tiny: methods", "'randon'", "'random'"]),
        (unknown_step, ["profiles: raw: step 1", "'agregate'", "'aggregate'"]),
        (unknown_step_key, ["profiles: raw: step 1: aggregate", "'wiht'", "'with'"]),
        (study_key, ["studies: tiny", "'seed'", "'seeds'"]),
        (engine, ["preprocess: engine", "cell_profiler", "cellprofiler", "native"]),
        (pipeline_that_is_not_there, ["preprocess: pipeline", "none.cppipe", "working directory"]),
        (pipeline_of_the_native_engine, ["preprocess", "pipeline", "engine: cellprofiler"]),
        (preprocess_key, ["preprocess", "'on_bad_images'", "'on_bad_image'"]),
        (circle_of_init, ["circle", "screen/cells/first", "screen/cells/second"]),
        (circle_of_views, ["samples: of", "circle"]),
        (wrong_reference, ["methods: borrowed: from", "dataset/sample/method"]),
        (keys_beside_from, ["methods: borrowed", "'epochs'"]),
        (name_with_a_slash, ["name", "'a/b'"]),
        (plate_outside, ["samples", "'../cells'"]),
        (device, ["compute: device", "auto"]),
        (saved_epochs, ["methods: simclr: save_epochs", "{every: N}"]),
        (profile_of_saved_epochs, ["studies: tiny: saved_epochs: profiles", "'rawr'", "'raw'"]),
        (mean_of_saved_epochs, ["studies: tiny: saved_epochs: mean", "'last'", "[50, 250]"]),
        (fold, ["methods: simclr: train: 1: hold_out", "between 0 and 2", "not at 3"]),
        (seeds, ["studies: tiny: seeds", "1.5"]),
        (level, ["profiles: raw", "by: well"]),
        (members_no_list, ["methods: both: members", "[first, second]"]),
        (train_no_list, ["methods: simclr: train", "samples: dataset/samples"]),
        (step_without_keys, ["profiles: raw: step 1: tvn", "{key: value}"]),
        (nothing_to_score, ["studies: tiny", "moa_matching reads profiles of level treatment"]),
        (absent_table, ["welz.csv"]),
        (absent_plate_map, ["test_refusals.py"]),
        (reserved_name, ["'templates'", "another name"]),
    ],
)
def test_refused(screen, break_it, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    break_it(screen)
    with pytest.raises(UserError) as refused:
        Plan(screen)
    for text in says:
        assert text in str(refused.value)


def test_snakemake_says_so_without_a_traceback(workflow, screen):
    unknown_key(screen)
    message = workflow.refusal(screen)
    assert "configuration: methods: random: unknown key 'backbon'" in message
    assert "Traceback" not in message
