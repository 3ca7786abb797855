import pickle
import subprocess
import sys

import pytest

from phenorep import preprocessing
from phenorep.errors import UserError


def test_defaults_are_plain_and_given_values_are_converted():
    chosen = preprocessing.settings({"nuclei": {"diameter": ["8", 40]}, "illumination": {"size": "30"}})
    assert chosen.nuclei_settings.diameter == (8.0, 40.0)
    assert chosen.illumination_settings.size == 30.0
    assert (chosen.engine, chosen.on_bad_image) == ("native", "stop")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"engine": "cellprofilar"}, ["preprocess: engine", "cellprofilar", "cellprofiler"]),
        ({"pipeline": "own.cppipe"}, ["preprocess", "pipeline", "engine: cellprofiler"]),
        ({"chunk": 0}, ["preprocess", "chunk must be at least 1"]),
        ({"check": -1}, ["preprocess", "check must not be negative"]),
        ({"on_bad_images": "stop"}, ["preprocess", "on_bad_images", "on_bad_image"]),
        ({"on_bad_image": "skip"}, ["preprocess: on_bad_image", "skip", "stop", "exclude"]),
        ({"illumination": {"smooting": "median"}}, ["preprocess: illumination", "smooting", "smoothing"]),
        ({"illumination": {"size": 0}}, ["preprocess: illumination", "size must be above 0"]),
        ({"illumination": {"block_size": 0}}, ["block_size must be"]),
        ({"nuclei": {"diameter": [40, 8]}}, ["preprocess: nuclei", "diameter must be"]),
        ({"nuclei": {"diameter": 40}}, ["preprocess: nuclei: diameter", "40"]),
        ({"nuclei": {"threshold": "otzu"}}, ["preprocess: nuclei: threshold", "otzu", "otsu"]),
        ({"nuclei": {"threshold_bounds": [0.5, 0.1]}}, ["threshold_bounds must be"]),
        ({"nuclei": {"threshold_correction": 0}}, ["threshold_correction must be above 0"]),
        ({"nuclei": {"declump_distance": -1}}, ["declump_distance must not be negative"]),
    ],
)
def test_errors_name_the_key(values, words):
    with pytest.raises(UserError) as error:
        preprocessing.settings(values)
    for word in words:
        assert word in str(error.value)


def test_a_stage_has_the_settings_that_it_depends_on_alone():
    chosen = preprocessing.settings({"nuclei": {"diameter": [8, 40]}, "illumination": {"size": 30}})
    assert preprocessing.stage(chosen, "nuclei")["nuclei"]["diameter"] == [8.0, 40.0]
    assert "illumination" not in preprocessing.stage(chosen, "nuclei")
    assert "nuclei" not in preprocessing.stage(chosen, "illumination")
    assert set(preprocessing.stage(chosen, "samples")) == {"engine", "on_bad_image"}
    assert preprocessing.decisive(chosen)["illumination"]["size"] == 30
    for stage in ("illumination", "nuclei", "samples"):
        values = preprocessing.stage(chosen, stage)
        assert preprocessing.stage(preprocessing.settings(values), stage) == values
    assert pickle.loads(pickle.dumps(chosen)) == chosen


def test_a_default_that_is_spelt_out_changes_nothing():
    spelt = {"nuclei": {"diameter": [10, 80], "declump": "shape"}, "illumination": {"smoothing": "polynomial"}}
    assert preprocessing.decisive(preprocessing.settings(spelt)) == preprocessing.decisive(preprocessing.settings({}))


def test_planning_can_import_it_cheaply():
    code = "import sys, phenorep.preprocessing; print([m for m in ('torch', 'skimage', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
