"""Parts of sentences that several messages need."""

from collections.abc import Iterable

SHOWN = 8  # items that a message lists
# What R, pandas and people write where there is no value, in small letters.
WORDS_FOR_NONE = frozenset({"na", "n/a", "n.a.", "#n/a", "n.d.", "nan", "null", "none", "<na>"})


def listed(items: Iterable, shown: int = SHOWN, between: str = ", ") -> str:
    """Items for a message; of many the first, and how many more there are."""
    items = [str(item) for item in items]
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return between.join(items[:shown]) + more
