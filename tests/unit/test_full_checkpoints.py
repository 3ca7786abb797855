"""Full checkpoints of DINO: student and teacher take their own backbones and heads; what does not fit is named."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from phenorep import encoders, full_checkpoints, plugins, pretrain, weights
from phenorep.batches import Source, Sources
from phenorep.errors import NotRun, UserError
from phenorep.methods import dino
from phenorep.recipes import Batch
from phenorep.store import Samples

HIDDEN, BOTTLENECK, OUTPUTS, FEATURES = 24, 8, 20, 64
KEYS = {
    "backbone": "test_vit",
    "global_size": 160,
    "local_size": 32,
    "local_crops": 1,
    "batch_size": 4,
    "epochs": 1,
    "warmup_epochs": 0,
    "head": [HIDDEN, BOTTLENECK],
    "output_dim": OUTPUTS,
    "freeze_last_layer": 0,
}


class Head(nn.Module):
    """DINOHead of facebookresearch/dino, written from its description: layers with GELU, a direction, its prototypes."""

    def __init__(self):
        super().__init__()
        widths = ((FEATURES, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, BOTTLENECK))
        first, second, third = (nn.Linear(*pair) for pair in widths)
        self.mlp = nn.Sequential(first, nn.GELU(), second, nn.GELU(), third)
        self.last_layer = nn.utils.weight_norm(nn.Linear(BOTTLENECK, OUTPUTS, bias=False))

    def forward(self, features):
        return self.last_layer(nn.functional.normalize(self.mlp(features), dim=-1))


def network(seed: int) -> nn.ModuleDict:
    """Backbone and head of a student or teacher; the head's last layer has rows of any length."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = nn.ModuleDict({"backbone": encoders.backbone("test_vit", 3), "head": Head()}).eval()
        made["head"].last_layer.weight_g.data.uniform_(0.5, 2)
    return made


def content(**other) -> dict:
    """A checkpoint as DINO's training saves it."""
    student = {f"module.{name}": value for name, value in network(1).state_dict().items()}
    return {"student": student, "teacher": dict(network(2).state_dict()), "epoch": 300, **other}


@pytest.fixture
def checkpoint(tmp_path) -> str:
    arguments = argparse.Namespace(arch="vit_small", output_dir=Path("somewhere"))  # as of a job on a cluster
    torch.save(content(args=arguments), tmp_path / "full.pth")
    return str(tmp_path / "full.pth")


@pytest.fixture(scope="module")
def sources(files) -> Sources:
    return Sources([Source.choose("made/cells", Samples.open(*files.values()))], ["DNA"])


def recipe_of(sources, path, **keys) -> dino.Recipe:
    keys = KEYS | {"weights": path, "head_weights": "checkpoint", "channels": ["DNA"]} | keys
    return pretrain.build(dino.Recipe, plugins.configure(dino.Config, keys, "dino"), sources, seed=0)


