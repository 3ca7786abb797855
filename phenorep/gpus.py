"""Which GPUs a job computes on, where a machine has several; without torch, which must start after they are chosen.

Snakemake counts GPUs and hands out none by number. A cluster does: what it names in ``CUDA_VISIBLE_DEVICES`` is the job's
own. Among several that are visible, a job takes those that the fewest others use: each use is a lock on a file, which the
kernel releases when the process ends, however it does. Nobody waits: more jobs than there are GPUs share them evenly.
"""

import fcntl
import os
import tempfile
from pathlib import Path

from phenorep.errors import UserError

DEVICES = Path("/dev")
VISIBLE = "CUDA_VISIBLE_DEVICES"
CHOSEN = "PHENOREP_GPUS"  # in the environment of a job that has chosen, and of all that it starts
_locks: list[int] = []  # descriptors, open as long as the process lives


def visible() -> list[str]:
    """Names of the GPUs that this process may use: the environment's, or else the machine's numbers."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip()]
    return [str(number) for number in range(len(list(DEVICES.glob("nvidia[0-9]*"))))]


def take(count: int, folder: Path | None = None) -> str:
    """Choose GPUs for this process and those that it starts, by ``CUDA_VISIBLE_DEVICES``.

    It must be called before torch looks for GPUs; a second call changes nothing.

    Parameters
    ----------
    count
        How many.
    folder
        Where locks are kept, which all jobs must share; by default one of this user in the folder of temporary files.

    Returns
    -------
    str
        What was chosen, for the log; empty if there was nothing to choose.
    """
    names = visible()
    if CHOSEN in os.environ or len(names) <= count:
        return ""
    users = _lock(names, count, folder or _folder())
    os.environ[VISIBLE] = os.environ[CHOSEN] = ",".join(users)
    others = max(users.values())
    told = f"GPU {', '.join(users)} of {', '.join(names)}"
    if others:
        told += f", which {others} more {'job uses' if others == 1 else 'jobs use'}: all are taken. For one job each, run "
        told += f"`snakemake --resources gpu={len(names)}`."
    return told


def held() -> tuple[int, ...]:
    """Descriptors of the locks: a process that is given them keeps the GPUs if this one is killed."""
    return tuple(_locks)


def _lock(names: list[str], count: int, folder: Path) -> dict[str, int]:
    """{GPU: how many others use it}; the first free place of each is locked, those with the fewest users first."""
    job = os.environ.get("SLURM_JOB_ID", "")  # jobs of a cluster may count their own GPUs from zero
    users = {}
    place = 0
    while len(users) < count:
        for name in names:
            if name not in users and len(users) < count and _locked(folder / f"{job}.{name.replace('/', '_')}.{place}"):
                users[name] = place
        place += 1
    return {name: users[name] for name in names if name in users}


def _locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _locks.append(descriptor)
    return True


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"phenorep-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to another user: remove it, or set TMPDIR to a folder of your own.")
    return folder
