"""Which epochs of a training are kept beside its end: the key ``save_epochs``, as planning and training read it."""

KEYS = ("every", "from", "to")


def numbers(wanted: dict | list | tuple | None, epochs: int | str) -> list[int]:
    """Numbers of the epochs whose encoders are kept; 0 is the untrained one.

    Parameters
    ----------
    wanted
        ``{every: 5, from: 50, to: 250}`` (``from`` is `every` by default, ``to`` the last epoch), a list of epochs, or None.
    epochs
        Length of the training.

    Returns
    -------
    list of int
        In ascending order, each once.

    Raises
    ------
    ValueError
        If `wanted` is neither, or reaches beyond the training.
    """
    if wanted is None:
        return []
    epochs = _number(epochs, "epochs")
    if isinstance(wanted, dict):
        if "every" not in wanted or set(wanted) - set(KEYS):
            raise ValueError(f"save_epochs must be {{every: N}}, also with from: and to:, or a list of epochs, not {wanted}")
        every = _number(wanted["every"], "save_epochs: every")
        if every < 1:
            raise ValueError(f"save_epochs: every must be at least 1, not {every}")
        first, last = (
            _number(wanted.get(key, end), f"save_epochs: {key}") for key, end in (("from", every), ("to", epochs))
        )
        # `every` alone may be longer than a training that was shortened: then none is kept.
        if "from" in wanted and first > last:
            raise ValueError(f"save_epochs: from ({first}) must not be after to ({last}); the training has {epochs} epochs")
        found = list(range(first, last + 1, every))
        highest = last
    elif isinstance(wanted, list | tuple):
        found = sorted({_number(epoch, "save_epochs") for epoch in wanted})
        highest = max(found, default=0)
    else:
        raise ValueError(f"save_epochs must be {{every: N}}, also with from: and to:, or a list of epochs, not {wanted!r}")
    if highest > epochs:
        raise ValueError(f"save_epochs must lie between 0 and epochs ({epochs}), not at {highest}")
    return found


def _number(value: object, name: str) -> int:
    """A whole number from 0; it may be text, from --config."""
    if isinstance(value, bool) or not str(value).isdecimal():
        raise ValueError(f"{name} must be a whole number from 0, not {value!r}")
    return int(value)
