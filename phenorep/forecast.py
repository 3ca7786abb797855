"""The estimate of configuration files as people read it: ``python -m phenorep estimate``."""

from phenorep import configfiles, estimate, plugins
from phenorep.errors import UserError
from phenorep.estimate import Estimate
from phenorep.planning import Plan
from phenorep.rates import STAGES

# Operations a second that are assumed. ViT-S/8 runs forward at 180 images of 224 pixels a second on a V100, 45 GFLOP each.
GPU_TFLOPS = 8.0
# Measured on a virtual core: 30 (ResNet10-t, 64 pixels, two cores busy) to 73 (ResNet18, 128 pixels) in training.
CORE_GFLOPS = 60.0
GB = 1e9


def text(found: Estimate, gpu_tflops: float = GPU_TFLOPS, core_gflops: float = CORE_GFLOPS) -> str:
    """The estimate as people read it."""
    rows = ["stage         jobs   disk, GB   core hours"]
    for stage in dict.fromkeys(STAGES.values()):
        jobs = sum(count for rule, count in found.jobs.items() if STAGES[rule] == stage)
        if jobs:
            rows.append(f"{stage:<11}{jobs:>7}{found.disk[stage] / GB:>11.2f}{found.seconds[stage] / 3600:>13.2f}")
    rows.append(f"{'all':<11}{sum(found.jobs.values()):>7}{found.end / GB:>11.2f}{found.core_hours():>13.2f}")
    learnt, embedded = (found.flop.get(stage, 0.0) / 1e15 for stage in ("pretrain", "embed"))
    hours = found.learning_hours
    gpu, core = hours(gpu_tflops * 1e12), hours(core_gflops * 1e9)
    rows += [
        "",
        f"download    {found.download / GB:.2f} GB",
        f"disk        {found.end / GB:.2f} GB at the end, {found.peak / GB:.2f} GB at most on the way",
        f"networks    {learnt:.3f} PFLOP to train, {embedded:.3f} PFLOP to embed (counted), beside the core hours above:",
        f"            {gpu:.2f} hours of a GPU at {gpu_tflops:g} TFLOP/s (assumed; --gpu-tflops), or",
        f"            {core:.2f} hours of a core at {core_gflops:g} GFLOP/s (measured on one machine; --core-gflops)",
        "",
        "These figures rest on:",
        *(f"- {line}" for line in found.basis),
        "- all samples: what a `where:` leaves out is not known before; evaluations that train networks are not counted",
    ]
    return "\n".join(rows)


def of_files(paths: list[str], cells: list[str], gpu_tflops: float | None = None, core_gflops: float | None = None) -> str:
    """The estimate of configuration files, as `python -m phenorep estimate` prints it.

    Parameters
    ----------
    paths
        YAML files; a later one changes what the earlier ones say, as with ``snakemake --configfile``.
    cells
        ``DATASET=N``: nuclei that are expected in a field.

    Raises
    ------
    UserError
        If a file cannot be read, or an option is no number above 0.
    """
    for name, value in (("--gpu-tflops", gpu_tflops), ("--core-gflops", core_gflops)):
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"{name}: found {value:g}, expected a number above 0.")
    plan = Plan(read(paths))
    return text(estimate.of(plan, _cells(cells, plan)), gpu_tflops or GPU_TFLOPS, core_gflops or CORE_GFLOPS)


def read(paths: list[str]) -> dict:
    """Configuration files merged as Snakemake does it."""
    found: dict = {}
    for path in paths:
        loaded = configfiles.read(path)
        if not isinstance(loaded, dict):
            raise UserError(f"{path}: found {loaded!r:.60}, expected blocks such as name, datasets and studies.")
        found = _merged(found, loaded)
    return found


def _merged(old: dict, new: dict) -> dict:
    both = {k: _merged(old[k], v) for k, v in new.items() if isinstance(v, dict) and isinstance(old.get(k), dict)}
    return {**old, **new, **both}


def _cells(options: list[str], plan: Plan) -> dict[str, float]:
    found = {}
    for option in options:
        name, _, number = option.partition("=")
        if name not in plan.blocks["datasets"]:
            raise UserError(f"--cells: there is no dataset '{name}'. {plugins.suggest(name, plan.blocks['datasets'])}")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] < float("inf"):
            raise UserError(f"--cells: found '{option}', expected {name}=N with the nuclei of a field.")
    return found


def row(found: Estimate) -> str:
    """What stands behind a study's name in README's table: download, disk, core hours, and hours of a GPU or of cores."""
    hours = found.learning_hours
    figures = [found.download / GB, found.end / GB, found.core_hours(), hours(CORE_GFLOPS * 1e9), hours(GPU_TFLOPS * 1e12)]
    return "".join(f"| {_rounded(figure)} " for figure in figures) + "|"


def _rounded(value: float) -> str:
    """To two digits, without an exponent."""
    if value == 0:
        return "0"
    return f"{float(f'{value:.2g}'):,.10f}".rstrip("0").rstrip(".")
