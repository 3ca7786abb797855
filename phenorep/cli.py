"""The command line for what is done outside the workflow: ``phenorep normalise`` and ``phenorep plan``."""

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
