"""The jobs of a run, held against the rule files."""

import re

import pytest

from phenorep import jobs
from phenorep.planning import Plan
from phenorep.rates import RATES, STAGES
from tests.conftest import ROOT
from tests.workflow.conftest import busy_screen

RULES = {
    rule[1]: rule[2]
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    for rule in re.finditer(r"^rule (\w+):\n((?:(?: .*)?\n)+)", path.read_text(), re.MULTILINE)
}
BENCHMARKS = {rule: re.search(r'benchmark:\s+"(.+)"', body)[1] for rule, body in RULES.items()}
# The page for marking images is asked for by `snakemake annotate` alone.
ASKED_FOR = {"gallery"}


def plans(folder) -> list[Plan]:
    """Configurations that together ask for every rule."""
    table = folder / "wells.csv"
    table.write_text("Metadata_Plate,Metadata_Well,a,b\nP1,A01,1,2\nP1,A02,2,1\n")
    features = {
        "name": "features",
        "datasets": {"wells": {"use": "features", "table": str(table)}},
        "profiles": {"raw": [{"aggregate": {"by": "treatment", "with": "mean"}}]},
        "evaluations": {"moa_matching": {}},
        "studies": {"s": {"dataset": "wells", "profiles": ["raw"], "evaluations": ["moa_matching"]}},
    }
    engines = [{"engine": engine, "check": 5} for engine in ("native", "cellprofiler")]
    return [Plan(features), *(Plan(busy_screen() | {"preprocess": preprocess}) for preprocess in engines)]


def test_every_rule_is_listed_and_has_a_rate_and_a_stage(tmp_path):
    listed = {job.rule for plan in plans(tmp_path) for job in jobs.of(plan)}
    assert listed | ASKED_FOR == set(RULES), "phenorep/jobs.py says what each rule reads"
    assert set(RATES) == set(STAGES) == set(RULES), "phenorep/rates.py has a rate and a stage for each rule"


def test_costs_are_of_every_rule_but_those_that_collect(tmp_path):
    entries = [entry for plan in plans(tmp_path) for entry in jobs.costs(plan, BENCHMARKS)]
    assert {entry["rule"] for entry in entries} == set(RULES) - ASKED_FOR - set(jobs.COLLECTING)


def test_each_job_has_a_benchmark_of_its_rules_path(tmp_path):
    for plan in plans(tmp_path):
        paths = [entry["path"] for entry in jobs.costs(plan, BENCHMARKS)]
        assert len(set(paths)) == len(paths)
        assert not [path for path in paths if "{" in path]


def test_a_rule_without_a_benchmark_is_noticed(tmp_path):
    plan = plans(tmp_path)[1]
    with pytest.raises(KeyError, match="embed"):
        jobs.costs(plan, {rule: path for rule, path in BENCHMARKS.items() if rule != "embed"})
