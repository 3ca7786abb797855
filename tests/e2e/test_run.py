"""The whole way: plate images to a report, and what another run does afterwards."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd

from phenorep import contracts, digests, jobs
from phenorep.planning import Plan
from tests.e2e.conftest import ROOT, Project


def test_every_score_that_was_planned_is_there(finished, config):
    scores = contracts.read_scores(finished.folder / "results/scores/tiny.csv")
    for method in ("pixel_statistics", "simclr", "both"):
        rows = scores[(scores.method == method) & (scores.control == "none")]
        assert {"moa_matching", "control_separation"} <= set(rows.evaluation), method
        assert set(rows.loc[rows.evaluation == "moa_matching", "profile"]) == {"tvn"}
        assert set(rows.loc[rows.evaluation == "control_separation", "profile"]) == {"wells"}
    assert {"1", "final"} == set(scores.loc[scores.method == "simclr", "epoch"])
    assert {"none", "shuffled"} <= set(scores.control)


def test_method_without_weights_stands_in_the_report_as_not_run(finished, config):
    scores = contracts.read_scores(finished.folder / "results/scores/tiny.csv")
    assert "absent" not in set(scores.method)
    folder = finished.folder / "results/screen"
    reason = contracts.not_run(folder / "embeddings/cells/absent/seed0/final.parquet")
    assert reason
    page = (finished.folder / "reports/tiny/index.html").read_text()
    assert "absent" in page
    assert "not run" in page.lower()


def test_second_run_does_nothing(finished, config):
    assert finished.planned(config) == {}
    assert "Nothing to be done" in finished.finish(config)


def test_costs_name_every_job(finished, config):
    costs = pd.read_csv(finished.folder / "results/costs/tiny.csv")
    planned = jobs.of(Plan(config))
    assert sorted(costs.rule) == sorted(job.rule for job in planned if job.rule not in jobs.COLLECTING)
    assert {"check", "download", "recipe", "pretrain", "concat", "evaluate"} <= set(costs.rule)
    assert len(costs.drop_duplicates(["rule", *costs.columns[1:11]])) == len(costs), "each job is told from the others"
    assert (costs.seconds > 0).all()


def test_a_missing_benchmark_makes_no_job_run_again(finished, config):
    """What an earlier version made has none: to train for the sake of a line in a table is not worth it."""
    benchmarks = finished.folder / "results/benchmarks"
    aside = benchmarks.rename(benchmarks.with_name("aside"))
    try:
        assert "Nothing to be done" in finished.finish(config, "--dry-run")
    finally:
        aside.rename(benchmarks)


def test_snakemake_report(finished, config):
    finished.finish(config, "--report", "report.zip")
    assert (finished.folder / "report.zip").stat().st_size > 10_000


def test_a_reworded_comment_reruns_nothing(finished, config):
    edited = [*finished.folder.glob("phenorep/**/*.py"), *finished.folder.glob("workflow/scripts/*.py")]
    originals = {path: path.read_text() for path in edited}
    try:
        for path, text in originals.items():
            path.write_text(text + "\n# A comment that says it in other words.\n")
        assert finished.planned(config) == {}
    finally:
        for path, text in originals.items():
            path.write_text(text)


# What pretraining calls that decides no weights: files, records, and what encoders and logs say.
NOT_WEIGHTS = {
    *("pretrain." + name for name in ("make", "run", "configured_epochs", "describe", "computed_on", "seen_before")),
    *("pretrain." + name for name in ("fingerprint", "check_signal")),
    *("encoders." + name for name in ("save", "_check_of", "metadata")),
}
# What puts messages into words, some of which no one reads: a value that is none of one type may be one of another.
WORDS = {"expectations.found", "expectations.of_type", "expectations.unlike", "plugins.suggest", "weights.short"}


def test_every_definition_that_a_job_calls_is_in_its_digest(called, config):
    """What is missing there could change a result that nothing would make again."""
    plan = Plan(config)
    rules = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    kinds = dict(re.findall(r'code_digest\("(\w+)"((?:, "\w+")*)\)', rules)) | {"embed": "methods", "pretrain": "methods"}
    # What these two write is what the configuration says.
    jobs_called = {job: names for job, names in called.items() if job not in ("check", "recipe")}
    assert set(jobs_called) <= set(kinds)
    missing = {}
    for job, definitions in jobs_called.items():
        files = [
            path for kind in re.findall(r"\w+", kinds[job]) for path in plan.plugin_files(kind, list(plan.blocks[kind]))
        ]
        if job in ("normalise", "evaluate"):
            files += [path for profile in plan.blocks["profiles"] for path in plan.step_files(profile)]
        if job == "evaluate":
            files += plan.plugin_files("methods", list(plan.blocks["methods"]))
        reached = digests.reached([ROOT / "workflow/scripts" / f"{job}.py", *files])
        if job == "pretrain":
            reached = digests.reached(files, digests.PLUMBING, digests.training()) | _checked(plan)
        names = {f"{path.stem}.{name}" for path, name in definitions - reached} - WORDS
        if job == "pretrain":
            names = {name for name in names - NOT_WEIGHTS if name.split(".")[0] not in digests.PLUMBING}
        missing |= {job: sorted(names)} if names else {}
    assert not missing


def _checked(plan: Plan) -> set:
    """What checks a configuration, which a training does for one that came after the job `check`."""
    kinds = ("datasets", "samples", "evaluations")
    files = [path for kind in kinds for path in plan.plugin_files(kind, list(plan.blocks[kind]))]
    files += [path for profile in plan.blocks["profiles"] for path in plan.step_files(profile)]
    return digests.reached([ROOT / "phenorep/check.py", *files])


def test_changed_settings_of_a_method_retrain_that_method_alone(finished, config):
    config["methods"]["simclr"]["temperature"] = 0.2
    # simclr: embeddings of epoch 1 and the final one; `both` is put together again; what follows from them.
    planned = finished.planned(config)
    assert planned["pretrain"] == 1
    assert planned["embed"] == 2
    assert planned["concat"] == 1
    assert set(planned) == {"pretrain", "embed", "concat", "normalise", "evaluate"}


def test_changed_preprocessing_makes_everything_again_in_one_run(finished, config):
    """Samples are `ancient` for training: what decides them must reach it another way, and at once."""
    config["preprocess"] = {"illumination": {"smoothing": "none"}}
    planned = finished.planned(config)
    assert {rule: planned[rule] for rule in ("illumination", "samples", "pretrain", "embed")} == {
        **{"illumination": 2, "samples": 2},
        **{"pretrain": 3, "embed": 4},
    }
    assert "fields" not in planned


def test_touched_samples_retrain_nothing(finished, config):
    paths = list(finished.folder.glob("results/screen/samples/cells/*"))
    for path in paths:
        path.touch()
    assert "pretrain" not in finished.planned(config)
    # Put back: what lies behind the samples is newer again.
    for path in paths:
        os.utime(path, (1, 1))


def test_changed_recipe_retrains_its_methods_alone(finished, config):
    path = finished.folder / "phenorep/methods/simclr.py"
    original = path.read_text()
    try:
        path.write_text(original + "\nCHANGED = True\n")
        assert finished.planned(config)["pretrain"] == 1
    finally:
        path.write_text(original)


def test_new_recipe_file_and_a_line_of_config_schedule_exactly_its_jobs(finished, config):
    path = finished.folder / "phenorep/methods/another.py"
    path.write_text((finished.folder / "phenorep/methods/random.py").read_text())
    config["methods"]["another"] = {"backbone": "resnet10t"}
    config["studies"]["tiny"]["methods"].append("another")
    try:
        assert finished.planned(config) == {"pretrain": 1, "embed": 1, "normalise": 2, "evaluate": 3}
    finally:
        path.unlink()


def test_a_second_configuration_retrains_nothing(finished, config):
    config["name"] = "other"
    config["compute"] = {"device": "cpu", "batch_size": 64}
    assert finished.planned(config) == {}


def test_another_run_killed_while_training_gives_the_same_bytes(finished, tmp_path, config):
    """From the same samples in another folder: killed after a checkpoint, started again, scored as if undisturbed."""
    again = _without_training(finished, tmp_path / "again", "simclr")
    folder = "results/screen/scores/cells/simclr/seed0"
    wanted = [f"{folder}/{epoch}/tvn/moa_matching.csv" for epoch in ("1", "final")]
    _kill_while_training(again, config, "simclr", wanted)
    output = again.finish(config, "--", *wanted)
    assert "Traceback" not in output
    log = (again.folder / "logs/screen/encoders/cells/simclr/seed0.log").read_text()
    assert "training goes on at epoch" in log, log
    for path in wanted:
        assert (again.folder / path).read_bytes() == (finished.folder / path).read_bytes(), path


def _without_training(finished: Project, folder: Path, method: str) -> Project:
    """A copy of the finished project without the encoder of a method and all that follows from it."""
    shutil.copytree(finished.folder, folder)
    for stage in ("encoders", "embeddings", "profiles", "scores"):
        shutil.rmtree(folder / "results/screen" / stage / "cells" / method)
    return Project(folder, parts=())


def _kill_while_training(project: Project, run: dict, method: str, wanted: list[str]) -> None:
    command = project.command(run, "--", *wanted)
    process = subprocess.Popen(
        command, cwd=project.folder, env=project.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    folder = project.folder / f"results/screen/encoders/cells/{method}/seed0"
    deadline = time.monotonic() + 300
    while not (folder / "checkpoint.pt").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, f"no checkpoint in {folder}"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "encoder.safetensors").exists()
    project.run(run, "--unlock")


def test_one_core_trains_and_scores_as_two_do(finished, config, tmp_path):
    """Jobs that compute with torch get as many threads as the configuration says, not as many as there are cores."""
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)  # with the times of files
    project = Project.__new__(Project)
    project.folder = copy
    folder = copy / "results/screen"
    made = ["encoders/cells/simclr/seed0/encoder.safetensors", "embeddings/cells/simclr/seed0/final.parquet"]
    scores = [f"scores/cells/simclr/seed0/final/{name}.csv" for name in ("tvn/moa_matching", "none/invariance")]
    before = {name: (folder / name).read_bytes() for name in [*made, *scores]}
    for name in before:
        (folder / name).unlink()
    output = project.finish(config, "--cores", "1", *(f"results/screen/{name}" for name in scores))
    assert "pretrain" in output
    assert not [name for name, content in before.items() if (folder / name).read_bytes() != content]


def test_another_number_of_threads_trains_anew_and_another_device_does_not(finished, config):
    config["compute"] = {"device": "cpu"}
    assert finished.planned(config) == {}
    config["compute"]["threads"] = 1
    planned = finished.planned(config)
    assert planned["pretrain"] == 3, "also what learns nothing, which takes seconds"
    assert set(planned) == {"pretrain", "embed", "concat", "normalise", "evaluate"}
