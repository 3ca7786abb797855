"""The page on which a run ends: which representation for which task, and how sure that is."""

from collections.abc import Iterable


def make(
    plan: dict,
    output: str,
    figures: str,
    config: str | None = None,
    plates: str | None = None,
    maps: str | None = None,
    configfiles: Iterable[str] = (),
) -> None:
    """Write the report of a run: one page that needs no other file, its figures with their data, and pages beside it.

    Parameters
    ----------
    plan
        What was planned, as plain JSON values: ``name``, the resolved ``config``, ``studies``, ``datasets``, ``skipped``,
        ``not_applicable``, ``engine``, ``cleaned`` (sample sets from which abnormal images are left out: ``dataset``,
        ``samples``, ``parent``, ``where``) and ``files`` (the paths of scores, answers and costs; of details, profiles,
        training curves, illumination functions, qualities, samples, fields and abnormalities, each with its wildcards).
    output
        The page, HTML.
    figures
        Folder for the figures (SVG) and the data behind each (CSV).
    config
        Where to write the resolved configuration (YAML); it stands on the page too.
    plates, maps
        Folders for the pages of single plates and for maps that can be explored; by default beside the page.
    configfiles
        What the run was configured by: it stands in the commands that the page gives.

    Raises
    ------
    UserError
        If the scores or the answers cannot be read. Whatever else is missing or did not run is listed on the page.
    """
    from phenorep.report import page

    page.make(plan, output, figures, config, plates, maps, configfiles)
