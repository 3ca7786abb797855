"""The program that each of several devices runs: one of the processes that train an encoder together."""

import json
import sys

from phenorep import pretrain
from phenorep.errors import UserError


def main(arguments: list[str]) -> int:
    """Run the job described in a JSON file: the arguments of `pretrain.make`."""
    with open(arguments[0]) as file:
        job = json.load(file)
    try:
        pretrain.run(**job)
    except UserError as error:
        print(f"phenorep: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
