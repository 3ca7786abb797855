"""Slurm on this machine alone: a controller, one node and their key, in a folder of their own and as the current user.

The node claims eight processors, 64 GB and two GPUs, whatever the machine has: device files that every Linux has stand for
the GPUs, so jobs that ask for one are given a number and find no GPU. There is no accounting database, as on many clusters.
"""

import ctypes
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / ".slurm" / "root"  # where `make slurm` puts Debian's packages
SECONDS = 30  # in which the daemons must answer

CONFIGURATION = """
ClusterName=phenorep
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
PluginDir={plugins}
PlugStackConfig={folder}/plugstack.conf
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
# A job that takes more memory than it asked for is killed, which is looked at every second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MinJobAge=3600
SchedulerParameters=sched_interval=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:2
PartitionName=cpu Nodes=ALL Default=YES State=UP
PartitionName=gpu Nodes=ALL State=UP
"""


class CannotStart(Exception):
    """Slurm is not here, or does not start here; the message says why."""


class Cluster:
    """A running Slurm; `stop` ends it.

    Parameters
    ----------
    folder
        Empty; holds all its files, and ``bin``, whose programs know this cluster.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.programs = folder / "bin"
        self._running: list[subprocess.Popen] = []
        found = programs()
        self._configure(found)
        try:
            self._start(found)
        except BaseException:
            self.stop()
            raise

    def _configure(self, found: dict[str, Path]) -> None:
        for name in ("bin", "munge", "state", "spool"):
            (self.folder / name).mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge.key").chmod(0o400)
        (self.folder / "plugstack.conf").touch()
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (self.folder / "gres.conf").write_text(
            "".join(f"Name=gpu Flags=nvidia_gpu_env File=/dev/{device}\n" for device in ("null", "zero"))
        )
        ports = free_ports(2)
        values = {"host": socket.gethostname(), "user": getpass.getuser(), "folder": self.folder, "plugins": plugins(found)}
        values |= {"controller_port": ports[0], "node_port": ports[1]}
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
        self._libraries = f"{values['plugins'].parent}:{values['plugins']}"
        for name in CLIENTS:
            script = f'#!/bin/sh\n{self._settings()}\nexec {found[name]} "$@"\n'
            (self.programs / name).write_text(script)
            (self.programs / name).chmod(0o755)

    def _settings(self) -> str:
        return f"export SLURM_CONF={self.folder}/slurm.conf LD_LIBRARY_PATH={self._libraries}"

    def _start(self, found: dict[str, Path]) -> None:
        munge = [found["munged"], "--foreground", "--force", "--num-threads=2", f"--key-file={self.folder}/munge.key"]
        for option, name in (("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed")):
            munge.append(f"--{option}={self.folder}/munge/{name}")
        self._run(munge)
        self._wait(lambda: (self.folder / "munge" / "socket").exists(), "munged")
        self._run([found["slurmctld"], "-D", "-f", self.folder / "slurm.conf"])
        self._run([found["slurmd"], "-D", "-f", self.folder / "slurm.conf", "-d", found["slurmstepd"]])
        self._wait(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"), "slurmd")

    def _run(self, command: list) -> None:
        output = open(self.folder / f"{Path(command[0]).name}.out", "w")  # noqa: SIM115 (the process keeps it)
        environment = {**os.environ, "LD_LIBRARY_PATH": self._libraries, "SLURM_CONF": f"{self.folder}/slurm.conf"}
        self._running.append(
            subprocess.Popen(
                list(map(str, command)), stdout=output, stderr=subprocess.STDOUT, env=environment, preexec_fn=die_with_parent
            )
        )

    def _wait(self, is_ready, name: str) -> None:
        end = time.monotonic() + SECONDS
        while not is_ready():
            ended = [process.args[0] for process in self._running if process.poll() is not None]
            if ended or time.monotonic() > end:
                outputs = (path.read_text(errors="replace").splitlines()[-3:] for path in sorted(self.folder.glob("*.out")))
                last = "; ".join(line for lines in outputs for line in lines)
                raise CannotStart(f"Slurm does not start here ({name}: {'ended' if ended else 'no answer'}): {last}")
            time.sleep(0.2)

    def ask(self, program: str, *arguments: str) -> str:
        """What one of Slurm's programs says; empty if it fails."""
        command = [str(self.programs / program), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs so far, as ``scontrol show job`` describes them, in the order of their submission."""
        blocks = self.ask("scontrol", "show", "job", "--oneliner").splitlines()
        return sorted(
            (dict(FIELD.findall(block)) for block in blocks if "JobId=" in block), key=lambda job: int(job["JobId"])
        )

    def stop(self) -> None:
        """Cancel what runs, and end the daemons."""
        if len(self._running) == 3:
            self.ask("scancel", "--user", getpass.getuser())
            end = time.monotonic() + 10
            while self.ask("squeue", "--noheader").strip() and time.monotonic() < end:
                time.sleep(0.2)
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr", "sshare")
FIELD = re.compile(r"(\w[\w/:]*)=(.*?)(?= \w[\w/:]*=|\s*$)")


def programs() -> dict[str, Path]:
    """Slurm's programs, from ``.slurm`` or else from where they are installed; raises `CannotStart` if one is missing."""
    places = [UNPACKED / "usr" / "sbin", UNPACKED / "usr" / "bin", "/usr/sbin", "/usr/bin", *os.get_exec_path()]
    path = os.pathsep.join(map(str, places))
    found = {name: shutil.which(name, path=path) for name in ("munged", "slurmctld", "slurmd", "slurmstepd", *CLIENTS)}
    if missing := [name for name, program in found.items() if program is None]:
        raise CannotStart(f"no {', '.join(missing)}: `make slurm` gets Slurm where there is apt-get")
    return {name: Path(program) for name, program in found.items()}


def plugins(found: dict[str, Path]) -> Path:
    """Folder of Slurm's plug-ins."""
    folders = sorted(found["slurmd"].parents[1].glob("lib/*/slurm*/select_cons_tres.so"))
    if not folders:
        raise CannotStart(f"no plug-ins of Slurm below {found['slurmd'].parents[1] / 'lib'}")
    return folders[0].parent


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends, however it does."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
