"""Every bad input of the catalogue is refused in words, and nothing that was there is lost."""

import sys
from pathlib import Path

import pytest

from phenorep import logs
from phenorep.errors import NotRun

from .catalogue import blocks, commands, datasets, grammar, images, labels, learning, reasons
from .catalogue.case import HEADER, TABLE, Case, laid_over

CASES = [case for module in (grammar, blocks, datasets, images, learning, labels, commands) for case in module.CASES]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def said(case: Case, folder: Path, screen: dict, log: Path, monkeypatch, capfd) -> str:
    """What the user sees of a case, as the job's log and the terminal show it."""
    # As outside of a test, where printed text goes to the descriptor.
    with open(1, "w", buffering=1, closefd=False) as out, open(2, "w", buffering=1, closefd=False) as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended, logs.to(log):
            case.meets(folder, screen)
        monkeypatch.undo()
    assert ended.value.code == 1, "exit status"
    text = log.read_text() + capfd.readouterr().err
    assert "Traceback" not in text, text
    return text


def test_the_catalogue_is_one_table():
    assert len(CASES) >= 250
    assert len({case.wrong for case in CASES}) == len(CASES), "each case is told from the others"
    for case in CASES:
        assert all(case.texts()), f"{case.wrong}: place, found and remedy must be stated"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.wrong.replace(" ", "_"))
def test_refused_in_words(case, screen, tmp_path, monkeypatch, capfd):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    case.write(folder)
    before = contents(folder)
    text = said(case, folder, screen, tmp_path / "job.log", monkeypatch, capfd)
    for part in case.texts():
        assert part in text, text
    after = contents(folder)
    assert {path: after.get(path) for path in before} == before, "what was there is as it was"


@pytest.mark.parametrize("case", reasons.CASES, ids=lambda case: case.wrong.replace(" ", "_"))
def test_stated_as_a_reason(case, screen, tmp_path):
    with pytest.raises(NotRun) as reason:
        case.meets(tmp_path, screen)
    for part in case.texts():
        assert part in str(reason.value)


def test_snakemake_shows_no_traceback(workflow, screen):
    (workflow.folder / "plates.csv").write_text(f"{HEADER}\nP1,A01,1,a.tif\n")
    # A mistake that shows when a rule's parameters are made.
    message = workflow.refusal(laid_over(screen, {"datasets": {"screen": TABLE | {"channels": ["DAPI"]}}}))
    assert "configuration: datasets: screen: channels: 'DAPI' is not in plates.csv. Known are: DNA." in message
    assert "Traceback" not in message


def test_what_is_given_on_the_command_line_is_checked_as_well(workflow, screen):
    message = workflow.refusal(screen, "--config", "studies={tiny: {seeds: [one]}}")
    assert "configuration: studies: tiny: seeds: 1: 'one' is no seed: seeds are whole numbers from 0." in message
    assert "Traceback" not in message


def test_a_file_that_is_no_configuration(workflow):
    path = workflow.folder / "mine.yaml"
    path.write_text("name: [\n")
    ended = workflow.snakemake("--dry-run", "--configfile", str(path))
    assert ended.returncode
    message = ended.stdout + ended.stderr
    assert "not valid JSON or YAML" in message
    assert "Traceback" not in message


def test_a_job_shows_its_message_and_leaves_what_was_done(workflow, screen):
    (workflow.folder / "plates.csv").write_text(f"{HEADER}\nP1,A01,1,a.tif\n")
    done = workflow.folder / "results" / "screen" / "fields" / "P0.parquet"
    done.parent.mkdir(parents=True)
    done.write_bytes(b"done before")
    config = laid_over(screen, {"datasets": {"screen": TABLE}})
    ended = workflow.snakemake("--until", "fields", config=config)
    assert ended.returncode
    message = ended.stdout + ended.stderr
    assert "phenorep: Plate P1: 1 of 1 fields cannot be used:" in message
    assert "a.tif" in message
    assert "Traceback" not in message, message
    assert done.read_bytes() == b"done before"
