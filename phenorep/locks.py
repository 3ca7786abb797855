"""Release a Snakemake lock that a killed run has left, and only such a one.

Snakemake locks a working directory with lists of files in ``.snakemake/locks``. They do not say who holds them, and a killed
run leaves them behind. Whether a lock is stale is therefore read from the machine: it is, if no Snakemake works in the
directory, and the run that wrote it was one of this machine. Jobs may outlive their Snakemake: they are waited for, because
two processes must not write the same file, and because a training that ends well need not be repeated.

``python -m phenorep.locks`` does so for the current directory; the exit status is 1 if the lock is not stale.
"""

import os
import platform
import re
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from phenorep.errors import UserError

PROCESSES = Path("/proc")  # where the kernel lists them
SECONDS = 1.0  # between two looks at the jobs that are waited for
# Snakemake's log of a run is named after the time at which it started, and begins with a block of facts.
_HOST = re.compile(r"^ *Host: (?P<host>.+?) *$", re.MULTILINE)
_LOG = "*.snakemake.log"
_HEAD = 10_000  # characters of a log that hold the block


def release(directory: str | Path = ".", processes: Path = PROCESSES) -> bool:
    """Remove the lock of a working directory if no live run can hold it; wait for the jobs of a dead one.

    Parameters
    ----------
    directory
        The directory in which ``snakemake`` runs.
    processes
        Where the kernel lists the processes.

    Returns
    -------
    bool
        Whether there was a lock, which is now removed.

    Raises
    ------
    UserError
        If Snakemake runs in the directory, or the run was started on another machine, where it may be alive.
    """
    directory = Path(directory).resolve()
    locks = sorted((directory / ".snakemake" / "locks").glob("*.lock"))
    if not locks:
        return False
    host = host_of_run(directory, max(lock.stat().st_mtime for lock in locks))
    if host not in (None, platform.node()):
        raise UserError(
            f"{directory} is locked by a run on the machine '{host}', and this is '{platform.node()}'. If that run has "
            "ended, release the lock with: .venv/bin/snakemake --unlock"
        )
    known: set[int] = set()
    while jobs := _jobs_without_run(directory, processes):
        if new := {number: jobs[number] for number in jobs.keys() - known}:
            print(
                f"Waiting for jobs of a killed run, which still work here (to go on at once, end them):\n{_list(new)}",
                flush=True,
            )
        known |= jobs.keys()
        time.sleep(SECONDS)
    for lock in locks:
        lock.unlink(missing_ok=True)
    return True


def _jobs_without_run(directory: Path, processes: Path) -> dict[int, str]:
    if runs := working_in(directory, is_run, processes):
        raise UserError(
            f"{directory} is locked, and Snakemake still works in it:\n{_list(runs)}\n"
            "Wait until it has ended, or end it, and give the same command again."
        )
    return working_in(directory, is_job, processes)


def _list(found: dict[int, str]) -> str:
    return "\n".join(f"  process {number}: {command}" for number, command in sorted(found.items()))


def working_in(directory: Path, wanted, processes: Path = PROCESSES) -> dict[int, str]:
    """Processes whose working directory is `directory`: {process id: command line}.

    Parameters
    ----------
    directory
        An absolute path without links.
    wanted
        Function of the list of arguments that says whether a process is meant. A process that is meant and whose working
        directory may not be read (another user's) counts as one that works here.
    """
    found = {}
    for process in processes.iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        except OSError:
            continue  # it ended while we looked
        if wanted(arguments) and _works_in(process, directory):
            found[int(process.name)] = " ".join(arguments)
    return found


def _works_in(process: Path, directory: Path) -> bool:
    try:
        return (process / "cwd").resolve(strict=True) == directory
    except PermissionError:
        return True
    except OSError:
        return False


def is_run(arguments: list[str]) -> bool:
    """Whether a command line is that of Snakemake."""
    programs = {Path(argument).name for argument in arguments[:2]}  # the program, or an interpreter and its script
    return "snakemake" in programs or ("-m", "snakemake") in pairwise(arguments)


def is_job(arguments: list[str]) -> bool:
    """Whether a command line is that of a script that Snakemake started, or of a training that such a script launched."""
    is_script = any("/.snakemake/scripts/" in argument for argument in arguments)
    return is_script or ("-m", "phenorep.launch") in pairwise(arguments)


def host_of_run(directory: Path, locked_at: float) -> str | None:
    """Name of the machine whose run wrote the lock; None where no log tells.

    Parameters
    ----------
    directory
        The working directory.
    locked_at
        When the lock was written, in seconds since 1970: the run is the last that started before.
    """
    moment = datetime.fromtimestamp(locked_at).isoformat().replace(":", "")
    logs = [log for log in (directory / ".snakemake" / "log").glob(_LOG) if log.name <= moment]
    if not logs:
        return None
    head = max(logs, key=lambda log: log.name).read_text(errors="replace")[:_HEAD]
    match = _HOST.search(head)
    return match["host"] if match else None


def main() -> int:
    """Release the lock of the current directory; say what was done."""
    try:
        if release():
            print("Released a lock that a killed run had left.")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
