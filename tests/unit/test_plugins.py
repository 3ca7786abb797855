"""Plug-ins are found by file; their keys are known without an import, and checked with types."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import pytest

from phenorep import plugins
from phenorep.errors import UserError


@dataclass(frozen=True)
class Config:
    size: int = 64
    rate: float = 0.1
    name: str = "a"
    flag: bool = False
    mode: Literal["mean", "median"] = "mean"
    shape: tuple[int, ...] = (1, 2)
    limit: int | None = None
    by: str | tuple[str, ...] = "well"
    more: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.size <= 0:
            raise ValueError(f"size must be above 0, not {self.size}")
        if self.limit == 0:
            raise ValueError("limit must be 1 or more")


@pytest.mark.parametrize("kind", plugins.FOLDERS)
def test_keys_read_from_the_syntax_tree_are_those_of_the_class(kind):
    for name in plugins.names(kind):
        module = plugins.load(kind, name)
        assert list(plugins.config_keys(kind, name)) == [plugins._key(f.name) for f in dataclasses.fields(module.Config)], (
            name
        )


@pytest.mark.parametrize("kind", plugins.FOLDERS)
def test_literal_defaults_read_from_the_syntax_tree_are_those_of_the_class(kind):
    for name in plugins.names(kind):
        defaults = plugins.config_keys(kind, name)
        for f in dataclasses.fields(plugins.load(kind, name).Config):
            if defaults[plugins._key(f.name)] is not None:
                assert defaults[plugins._key(f.name)] == f.default, (name, f.name)


@pytest.mark.parametrize("kind", plugins.FOLDERS)
def test_every_plugin_says_what_it_does(kind):
    for name in plugins.names(kind):
        assert len(plugins.load(kind, name).__doc__) > 30, name


def test_text_becomes_the_type_that_is_asked_for():
    values = {"size": "32", "rate": "1e-3", "flag": "true", "shape": ["3", 4], "limit": "5", "by": ["plate", "well"]}
    config = plugins.configure(Config, values, "x")
    assert (config.size, config.rate, config.flag, config.shape, config.limit) == (32, 1e-3, True, (3, 4), 5)
    assert config.by == ("plate", "well")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"siez": 3}, "unknown key 'siez'. Did you mean 'size'?"),
        ({"size": "many"}, "size: found 'many', expected a whole number"),
        ({"size": 1.5}, "size: found 1.5, expected a whole number"),
        ({"size": 0}, "size must be above 0, not 0."),
        ({"limit": 0}, "limit must be 1 or more (found: limit: 0)."),
        ({"size": True}, "size: found true"),
        ({"mode": "medium"}, "mode: 'medium' is not one of mean, median. Did you mean 'median'?"),
        ({"shape": 3}, "shape: found 3, expected a list of whole numbers, like [1, 2]"),
        ({"flag": "perhaps"}, "flag: found 'perhaps', expected true or false"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(values, says):
    with pytest.raises(UserError) as error:
        plugins.configure(Config, values, "methods: x")
    assert str(error.value).startswith("methods: x")
    assert says in str(error.value)


def test_unknown_plugin_is_refused_with_the_nearest_spelling():
    with pytest.raises(UserError, match="Did you mean 'simclr'"):
        plugins.load("methods", "simcrl")
