"""Run CellProfiler over the chunks of a plate: a program of its own, since it runs in CellProfiler's environment.

It needs nothing but Python 3.8 or newer. What `imaging.cellprofiler` has laid out is worked through chunk by chunk, each in
a process and a home folder of its own: CellProfiler slows down and grows with the number of fields [0], and its processes
write their settings over each other's. A chunk that is done is not done again when a killed run goes on.

[0] https://github.com/CellProfiler/CellProfiler/issues/3917
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import ctypes
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Files of each chunk, beside its images.
PIPELINE = "pipeline.cppipe"
TABLE = "load_data.csv"
CONTENTS = "contents"
_SHOWN = 25  # lines of a failed process's log
_HARMLESS = re.compile(r"MySQL|exporttodatabase|pkg_resources|No module named 'MySQLdb'")


class Failed(Exception):
    """CellProfiler did not do what it was asked."""


def run(staged: Path, output: Path, executable: str, processes: int) -> None:
    """Let CellProfiler work through all chunks of `staged`; their results lie in `output`, one folder for each.

    Raises
    ------
    Failed
        If there is no such program, or if it fails on an image set; what other chunks gave is kept for the next run.
    """
    program = find(executable)
    work = output.with_name(output.name + ".unfinished")
    chunks = sorted(path for path in staged.iterdir() if path.is_dir())
    work.mkdir(parents=True, exist_ok=True)
    for old in set(work.iterdir()) - {work / chunk.name for chunk in chunks}:
        shutil.rmtree(old)
    failures = []
    with ThreadPoolExecutor(max(1, processes)) as pool:
        futures = [pool.submit(_chunk, chunk, work / chunk.name, program) for chunk in chunks]
        for future in futures:
            try:
                future.result()
            except Failed as error:
                failures.append(str(error))
                for waiting in futures:
                    waiting.cancel()
            except BaseException:
                for waiting in futures:
                    waiting.cancel()
                raise
            if failures:
                break
    if failures:
        raise Failed(failures[0])
    if output.exists():
        shutil.rmtree(output)
    work.rename(output)


def find(executable: str) -> str:
    """The program's absolute path; a name without a slash is looked up on the PATH."""
    program = shutil.which(executable)
    if program is None:
        raise Failed(
            f"preprocess: cellprofiler: there is no program '{executable}'. Run with --use-conda, name CellProfiler 4.2's "
            "program there (`make cellprofiler` installs it as .cellprofiler/bin/cellprofiler), or set 'engine: native'."
        )
    return os.path.abspath(program)


def environment(home: Path, program: str) -> dict[str, str]:
    """Environment variables of one process: its own home, one thread, no display."""
    found = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "DISPLAY")}
    found.update(HOME=str(home), TMPDIR=str(home), OMP_NUM_THREADS="1", MPLBACKEND="Agg", PYTHONNOUSERSITE="1")
    found["_JAVA_OPTIONS"] = f"-Duser.home={home}"
    if "JAVA_HOME" not in found:
        # Beside the program, where conda puts it, before the machine's own.
        places = [os.path.join(os.path.dirname(program), "java"), shutil.which("javac"), shutil.which("java")]
        java = next((os.path.realpath(place) for place in places if place and os.path.exists(place)), None)
        if java is not None:
            found["JAVA_HOME"] = str(Path(java).parent.parent)
    return found


def _chunk(chunk: Path, work: Path, program: str) -> None:
    """Run one chunk, unless its results are there already."""
    key = _fingerprint(chunk, program)
    finished = work / "finished"
    if finished.is_file() and finished.read_text() == key:
        print(f"{chunk.name}: done before", flush=True)
        return
    if work.exists():
        shutil.rmtree(work)
    found, home = work / "found", work / "home"
    found.mkdir(parents=True)
    home.mkdir()
    done, log = work / "done", work / "log.txt"
    command = [
        program,
        "-c",
        "-r",
        "-L",
        "INFO",
        "-p",
        str((chunk / PIPELINE).resolve()),
        "--data-file",
        str((chunk / TABLE).resolve()),
    ]
    command += ["-i", str(chunk.resolve()), "-o", str(found.resolve()), "-t", str(home.resolve())]
    command += ["--done-file", str(done.resolve())]
    with open(log, "wb") as stream:
        status = subprocess.run(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment(home.resolve(), program),
            preexec_fn=_die_with_parent,
            check=False,
        ).returncode
    with open(chunk / TABLE, newline="") as table:
        rows = list(csv.DictReader(table))
    complete = done.is_file() and done.read_text().strip() == "Complete"
    if status or not complete or _count(found / "Image.csv") != len(rows):
        raise Failed(_explain(chunk, rows, status, complete, log.read_text(errors="replace")))
    shutil.rmtree(home)
    finished.write_text(key)
    print(f"{chunk.name}: {len(rows)} image sets", flush=True)


def _fingerprint(chunk: Path, program: str) -> str:
    """What a chunk's results depend on: its table, its images as they were laid out, the pipeline, the program."""
    digest = hashlib.sha256(program.encode())
    for name in (PIPELINE, TABLE, CONTENTS):
        digest.update((chunk / name).read_bytes())
    return digest.hexdigest()


def _count(path: Path) -> int:
    if not path.is_file():
        return 0
    with open(path, newline="", encoding="utf-8", errors="replace") as table:
        return sum(1 for _ in csv.DictReader(table))


def _explain(chunk: Path, rows: list[dict], status: int, complete: bool, log: str) -> str:
    """What failed, on which image set, and the end of CellProfiler's own log."""
    started = re.findall(r"Image # (\d+), module (\w+)", log)
    place = ""
    failed = re.search(r"Error detected during run of module (\w+)", log)
    if started and int(started[-1][0]) <= len(rows):
        number = int(started[-1][0])
        # The log names a module when it has ended: without an error's own words the next one, or the next field, failed.
        names = {key: value for key, value in rows[number - 1].items() if key.startswith("Metadata_")}
        place = f" after image set {number} ({names}), module {started[-1][1]}"
    if failed:
        place += f", in module {failed.group(1)}"
    reason = f"exit status {status}" if status else "no mark that it was complete" if not complete else "rows are missing"
    lines = [line for line in log.splitlines() if line.strip() and not _HARMLESS.search(line)][-_SHOWN:]
    shown = "\n".join("  " + line for line in lines)
    return f"CellProfiler failed in {chunk}: {reason}{place}. The end of its log:\n{shown}"


def _die_with_parent() -> None:
    """A killed run leaves no CellProfiler behind, which would write into the folder of the next one (Linux only)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description="Run CellProfiler over the chunks of a plate.")
    parser.add_argument("staged", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--executable", default="cellprofiler")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    try:
        run(arguments.staged, arguments.output, arguments.executable, arguments.processes)
    except Failed as error:
        print(f"phenorep: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
