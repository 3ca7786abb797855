"""Configurations that are not what they should be: nothing is run, nothing grows, and what is refused says where."""

import copy
import os

import pytest
import yaml

from phenorep import check, configfiles  # noqa: F401 (`plan` imports check, with torch: here, before memory is counted)
from phenorep.cli import main
from phenorep.planning import Plan
from tests.workflow.conftest import SCREEN

from .bounded import bounded, told

TEXT = yaml.safe_dump(SCREEN)


def planned(path):
    """What `phenorep plan` does, which exits with 1 where a user is told something."""
    return main(["plan", str(path)])


def refusal(tmp_path, capfd, text, **limits):
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = bounded(planned, path, **limits)
    assert ended == ("result", 1), ended.value
    message = capfd.readouterr().err
    assert "Traceback" not in message
    assert len(message) < 3000
    return message


def laughs(depth, block):
    """Aliases of aliases: 2 to the power of `depth` values in a few lines."""
    pairs = ("{{x: *a{0}, y: *a{0}}}" if block else "[*a{0}, *a{0}]").format
    inner = [f"a0: &a0 {'{k: v}' if block else '[x]'}", *(f"a{n}: &a{n} {pairs(n - 1)}" for n in range(1, depth))]
    return TEXT.replace("  screen:\n", "  screen:\n    " + "\n    ".join(inner) + "\n")


@pytest.mark.parametrize("block", [True, False])
def test_aliases_without_end(tmp_path, capfd, block):
    assert "more than 200000 values" in refusal(tmp_path, capfd, laughs(40, block), memory=1 << 29)
    assert "more than 50 deep" in refusal(tmp_path, capfd, "name: tiny\nstudies: &a [*a, *a]\n", memory=1 << 29)


def test_what_snakemake_has_read_is_counted_too():
    bomb = {"k": "v"}
    for _ in range(100):
        bomb = {"x": bomb, "y": bomb}
    for place in ("datasets", "profiles", "annotations", "preprocess"):
        config = copy.deepcopy(SCREEN) | {place: bomb}
        message = told(Plan, config, memory=1 << 29)
        assert "values" in message or "deep" in message


def test_deep_blocks(tmp_path, capfd):
    assert "blocks within blocks" in refusal(tmp_path, capfd, f"name: {'[' * 60}{']' * 60}\n")
    assert "YAML" in refusal(tmp_path, capfd, "[" * 20_000, seconds=120)


@pytest.mark.parametrize(
    "text",
    [
        '!!python/object/apply:os.system ["touch made"]',
        'name: !!python/object/new:os.system ["touch made"]',
        "name: !!python/name:os.system",
        '__use_yte__: true\n?__import__("os").system("touch made"): 1\n',
        '__use_yte__: true\nname: ?__import__("os").system("touch made")\n',
    ],
)
def test_no_code_is_run(tmp_path, capfd, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    refusal(tmp_path, capfd, text)
    assert os.listdir(tmp_path) == ["config.yaml"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TEXT + "name: other\n", "'name' stands in one block twice, in lines"),
        (TEXT.replace("  random:", "  random: {}\n  random:"), "'random' stands in one block twice"),
        (TEXT.encode("utf-16-le"), "YAML"),
        (b"name: \xe9\n", "not UTF-8"),
        ("name: a\0b\n", "YAML"),
        ("name: a\n\tdatasets: b\n", "never by tabs"),
        ("name: 2020-13-45\n", "month"),
        ("name: " + "9" * 5000 + "\n", "digits"),
        ("a: *b\n", "undefined alias"),
        ("a: &a {<<: *a}\n", "a"),
        ("? [a]\n: b\n", "unhashable"),
        (TEXT + "---\n" + TEXT, "single document"),
        ("", "found"),
        ("[a, b]", "found"),
        (os.urandom(0) + bytes(range(128, 256)), "not UTF-8"),
        (TEXT + "1: x\n", "1"),
        (TEXT.replace("name: tiny", "name: 2020-01-01"), "name"),
        (TEXT.replace("name: tiny", "name: no"), "name"),
        (TEXT.replace("  raw:", "  on:"), "true"),
        (TEXT.replace("name: tiny", 'name: "a\\n"'), "cannot name a file"),
        (TEXT.replace("  raw:", '  "a\\n":'), "cannot name a file"),
        (TEXT.replace("name: tiny", f"name: {'a' * 300}"), "cannot name a file"),
        (TEXT.replace("name: tiny", 'name: "{plate}"'), "cannot name a file"),
        (TEXT.replace("name: tiny", 'name: "../x"'), "cannot name a file"),
    ],
)
def test_what_is_no_configuration(tmp_path, capfd, text, says):
    assert says in refusal(tmp_path, capfd, text)


def test_what_is_common_stays_allowed(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: [*a, *a]\n")
    assert configfiles.read(path) == {"a": {"x": 1}, "b": {"x": 2}, "c": [{"x": 1}, {"x": 1}]}
    path.write_text("\ufeff" + TEXT)
    assert configfiles.read(path) == SCREEN


def test_wrong_values_everywhere():
    """Each value of a configuration in turn becomes something else: it is planned, or the user is told."""

    def places(value, path=()):
        yield path
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            yield from places(value[key], (*path, key))

    wrong = [None, -1, float("nan"), "a\0b", ["x"], [["x"]], {"x": 1}, {None: 1}]
    whole = SCREEN | {
        "annotations": {},
        "abnormality": None,
        "annotate": {},
        "preprocess": {"engine": "native"},
        "compute": {},
    }

    def all_of_them():
        broken = []
        for path in list(places(whole))[1:]:
            for value in wrong:
                config = copy.deepcopy(whole)
                place = config
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = value
                ended = bounded_in_place(config)
                if ended:
                    broken.append((path, value, ended))
        return broken

    assert bounded(all_of_them, seconds=120) == ("result", [])


def bounded_in_place(config):
    """The error that is none of a user's, or nothing."""
    from phenorep.errors import UserError

    try:
        Plan(config)
    except UserError:
        return None
    except Exception as error:
        return repr(error)
    return None
