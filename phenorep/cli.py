"""What phenorep does outside the workflow: before it (table, plan) and with what it leaves (normalise, embed, export)."""

import argparse
import contextlib
import os
import shlex
import sys
from pathlib import Path

from phenorep import __version__, configfiles
from phenorep.errors import NotRun, UserError

_EMBED = """
Images are one of:
  a table of fields, as the command `table` writes it: its images are corrected for uneven light
    and cut into samples by the functions that the workflow's jobs call, with the settings that
    the encoder's file states; only the channels that are needed are opened. To it belong
    --plate-map, what tells how it is read (--rename, --names, --images-in, --plates, --time, --plane),
    and what changes settings: --samples, --config, --illumination, --pixel-size-um and
    --on-bad-image; each difference from the encoder's is said
  samples that phenorep has cut: results/{dataset}/samples/{samples}/*.npy
  crops that were cut elsewhere: folders of .tif, .png or .npy files, one file for each crop with
    all its channels, or .npy arrays (crops, channels, height, width). To them belongs --channels;
    the crops of a folder, or of an array, are scaled together, as those of a plate are

The commands `normalise` and `export` take what it writes.

examples:
  python -m phenorep embed results/mine/encoders/cells/simclr/seed0/encoder.safetensors \\
      new_plates.csv --output new.parquet
  python -m phenorep embed encoder.safetensors new_plates.csv --samples nuclei:size=64 \\
      --channels w1=DNA,w2=Actin --output new.parquet
  python -m phenorep embed encoder.safetensors crops/P1 crops/P2 --channels DNA,Actin --output new.csv
"""
_EXPORT = """
examples:
  python -m phenorep export results/mine/embeddings/cells/simclr/seed0/final.parquet cells.h5ad
  python -m phenorep export results/mine/profiles/cells/simclr/seed0/final/*.parquet folder
  python -m phenorep export wells.parquet wells.h5ad --layer tvn=wells_tvn.parquet
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a user's own mistake is a message and exit status 1, never a traceback."""
    options = _parser().parse_args(arguments)
    options.command = shlex.join(["phenorep", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader, such as `head`, has seen enough
        return 0
    except (UserError, NotRun) as error:
        print(f"phenorep: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # no such file, no permission, a full disk
        place = f"{error.filename}: " if error.filename else ""
        print(f"phenorep: {place}{error.strerror or error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("phenorep: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="phenorep",
        description=f"{__doc__} The workflow itself is run by snakemake; README says how.",
        epilog="phenorep COMMAND --help says more of each.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for add in (_add_table, _add_plan, _add_estimate, _add_normalise, _add_embed, _add_export):
        add(commands)
    return parser


def _add_table(commands) -> None:
    table = _command(commands, "table", _table, "list the images of a microscope's folder as a table, ready for a dataset")
    table.add_argument("folder", help="the folder of one or more plates")
    table.add_argument("--layout", default="auto", help="a file of phenorep/microscopes; auto: the one that fits (default)")
    table.add_argument("--pattern", default="", help="regular expression with groups well, site, channel, ... over paths")
    table.add_argument("--channels", help="w1=DNA,w2=Actin: these channels, under these names")
    table.add_argument("--plates", help="'Plate 1=P1,Plate 2=P2': these plates, under these names")
    table.add_argument("--time", help="which time point, where there are several")
    table.add_argument("--plane", help="which plane, where there are several; 0: the projection that MetaXpress saves")
    table.add_argument("--output", default="plates.csv", help="the table (default: plates.csv)")
    table.add_argument("--plate-map", default="wells.csv", help="a plate map to fill in (default: wells.csv)")


def _add_normalise(commands) -> None:
    normalise = _command(commands, "normalise", _normalise, "apply a fitted profile to embeddings of new plates")
    normalise.add_argument("embeddings", help="results/{dataset}/embeddings/.../{epoch}.parquet, or what `embed` wrote")
    normalise.add_argument("fitted", help="results/{dataset}/profiles/.../{profile}.npz")
    normalise.add_argument("output", help="the profiles (parquet)")


def _add_plan(commands) -> None:
    plan = _command(commands, "plan", _plan, "check a configuration and its tables, and list the scores it asks for")
    plan.add_argument("config", help="the configuration (YAML)")


def _add_estimate(commands) -> None:
    what = "tell what a run will take: jobs, download, disk, hours of processor and GPU"
    estimate = _command(commands, "estimate", _estimate, what)
    estimate.add_argument("config", nargs="+", help="the configuration (YAML); later files change what earlier ones say")
    estimate.add_argument("--cells", action="append", default=[], metavar="DATASET=N", help="nuclei expected in a field")
    estimate.add_argument("--gpu-tflops", type=float, help="10^12 operations a second that a GPU is assumed to do")
    estimate.add_argument("--core-gflops", type=float, help="10^9 operations a second that a core is assumed to do")


def _add_embed(commands) -> None:
    embed = _command(commands, "embed", _embed, "apply a trained encoder to images that are no part of a run", _EMBED)
    embed.add_argument("encoder", help="results/{dataset}/encoders/.../encoder.safetensors")
    embed.add_argument("images", nargs="+", help="a table of fields, samples, or crops; see below")
    embed.add_argument("--output", required=True, help="the embeddings: .parquet, as the workflow writes them, or .csv")
    embed.add_argument(
        "--samples",
        help="how fields are cut, like nuclei:size=64, or a sample set of the file behind --config; default: as the "
        "encoder's file states",
    )
    embed.add_argument("--config", help="YAML with `preprocess`, `samples`, `compute`: its keys change what the file states")
    embed.add_argument(
        "--illumination",
        choices=("plate", "none"),
        help="plate: corrected by a function of each plate's own images, as in the workflow; none: as they are",
    )
    embed.add_argument("--plate-map", help="a table of what the wells hold, joined by well (and plate)")
    embed.add_argument(
        "--channels",
        help="w1=DNA,w2=Actin: which of the table's channels are the encoder's; of crops, their planes in order: DNA,Actin",
    )
    embed.add_argument("--rename", help="Well=Metadata_Well,...: columns of table and plate map that have other names")
    embed.add_argument(
        "--names", choices=("exact", "folded", "distinct"), help="folded: join names that differ in case only"
    )
    embed.add_argument("--images-in", metavar="FOLDER", help="folder of all images, where they were moved since")
    embed.add_argument("--plates", help="P1,P2: use only these plates")
    embed.add_argument("--time", help="which time point, where the table has several")
    embed.add_argument("--plane", help="which focal plane, where the table has several")
    embed.add_argument("--pixel-size-um", help="micrometres in a pixel, where samples are cut by micrometres")
    embed.add_argument("--intensity-max", type=int, help="largest grey value of the camera, if not that of the encoder")
    embed.add_argument("--on-bad-image", choices=("stop", "exclude"), help="exclude: leave out fields that cannot be read")
    embed.add_argument("--device", choices=("auto", "cpu", "cuda"), help="auto: a GPU where there is one (default)")
    embed.add_argument("--batch-size", type=int, help="samples at once; fewer where memory ends, the result is the same")
    embed.add_argument("--threads", type=int, help="processes that cut, threads that compute (default: up to 4)")


def _add_export(commands) -> None:
    export = _command(commands, "export", _export, "write embeddings or profiles as AnnData, for scanpy", _EXPORT)
    export.add_argument("file", nargs="+", help="tables of results/{dataset}/embeddings/ or results/{dataset}/profiles/")
    export.add_argument("output", help="the AnnData file (.h5ad); of several tables, a folder with a file for each")
    export.add_argument(
        "--layer",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="another table of the same rows and features, such as profiles made by other steps; can be given again",
    )


def _command(commands, name: str, run, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter if epilog else argparse.HelpFormatter
    described = {"help": text, "description": f"{text[0].upper()}{text[1:]}.", "epilog": epilog}
    command = commands.add_parser(name, formatter_class=layout, **described)
    command.set_defaults(run=run)
    return command


def _table(options: argparse.Namespace) -> None:
    from phenorep import tabulation

    print(tabulation.write(vars(options)))


def _normalise(options: argparse.Namespace) -> None:
    from phenorep import profiles

    for path, kind in ((options.embeddings, ".parquet"), (options.fitted, ".npz"), (options.output, ".parquet")):
        if Path(path).suffix != kind:
            raise UserError(f"{path}: expected a file that ends in {kind}; the order is EMBEDDINGS FITTED OUTPUT.")
    if Path(options.output).resolve() == Path(options.embeddings).resolve():
        raise UserError(f"{options.output}: these are the embeddings; give the profiles another name.")
    profiles.apply(options.embeddings, options.fitted, options.output)


def _estimate(options: argparse.Namespace) -> None:
    from phenorep import forecast

    print(forecast.of_files(options.config, options.cells, options.gpu_tflops, options.core_gflops))


def _plan(options: argparse.Namespace) -> None:
    from phenorep import inventory
    from phenorep.planning import Plan

    config = configfiles.read(options.config)
    if not isinstance(config, dict):
        raise UserError(f"{options.config}: found {config!r:.60}, expected blocks such as name, datasets and studies.")
    plan = Plan(config)
    scores = inventory.files(plan)["scores"]
    with contextlib.redirect_stdout(sys.stderr):  # what is said is no score
        _check_tables(plan)
    from phenorep import check  # last: it imports torch, for which nobody should wait to be told of a mistake

    check.blocks(config)
    for entry in scores:
        print(entry["path"])


def _check_tables(plan) -> None:
    """Read the user's tables of each dataset that a study uses, or that an encoder learns from."""
    from phenorep import datasets, notes

    names = {study["dataset"] for study in plan.blocks["studies"].values()}
    trained = [source for block in plan.blocks["methods"].values() for source in block.get("train") or []]
    for name in sorted(names | {source["samples"].split("/")[0] for source in trained}):
        module, config = plan.dataset(name)
        if hasattr(module, "check"):
            with datasets.named(name), notes.kept():
                module.check(config)


def _embed(options: argparse.Namespace) -> None:
    from phenorep import applying, notes

    with notes.kept():  # what is read of a table is said once, however often its steps read it
        print(applying.make(vars(options)))


def _export(options: argparse.Namespace) -> None:
    from phenorep import exporting

    layers = {}
    for text in options.layer:
        name, sign, path = text.partition("=")
        if not (name and sign and path) or name in layers:
            raise UserError(f"--layer {text}: expected NAME=FILE.parquet, each name once.")
        layers[name] = Path(path)
    print(exporting.export_all(options.file, options.output, layers, options.command))


if __name__ == "__main__":
    sys.exit(main())
