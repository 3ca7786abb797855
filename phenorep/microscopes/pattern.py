r"""Any other folder: a regular expression says what the images' names mean.

It is sought in each image's path from the folder, with slashes, and has named groups: ``well`` (or ``row`` and ``column``),
and as far as names tell, ``plate`` (otherwise the folder's name), ``site`` and ``channel`` (otherwise one), ``time`` and
``plane``. For `P1/B-02_f3_DAPI.png`: ``(?P<plate>[^/]+)/(?P<row>[A-H])-(?P<column>\d+)_f(?P<site>\d+)_(?P<channel>\w+)``.
"""

import re
from collections import Counter

from phenorep import plugins
from phenorep.errors import UserError
from phenorep.fields import well_name
from phenorep.microscopes import Acquisition, Image, Listing, row_letters

GROUPS = ("plate", "well", "row", "column", "site", "channel", "time", "plane")
ONLY_CHANNEL = "channel1"  # where names do not tell channels apart


def recognises(listing: Listing) -> bool:
    """Whether there is a regular expression: nobody gives one without need."""
    return bool(listing.pattern)


def tables(listing: Listing) -> list[str]:  # noqa: ARG001
    """None: names say it all."""
    return []


def read(listing: Listing, plate: str | None = None) -> Acquisition:  # noqa: ARG001 (names are read at once)
    """What the regular expression finds in the images' names.

    Raises
    ------
    UserError
        If there is no expression, its groups do not tell wells, or it fits no image.
    """
    expression = compiled(listing.pattern)
    matches = [(path, expression.search(path)) for path in listing.images]
    images = [_image(listing, path, match.groupdict()) for path, match in matches if match]
    if not images:
        raise UserError(
            f"{listing.root}: pattern: {listing.pattern!r} is found in none of the {len(matches)} images' paths; the first "
            f"is {matches[0][0]}. Change 'pattern:' (--pattern)."
        )
    return Acquisition(images, Counter({"images that the pattern does not fit": len(matches) - len(images)}))


def compiled(pattern: str) -> re.Pattern:
    """The regular expression, with its groups checked."""
    if not pattern:
        raise UserError("layout: pattern needs 'pattern:' (--pattern), a regular expression with a group (?P<well>...).")
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"pattern: {pattern!r} is no regular expression ({error}).") from error
    groups = set(expression.groupindex)
    for group in sorted(groups - set(GROUPS)):
        raise UserError(f"pattern: there is no meaning for a group '{group}'. {plugins.suggest(group, GROUPS)}")
    if "well" not in groups and not {"row", "column"} <= groups:
        raise UserError(f"pattern: {pattern!r} has no group (?P<well>...), nor (?P<row>...) and (?P<column>...).")
    return expression


def _image(listing: Listing, path: str, found: dict[str, str | None]) -> Image:
    where = f"{listing.root / path} ('pattern:')"
    numbers = {"time": 1, "plane": 0}
    for group in numbers:
        text = found.get(group)
        if text:
            if not text.isdecimal():
                raise UserError(f"{where}: {group}: {text!r} is no number. Let the group hold digits only.")
            numbers[group] = int(text)
    site = found.get("site") or "1"
    channel = found.get("channel") or ONLY_CHANNEL
    return Image(
        found.get("plate") or listing.name_of(""),
        _well(found, where),
        str(int(site)) if site.isdecimal() else site,
        channel,
        channel,
        numbers["time"],
        numbers["plane"],
        path,
    )


def _well(found: dict[str, str | None], where: str) -> str:
    if found.get("well"):
        return well_name(found["well"], where)
    row = found.get("row") or ""
    return well_name(f"{row_letters(int(row)) if row.isdecimal() else row}{found.get('column') or ''}", where)
