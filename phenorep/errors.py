"""The two ways in which a step ends without a result."""


class UserError(Exception):
    """Something in the input or the configuration is wrong.

    The message is all that is shown: it names the file, the key or column, what was found, what was expected, and the
    remedy.
    """


class NotRun(Exception):
    """A step cannot run for a stated reason, which is no fault of the run: weights that cannot be had, a missing column.

    The step's outputs are then written as "not run" records, which later stages pass on and the report lists.
    """
