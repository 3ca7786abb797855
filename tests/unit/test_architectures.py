"""Architectures are known by name without an import of timm, and are all that it has."""

import pytest
import timm

from phenorep import architectures
from phenorep.errors import UserError


def test_names_are_those_that_timm_lists():
    assert architectures.names() == frozenset(timm.list_models())


def test_a_name_may_say_of_which_weights():
    architectures.check("resnet18")
    architectures.check("resnet18.a1_in1k")


@pytest.mark.parametrize(("name", "remedy"), [("resnet181", "Did you mean 'resnet18'"), ("x", "timm.list_models()")])
def test_other_names_are_refused(name, remedy):
    with pytest.raises(UserError, match=f"backbone: timm has no architecture '{name}'") as refused:
        architectures.check(name)
    assert remedy in str(refused.value)
