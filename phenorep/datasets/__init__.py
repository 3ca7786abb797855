"""One file per dataset: which plates it has, where its images come from, and what the experiment was."""

from pathlib import Path

from phenorep import plugins


def configured(block: dict, name: str):
    """The module and the built `Config` of a dataset's block of the resolved configuration."""
    module = plugins.load("datasets", block["use"])
    return module, plugins.configure(module.Config, block["keys"], f"datasets: {name}")


def download(block: dict, archive: str, target: str | Path) -> None:
    """Fill the folder `target` (resources/{dataset}/{archive}) with what one archive holds."""
    target = Path(target)
    module, config = configured(block, target.parent.name)
    target.mkdir(parents=True, exist_ok=True)
    module.download(config, archive, target)
