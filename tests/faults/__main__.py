"""The campaign, ``python -m tests.faults``: every case ends, after the same command again, as if nothing had been."""

import argparse
import csv
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults import clocks, damaged, disks, killed, locked
from tests.faults.bench import Bench, Broken
from tests.faults.case import Skipped

COLUMNS = ("case", "stage", "outcome", "seconds_lost", "seconds")


def main(arguments: list[str]) -> int:
    """Run cases and write their table; 1 if one has broken its promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of the names of cases to run; all by default")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--folder", type=Path, help="where to work; the undisturbed run that is kept there is used again")
    parser.add_argument("--table", type=Path, help="CSV file for the table of outcomes")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--times", type=int, default=20, help="how often the run is killed at random moments")
    given = parser.parse_args(arguments)
    cases = [case for sort in (damaged, killed, disks, clocks, locked) for case in sort.cases(given.seed, given.times)]
    cases = [case for case in cases if not given.only or any(part in case.name for part in given.only)]
    if given.list:
        print("\n".join(case.name for case in cases))
        return 0
    if given.folder:
        return campaign(given.folder, cases, given.table)
    with tempfile.TemporaryDirectory(prefix="phenorep_faults_") as folder:
        return campaign(folder, cases, given.table)


def campaign(folder: str | Path, cases: list, table: Path | None) -> int:
    """Run cases in a folder; 1 if one has broken its promise."""
    started = time.monotonic()
    bench = Bench(folder)
    print(f"undisturbed run: {bench.seconds:.0f} s", flush=True)
    rows, broken = [], 0
    for case in cases:
        began, lost, work = time.monotonic(), "", None
        try:
            work = case.strike(bench)
            outcome, lost = case.outcome, f"{work.lost:.1f}"
        except Skipped as reason:
            outcome = f"skipped: {reason}"
        except Broken as error:
            outcome, broken = f"BROKEN: {error}", broken + 1
        except Exception:
            outcome, broken = f"BROKEN: {traceback.format_exc()}", broken + 1
        rows.append((case.name, case.stage, outcome.splitlines()[0], lost, f"{time.monotonic() - began:.1f}"))
        print(f"{rows[-1][4]:>7} s  {case.name:<45} {outcome}", flush=True)
        if work:
            work.clear()
    if table:
        with open(table, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    print(f"{len(rows) - broken} of {len(rows)} cases kept their promise, in {time.monotonic() - started:.0f} s.")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
