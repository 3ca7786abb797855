"""What a job prints goes into its log; what a user must read goes to the terminal too."""

import os
import platform
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from phenorep.errors import NotRun, UserError
from phenorep.writing import refusal


@contextmanager
def to(path: str | Path):
    """Send standard output and standard error of this process and its children to the file `path`.

    A `UserError` is shown as its message alone, in the log and on the terminal; any other error with its traceback in the
    log. Both end the process with exit status 1.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = [os.dup(1), os.dup(2)]
    with open(path, "w") as log:
        # File descriptors, not sys.stdout: worker processes and compiled libraries write to them directly.
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if "SLURM_JOB_ID" in os.environ:
        # Also because Snakemake shows Slurm's own log, which says why a job was killed, only after one that is not empty.
        print(f"Slurm job {os.environ['SLURM_JOB_ID']} on {platform.node()}", flush=True)
    message = None
    try:
        yield
    except UserError as error:
        message = str(error)
        print(message, file=sys.stderr)
    except NotRun:
        raise  # nobody recorded it: a mistake in the workflow
    except Exception as error:
        # Files that other libraries write, such as images: ours are named where they are written.
        where = Path(getattr(error, "filename", None) or Path.cwd() / "results")
        if isinstance(error, OSError) and (reason := refusal(error, where.parent)):
            message = f"{where}: cannot be written: {reason} and give the same command again."
            print(message, file=sys.stderr)
        else:
            traceback.print_exc()
            message = f"{type(error).__name__}: {error} (see {path})"
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(terminal[0], 1)
        os.dup2(terminal[1], 2)
        for descriptor in terminal:
            os.close(descriptor)
    if message is not None:
        print(f"phenorep: {message}", file=sys.stderr, flush=True)
        raise SystemExit(1)
