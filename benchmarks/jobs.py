"""Jobs of the benchmarks, each in a process of its own, so that its peak memory is its own."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "benchmarks" / "output"


def apart(module: str, job: str, *arguments) -> dict:
    """What a job finds in a process of its own; `module` is a benchmark that hands ``--job`` to `run`.

    Parameters
    ----------
    arguments
        Of the job; what JSON can write.
    """
    command = [sys.executable, "-m", module, "--job", json.dumps([job, *arguments])]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr[-3000:])
    return json.loads(result.stdout.splitlines()[-1])


def run(call: str, jobs: dict) -> None:
    """Run one of the functions `jobs` in this process and print what it finds.

    Beside what the function returns this is `work_s`, seconds without the start of the process, `cpu_s`, the processor's
    seconds for it, which other programs disturb less, and `rss_mb`, the peak of the process's memory.
    """
    job, *arguments = json.loads(call)
    start, cpu = time.perf_counter(), time.process_time()
    found = jobs[job](*arguments) or {}
    own = {"work_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    print(json.dumps(own | {"rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024} | found))
