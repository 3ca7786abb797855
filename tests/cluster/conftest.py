"""A Slurm that the tests start, and a small run on it."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from phenorep import datasets, imported
from tests.cluster import slurm
from tests.e2e.conftest import Project
from tests.unit import made_samples
from tests.workflow.test_features import wells

# Two branches: features that came from elsewhere, and an encoder that learns from samples made here. Jobs are slow to start
# under Slurm, with two processes of Snakemake each, so what comes before is made without it.
# `hungry` has the steps of `plain`, but its first job takes too much memory; `refused` ends with a mistake in the input.
CONFIG = """
name: small
datasets:
  profiles:
    use: features
    table: wells.csv
    rename: {Metadata_moa: Metadata_MoA}
    negative_control: {Metadata_Compound: DMSO}
  screen: {use: table, table: plates.csv}
samples:
  cells: {use: nuclei, size: 24}
methods:
  simclr: {backbone: resnet10t, epochs: 2, batch_size: 8}
profiles:
  plain: &steps [{aggregate: {by: [treatment, plate], with: mean}}, {aggregate: {by: treatment, with: median}}]
  hungry: *steps
  refused: *steps
evaluations: {moa_matching: {}}
studies:
  features: {dataset: profiles, profiles: [plain, hungry, refused], evaluations: [moa_matching]}
  images: {dataset: screen, samples: cells, methods: [simclr], profiles: [plain], evaluations: [moa_matching]}
"""
# What the copy's `normalise` does before its own work.
TROUBLE = """
import time
from phenorep.errors import UserError

with logs.to(snakemake.log[0]):
    if snakemake.wildcards.profile == "hungry":
        taken = bytearray(b"1" * 700_000_000)
        time.sleep(5)  # Slurm looks every second
    if snakemake.wildcards.profile == "refused":
        raise UserError("wells.csv: the column Metadata_Flavour is missing")

"""
EMBEDDINGS = "results/profiles/embeddings/imported/imported/seed0/final.parquet"
SCORES = "results/profiles/scores/imported/imported/seed0/final/plain/moa_matching.csv"
PROFILES = "results/profiles/profiles/imported/imported/seed0/final/{profile}.parquet"
ENCODER = "results/screen/encoders/cells/simclr/seed0/encoder.safetensors"
# Without those that would make the samples again, from images that are not there.
RULES = ["recipe", "pretrain", "normalise", "evaluate"]
PARTITIONS = {"partitions": {"cpu": {"max_runtime": "3d"}, "gpu": {"max_runtime": "3d", "max_gpu": 2}}}


class ClusterRun:
    """A project whose jobs Slurm runs, by ``profiles/slurm`` with what depends on the cluster."""

    def __init__(self, folder: Path, cluster: slurm.Cluster):
        self.project, self.cluster = Project(folder), cluster
        (folder / "partitions.yaml").write_text(yaml.safe_dump(PARTITIONS))

    def start(self, config: dict, *arguments: str) -> subprocess.CompletedProcess:
        """Run Snakemake to its end; what it says stands in `stdout`."""
        path = self.project.folder / "config.test.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", "--configfile", str(path)]
        command += ["--slurm-partition-config", "partitions.yaml", "--slurm-status-command", "squeue"]
        # Files show at once here; jobs are short.
        command += ["--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "4"]
        environment = self.project.environment()
        environment["PATH"] = f"{self.cluster.programs}:{environment['PATH']}"
        return subprocess.run(
            [*command, *arguments],
            cwd=self.project.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1500,
            preexec_fn=slurm.die_with_parent,
        )

    def jobs(self) -> list[dict[str, str]]:
        """Facts of all jobs that Slurm ran, in the order of their submission."""
        names = {"state": "JobState", "memory": "MinMemoryNode", "minutes": "TimeLimit", "partition": "Partition"}
        names |= {"cpus": "NumCPUs", "elapsed": "RunTime", "exit": "ExitCode"}
        return [
            {
                "id": job["JobId"],
                "job": job["Comment"].strip().replace("_wildcards_", " "),
                "gpus": job.get("TresPerJob", ""),
            }
            | {ours: job[theirs] for ours, theirs in names.items()}
            for job in self.cluster.jobs()
        ]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running Slurm, which ends with the tests; they skip where there is none."""
    # Jobs of an outer Slurm would be asked about in this one.
    outer = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("SLURM_")}
    try:
        running = slurm.Cluster(tmp_path_factory.mktemp("slurm"))
    except slurm.CannotStart as reason:
        pytest.skip(str(reason))
    try:
        yield running
    finally:
        running.stop()
        os.environ.update(outer)


@pytest.fixture(scope="session")
def small(cluster, tmp_path_factory):
    """The small run at its end: (run, what Snakemake said)."""
    run = ClusterRun(tmp_path_factory.mktemp("cluster"), cluster)
    folder = run.project.folder
    config = yaml.safe_load(CONFIG)
    wells().to_csv(folder / "wells.csv", index=False)
    keys = {key: value for key, value in config["datasets"]["profiles"].items() if key != "use"}
    dataset = datasets.configured({"use": "features", "keys": {**keys, "table": str(folder / "wells.csv")}}, "profiles")
    (folder / EMBEDDINGS).parent.mkdir(parents=True)
    imported.make(*dataset, folder / EMBEDDINGS)
    plates = [{"Metadata_Plate": plate, "Metadata_Well": "A01", "Metadata_Site": 1} for plate in ("P1", "P2")]
    pd.DataFrame(plates).assign(FileName_DNA="absent.tif", FileName_Actin="absent.tif").to_csv(
        folder / "plates.csv", index=False
    )
    made_samples.write(folder / "results" / "screen" / "samples" / "cells")
    script = folder / "workflow" / "scripts" / "normalise.py"
    imports, work = script.read_text().split("\n\n", 1)
    script.write_text(f"{imports}\n{TROUBLE}{work}")
    rule = folder / "workflow" / "rules" / "normalise.smk"
    # With what it takes otherwise, 700 MB are too many once, and not the second time.
    assert "memory(8000)" in rule.read_text()
    rule.write_text(rule.read_text().replace("memory(8000)", "memory(850)"))
    targets = [SCORES, *(PROFILES.format(profile=profile) for profile in ("hungry", "refused")), ENCODER]
    result = run.start(config, "--retries", "1", "--allowed-rules", *RULES, "--", *targets)
    pd.DataFrame(run.jobs()).to_csv(folder / "jobs.csv", index=False)  # for whoever looks why a test fails
    return run, result.stdout