@pytest.mark.parametrize("norm_last_layer", [False, True])
def test_student_and_teacher_answer_as_their_own_networks_do(sources, checkpoint, norm_last_layer):
    """Against backbone and head in plain torch: a grey image, by the backbone alone and with its head behind it."""
    recipe = recipe_of(sources, checkpoint, norm_last_layer=norm_last_layer).eval()
    grey = torch.rand(3, 1, 160, 160)
    pairs = ((1, recipe.encoder, recipe.head), (2, recipe.teacher, recipe.teacher_head))
    for seed, encoder, head in pairs:
        published = network(seed)
        if norm_last_layer:
            published["head"].last_layer.weight_g.data.fill_(1)
        with torch.inference_mode():
            features = published["backbone"](grey.expand(-1, 3, -1, -1))
            torch.testing.assert_close(encoder(grey), features, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(head(features), published["head"](features), rtol=1e-5, atol=1e-6)
    assert recipe.head.last_layer.weight_g.requires_grad == (not norm_last_layer)
    assert not any(value.requires_grad for value in recipe.teacher_head.parameters())
    assert not recipe.loss.center.any(), "the published files have no centre"


def test_a_step_of_training_moves_the_student_and_pulls_the_teacher(sources, checkpoint):
    recipe = recipe_of(sources, checkpoint, norm_last_layer=False, momentum_teacher=0.5)
    raw = sources.read(np.arange(4))
    images = raw.scaled("plate")
    before = {name: value.clone() for name, value in recipe.state_dict().items()}
    optimiser = torch.optim.SGD(recipe.parameter_groups(), lr=0.1)
    recipe.train()
    recipe(Batch(images, raw.labels, raw.rows, raw.means, raw.stds, 0.0)).backward()
    optimiser.step()
    recipe.on_step_end(0.0)
    after = recipe.state_dict()
    for name in ("encoder.patch_embed.proj.weight", "head.last_layer.weight_g", "head.layers.0.weight"):
        assert not torch.equal(after[name], before[name])
        taught = name.replace("encoder.", "teacher.").replace("head.", "teacher_head.")
        torch.testing.assert_close(after[taught], (before[taught] + after[name]) / 2)


def test_the_centre_is_taken_where_a_file_has_it(tmp_path, sources):
    center = torch.linspace(-1, 1, OUTPUTS)[None]
    torch.save(content(dino_loss={"center": center}), tmp_path / "full.pth")
    assert torch.equal(recipe_of(sources, str(tmp_path / "full.pth")).loss.center.reshape(1, -1), center)
    torch.save(content(dino_loss={"center": center[:, 1:]}), tmp_path / "full.pth")
    with pytest.raises(UserError, match=rf"the centre .* shape \(1, {OUTPUTS - 1}\)"):
        recipe_of(sources, str(tmp_path / "full.pth"))


def test_init_takes_the_place_of_both_backbones(sources, checkpoint):
    recipe = recipe_of(sources, checkpoint)
    heads = [
        {name: value.clone() for name, value in head.state_dict().items()} for head in (recipe.head, recipe.teacher_head)
    ]
    other = {name: torch.full_like(value, 0.01) for name, value in recipe.encoder.state_dict().items()}
    recipe.encoder.load_state_dict(other)
    recipe.on_weights_loaded()
    assert all(torch.equal(value, other[name]) for name, value in recipe.teacher.state_dict().items())
    for head, kept in zip((recipe.head, recipe.teacher_head), heads, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in head.state_dict().items())


def test_random_heads_are_as_drawn_whatever_the_file_holds(tmp_path, sources):
    """A training starts from the same numbers, be it a full checkpoint or its teacher's backbone alone."""
    path = tmp_path / "weights.pth"
    states = []
    for saved in (dict(network(2)["backbone"].state_dict()), content()):
        torch.save(saved, path)
        states.append(recipe_of(sources, str(path), head_weights="random").state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert torch.equal(states[0]["head.last_layer.weight_v"], states[0]["teacher_head.last_layer.weight_v"])
    taught = recipe_of(sources, str(path)).state_dict()
    assert {name.split(".")[0] for name in taught if not torch.equal(taught[name], states[0][name])} == {
        *("encoder", "head", "teacher_head")  # the teacher's backbone is the one that is published alone
    }


def without(name: str) -> dict:
    made = content()
    del made["teacher"][name]
    return made


def misshapen(name: str) -> dict:
    made = content()
    made["student"][name] = made["student"][name][..., 1:]
    return made


def headless(entry: str) -> dict:
    made = content()
    made[entry] = {name: value for name, value in made[entry].items() if "head" not in name}
    return made


@pytest.mark.parametrize(
    ("made", "keys", "message"),
    [
        (network(2)["backbone"].state_dict(), {}, "holds no 'student'.*full checkpoint of DINO.*head_weights: random"),
        (headless("student"), {}, "the student has no head.*head_weights: random"),
        (headless("teacher"), {}, "the teacher has no head"),
        (without("head.mlp.2.bias"), {}, "teacher: has no weights 'head.mlp.2.bias'"),
        (without("backbone.norm.weight"), {}, "teacher: has no weights 'norm.weight'"),
        (
            misshapen("module.head.mlp.2.weight"),
            {},
            r"student: weights 'head.mlp.2.weight' have shape \(24, 23\); .*\(24, 24\)",
        ),
        (
            misshapen("module.backbone.blocks.0.attn.qkv.weight"),
            {},
            r"student: weights 'blocks.0.attn.qkv.weight' have shape",
        ),
        (content(), {"output_dim": 30}, r"20 outputs; .* output_dim: 30\. Set head: \[24, 8\] and output_dim: 20\."),
        (content(), {"head": [24, 9]}, r"configured are head: \[24, 9\].*Set head: \[24, 8\]"),
        (content(), {"backbone": "test_vit2"}, r"the backbone test_vit2 "),
        (content(), {"global_size": 96}, "set global_size to what test_vit was published for"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, sources, made, keys, message):
    torch.save(made, tmp_path / "full.pth")
    with pytest.raises(UserError, match=message):
        recipe_of(sources, str(tmp_path / "full.pth"), **keys)


@pytest.mark.parametrize("source", ["none", "package"])
def test_heads_of_no_file_are_refused(sources, source):
    with pytest.raises(UserError, match=rf"head_weights: checkpoint needs .* which weights: {source} is not"):
        recipe_of(sources, source)


def test_a_backbone_whose_full_checkpoint_is_not_published():
    config = plugins.configure(dino.Config, KEYS | {"weights": "download", "head_weights": "checkpoint"}, "dino")
    with pytest.raises(UserError, match="no full checkpoint of 'test_vit' is published"):
        dino.Recipe.check(config)


def test_the_published_one_is_fetched_once(tmp_path, monkeypatch):
    asked = []

    def fetch(address, target, progress):
        asked.append(address)
        torch.save(content(), target)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for _ in range(2):
        found = full_checkpoints.read("download", "vit_small_patch8_224.dino")
    assert torch.equal(found.teacher.head["mlp.0.weight"], network(2)["head"].mlp[0].weight)
    folder = "https://dl.fbaipublicfiles.com/dino/dino_deitsmall8_pretrain"
    assert asked == [f"{folder}/dino_deitsmall8_pretrain_full_checkpoint.pth"]


def test_one_that_cannot_be_had_or_came_in_part_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "_fetch", lambda name: pytest.fail("it is not the backbone alone that is asked for"))

    def unreachable(address, target, progress):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(NotRun, match=r"full_checkpoint.pth cannot be downloaded \(ConnectionError: no route to host\)"):
        full_checkpoints.read("download", "vit_small_patch8_224.dino")
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda address, target, progress: Path(target).write_bytes(b"PK"))
    with pytest.raises(NotRun, match="what came cannot be read and was removed: run again"):
        full_checkpoints.read("download", "vit_small_patch8_224.dino")
    assert list((tmp_path / "checkpoints").iterdir()) == []
