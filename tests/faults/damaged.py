"""Files that are damaged, with their times as they were: whoever reads one says which, and how it is made again."""

import os
from collections.abc import Iterator
from pathlib import Path

from tests.faults.bench import OUTPUTS, SECOND, Bench, Broken, Work, kill
from tests.faults.case import Case
from tests.faults.killed import MOMENTS

REFUSED = "refused, file and remedy named; then same results"
TRAINED = "results/screen/encoders/cells/simclr/seed0"
# The file, and the stage that reads it next.
READ_BY = {
    f"results/screen/fields/{SECOND}.parquet": "illumination",
    f"results/screen/illumination/{SECOND}.npz": "nuclei",
    f"results/screen/nuclei/{SECOND}.parquet": "samples",
    f"results/screen/samples/cells/{SECOND}.npy": "embed",
    f"results/screen/samples/cells/{SECOND}.json": "embed",
    f"{TRAINED}/encoder.safetensors": "embed",
    "results/screen/embeddings/cells/simclr/seed0/final.parquet": "normalise",
    "results/screen/profiles/cells/simclr/seed0/final/tvn.parquet": "evaluate",
    "results/screen/scores/cells/simclr/seed0/final/tvn/moa_matching.csv": "scores",
    "results/screen/scores/cells/simclr/seed0/final/tvn/moa_matching.parquet": "scores",
}
KINDS = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    # The lowest bit: no reader would stumble over it.
    "flipped": lambda content: (
        content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]
    ),
}


def damage(path: Path, kind: str) -> None:
    """Damage a file; its times stay."""
    state = path.stat()
    path.write_bytes(KINDS[kind](path.read_bytes()))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def damaged(bench: Bench, name: str, reader: str, kinds: tuple[str, ...] = tuple(KINDS)) -> Work:
    """Damage a file in some ways, one after another, then do what the message says."""
    work = bench.copy(reader)
    path, target = work.folder / name, OUTPUTS[reader][0]
    content, state = path.read_bytes(), path.stat()
    for kind in kinds:
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        damage(path, kind)
        if not work.run(target):
            if kind != "flipped":
                raise Broken(f"{kind}: {name} was taken for whole")
            # Columns that the stage does not read are not looked at: then its results must be right.
            work.check_same(*OUTPUTS[reader])
            work.remove(*OUTPUTS[reader])
            continue
        work.worked(reader)
        work.check_said(f"phenorep: {name}", "emove", "run again")
    path.unlink()
    work.again(target)
    work.check_same(*OUTPUTS[reader], name)
    return work


def checkpoint(bench: Bench) -> Work:
    """A damaged checkpoint is no reason to stop: training begins again, says so, and ends with the same weights."""
    work = bench.copy("pretrain")
    target = OUTPUTS["pretrain"][0]
    process = work.start(target, fault={**MOMENTS["pretrain"], "action": "pause"})
    work.until(process)
    work.worked("pretrain")
    kill(process)
    damage(work.folder / TRAINED / "checkpoint.pt", "flipped")
    work.again(target)
    if "training begins again" not in (work.folder / f"logs/{TRAINED.removeprefix('results/')}.log").read_text():
        raise Broken("the log does not say that training begins again")
    work.check_same(*OUTPUTS["pretrain"])
    return work


def cases(seed: int, times: int) -> Iterator[Case]:
    """All cases of this sort."""
    for name, reader in READ_BY.items():
        # To start torch three times would tell no more: the other ways are tried without a run, in tests/unit.
        kinds = ("flipped",) if reader == "embed" else tuple(KINDS)
        yield Case(
            f"damaged {Path(name).parts[2]} {Path(name).suffix}", reader,
            lambda bench, name=name, reader=reader, kinds=kinds: damaged(bench, name, reader, kinds), REFUSED,
        )  # fmt: skip
    yield Case("damaged checkpoint", "pretrain", checkpoint, "training begins again, same results")
