"""The two ways in which a step ends without a result."""

import re

_LONG = re.compile(r"\S{1000,}")


class UserError(Exception):
    """Something in the input or the configuration is wrong.

    The message is all that is shown: it names the file, the key or column, what was found, what was expected, and the
    remedy. It may quote what somebody else wrote: of a word that is longer than a page the beginning is shown, and of what
    would change the terminal or the direction of writing its code.
    """

    def __str__(self) -> str:
        text = _LONG.sub(lambda word: f"{word[0][:80]}... ({len(word[0])} characters)", super().__str__())
        return "".join(sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in text)


class NotRun(Exception):
    """A step cannot run for a stated reason, which is no fault of the run: weights that cannot be had, a missing column.

    The step's outputs are then written as "not run" records, which later stages pass on and the report lists.
    """
