"""The command line for what is done outside the workflow: ``python -m phenorep table``, ``normalise`` and ``plan``."""

import argparse
import sys

import yaml

from phenorep import __version__
from phenorep.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a user's own mistake is a message and exit status 1, never a traceback."""
    parser = argparse.ArgumentParser(prog="phenorep", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    table = commands.add_parser("table", help="list the images of a microscope's folder as a table, ready for a dataset")
    table.add_argument("folder", help="the folder of one or more plates")
    table.add_argument("--layout", default="auto", help="a file of phenorep/microscopes; auto: the one that fits (default)")
    table.add_argument("--pattern", default="", help="regular expression with groups well, site, channel, ... over paths")
    table.add_argument("--channels", help="w1=DNA,w2=Actin: these channels, under these names")
    table.add_argument("--plates", help="'Plate 1=P1,Plate 2=P2': these plates, under these names")
    table.add_argument("--time", help="which time point, where there are several")
    table.add_argument("--plane", help="which plane, where there are several; 0: the projection that MetaXpress saves")
    table.add_argument("--output", default="plates.csv", help="the table (default: plates.csv)")
    table.add_argument("--plate-map", default="wells.csv", help="a plate map to fill in (default: wells.csv)")
    table.set_defaults(run=_table)

    normalise = commands.add_parser("normalise", help="apply a fitted profile to embeddings of new plates")
    normalise.add_argument("embeddings", help="results/{dataset}/embeddings/.../{epoch}.parquet of the new plates")
    normalise.add_argument("fitted", help="results/{dataset}/profiles/.../{profile}.npz")
    normalise.add_argument("output", help="the profiles (parquet)")
    normalise.set_defaults(run=_normalise)

    plan = commands.add_parser("plan", help="check a configuration and list the scores it asks for, without Snakemake")
    plan.add_argument("config", help="the configuration (YAML)")
    plan.set_defaults(run=_plan)

    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except UserError as error:
        print(f"phenorep: {error}", file=sys.stderr)
        return 1
    return 0


def _table(options: argparse.Namespace) -> None:
    from phenorep import tabulation

    print(tabulation.write(vars(options)))


def _normalise(options: argparse.Namespace) -> None:
    from phenorep import profiles

    profiles.apply(options.embeddings, options.fitted, options.output)


def _plan(options: argparse.Namespace) -> None:
    from phenorep import inventory
    from phenorep.planning import Plan

    try:
        with open(options.config) as file:
            config = yaml.safe_load(file)
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{options.config}: cannot be read as YAML ({error}).") from error
    for entry in inventory.files(Plan(config))["scores"]:
        print(entry["path"])


if __name__ == "__main__":
    sys.exit(main())
