"""Attention of the class token: what is read out of the network, what it is compared with, and the figure."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch

from phenorep import contracts, encoders, evaluations, plugins, pretrain
from phenorep.errors import NotRun, UserError
from phenorep.evaluations import attention
from phenorep.methods.pretrained import ColourNetwork
from phenorep.report import attention as drawn
from phenorep.report import drawing, sections
from tests.unit import made_samples

SMALL = {"depth": 2, "embed_dim": 64, "num_heads": 2}
ROW = {"dataset": "made", "samples": "cells", "method": "m", "seed": "0", "epoch": "final", "profile": "none"}


def network(name, channels=2, size=(64, 64), **options):
    torch.manual_seed(0)
    return encoders.backbone(name, channels, size, **options)


def encoder(net, backbone="made"):
    facts = {"channels": ["A", "B"], "features": 64, "input_size": [64, 64], "scaling": "range", "recipe": "random"}
    return encoders.Encoder(net, facts | {"config": {"backbone": backbone}})


def pixels(height, width, count=3):
    blocks = np.random.default_rng(0).integers(0, 65536, (count, 2, -(-height // 8), -(-width // 8)))
    images = np.kron(blocks, np.ones((8, 8)))[..., :height, :width].astype(np.uint16)
    return torch.from_numpy(images), torch.zeros(count, 2), torch.ones(count, 2)


def written_out(made, images, means, stds):
    """The same attention by the slow way: the last layer computes all weights, which are taken where dropout sees them."""
    transformer = next(module for module in made.network.modules() if hasattr(module, "num_prefix_tokens"))
    layer, seen = transformer.blocks[-1].attn, []
    layer.fused_attn = False
    hook = layer.attn_drop.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    made.embed(images, means, stds)
    hook.remove()
    layer.fused_attn = True
    row = seen[0][:, :, 0, transformer.num_prefix_tokens :]
    return row / row.sum(dim=-1, keepdim=True)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", SMALL),
        ("vit_small_patch14_reg4_dinov2", SMALL),  # registers
        ("deit_tiny_distilled_patch16_224", SMALL),  # a second prefix token
        ("vit_small_patch16_dinov3", SMALL | {"global_pool": "token"}),  # rotated queries and keys
        ("beit_base_patch16_224", SMALL | {"global_pool": "token"}),  # a bias of relative positions
    ],
)
def test_attention_is_what_the_last_layer_computes(name, options):
    side = 14 if "patch14" in name else 16
    made = encoder(network(name, **options))
    with torch.no_grad():  # far from even, as after training: else all maps are alike
        made.network.blocks[-1].attn.qkv.weight.normal_(std=0.2)
        made.network.cls_token.normal_()
        if "beit" in name:  # as published, the class token's bias is the same for all patches and would cancel
            layer = made.network.blocks[-1].attn
            layer.relative_position_bias_table.normal_()
            layer.relative_position_index.random_(len(layer.relative_position_bias_table))
    found, patch = attention.class_attention(made, *pixels(64, 64))
    expected = written_out(made, *pixels(64, 64))
    assert found.std() > 0.1 * found.mean()
    torch.testing.assert_close(found[:, 0].flatten(2), expected, atol=1e-6, rtol=1e-5)
    assert patch == (side, side)
    assert found.shape == (3, 1, 2, -(-64 // side), -(-64 // side))


def test_oblong_samples_keep_their_rows_and_columns():
    made = encoder(network("vit_tiny_patch16_224", **SMALL))
    images, means, stds = pixels(40, 96)
    found, patch = attention.class_attention(made, images, means, stds)
    assert found.shape == (3, 1, 2, 3, 6)  # the last row of patches reaches beyond the border
    assert patch == (16, 16)
    torch.testing.assert_close(found.sum(dim=(-2, -1)), torch.ones(3, 1, 2))
    torch.testing.assert_close(found[:, 0].flatten(2), written_out(made, images, means, stds))


def test_each_channel_shown_alone_has_its_own_map():
    torch.manual_seed(0)
    inner = network("vit_tiny_patch16_224", channels=3, **SMALL)
    made = encoder(ColourNetwork(inner, 2, separate=True, flip=False, resize=64))
    images, means, stds = pixels(32, 48)
    found, patch = attention.class_attention(made, images, means, stds)
    assert found.shape == (3, 2, 2, 4, 6)
    assert patch == (8, 8)  # of the sample, which the network sees at twice its size
    images[:, 1] = images.flip(0)[:, 1]
    other, _ = attention.class_attention(made, images, means, stds)
    torch.testing.assert_close(other[:, 0], found[:, 0])
    torch.testing.assert_close(other[:, 1], found.flip(0)[:, 1])


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("resnet10t", {}, "resnet10t has no class token"),
        ("test_vit2", {}, "not the output of a class token"),  # none at all
        ("vit_tiny_patch16_224", SMALL | {"global_pool": "avg"}, "not the output of a class token"),  # one that is not read
    ],
)
def test_without_a_class_token_it_does_not_run(name, options, reason):
    with pytest.raises(NotRun, match=reason):
        attention.class_attention(encoder(network(name, **options), name), *pixels(64, 64))


def test_share_of_the_foreground_is_right_where_it_is_known():
    mask = np.zeros((1, 32, 48), bool)
    mask[0, 5:15, 20:40] = True
    inside, area = attention.cover(mask, (4, 6), (8, 8))
    assert area.tolist() == [[64] * 6] * 4
    assert inside.sum() == mask.sum()
    even = np.full((1, 4, 6), 1 / 24)
    assert attention.foreground_share(even, inside, area)[0] == pytest.approx(mask.mean())
    whole = np.zeros((1, 4, 6))
    whole[0, 1, 3] = 1  # rows 8 to 15, of which 7 are lit; columns 24 to 31, all lit
    assert attention.foreground_share(whole, inside, area)[0] == pytest.approx(7 / 8)
    whole[0, 1, 3], whole[0, 3, 0] = 0.25, 0.75
    assert attention.foreground_share(whole, inside, area)[0] == pytest.approx(0.25 * 7 / 8)
    everywhere, area = attention.cover(np.ones((1, 32, 48), bool), (4, 6), (8, 8))
    assert attention.foreground_share(even, everywhere, area)[0] == pytest.approx(1)


def test_patches_beyond_the_border_and_of_broken_size_cover_each_pixel_once():
    mask = np.random.default_rng(0).random((2, 21, 30)) > 0.5
    inside, area = attention.cover(mask, (3, 4), (21 / 2.5, 7.5))
    assert area.sum() == pytest.approx(21 * 30)
    assert area[2, 0] == pytest.approx(21 / 5 * 7.5)  # half of the last row lies beyond
    np.testing.assert_allclose(inside.sum(axis=(1, 2)), mask.sum(axis=(1, 2)))


def test_intersection_over_union_of_known_masks():
    mask = np.zeros((1, 4, 4), bool)
    mask[0, :2, :2] = True
    inside, area = attention.cover(mask, (2, 2), (2, 2))
    cases = [
        ([0.7, 0.1, 0.1, 0.1], 1.0),  # the lit patch alone holds the mass
        ([0.1, 0.7, 0.1, 0.1], 0.0),
        ([0.4, 0.3, 0.2, 0.1], 1 / 2),  # two patches are needed
        ([0.6, 0.4, 0.0, 0.0], 1.0),  # exactly the mass
    ]
    for values, expected in cases:
        found = attention.iou(np.array(values).reshape(1, 2, 2), inside, area, 0.6)
        assert found[0] == pytest.approx(expected)


def test_foreground_is_what_is_bright():
    image = np.full((8, 8), 100.0)
    image[2:5, 3:6] = 1000
    assert (attention.foreground(image) == (image > 500)).all()
    assert not attention.foreground(np.full((8, 8), 7.0)).any()


def test_drawn_samples_take_turns_and_exchanged_ones_are_others():
    generator = np.random.default_rng(0)
    groups = pd.Series(["a"] * 50 + ["b"] * 3 + ["c"])
    drawn_rows = attention._spread(groups, 6, generator)
    assert groups.iloc[drawn_rows].value_counts().to_dict() == {"a": 3, "b": 2, "c": 1} or (
        groups.iloc[drawn_rows].value_counts().to_dict() == {"a": 2, "b": 3, "c": 1}
    )
    assert set(groups.iloc[drawn_rows[:3]]) == {"a", "b", "c"}
    assert sorted(attention._spread(groups, 100, generator)) == list(range(54))
    for _ in range(20):
        other = attention._others(5, generator)
        assert sorted(other) == [0, 1, 2, 3, 4]
        assert (other != np.arange(5)).all()


@pytest.mark.parametrize("keys", [{"samples": 1}, {"shown": 65}, {"mass": 1.0}, {"batch_size": 0}, {"permutations": 0}])
def test_wrong_keys_are_named(keys):
    with pytest.raises(UserError, match=next(iter(keys))):
        plugins.configure(attention.Config, keys, "evaluations: attention")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two plates of samples, an untrained transformer, and its evaluation."""
    folder = tmp_path_factory.mktemp("attention")
    files = made_samples.write(folder / "samples", count=8, size=(40, 56))
    for recipe, backbone in (("random", "test_vit"), ("convolution", "resnet10t")):
        arguments = made_samples.pretrain_arguments(folder / recipe, files, "random", {"backbone": backbone})
        pretrain.make(**arguments)
    return folder, files


def evaluate(made, out="a", recipe="random", by=None, **keys):
    folder, files = made
    paths = [folder / f"{out}.csv", folder / f"{out}.parquet"]
    evaluation = {"use": "attention", "keys": {"samples": 12, "shown": 3, "batch_size": 5} | keys, "by": by}
    weights = str(folder / recipe / "encoder.safetensors")
    evaluations.make(evaluation, files, weights, ROW | {"evaluation": "attention"}, {"device": "cpu"}, *paths)
    return contracts.read_scores(paths[0]), contracts.read_table(paths[1], "details")


def test_scores_details_and_their_control(made):
    scores, details = evaluate(made)
    assert set(zip(scores["metric"], scores["control"], strict=True)) == {
        (metric, control) for metric in ("foreground_share", "iou") for control in ("none", "shuffled")
    }
    assert scores[["value", "ci_low", "ci_high"]].stack().between(0, 1).all()
    real = scores[scores["control"] == "none"].set_index("metric")
    assert (real["ci_low"] <= real["value"]).all()
    assert (real["value"] <= real["ci_high"]).all()
    assert (real["unit"] == "well").all()
    assert (real["n"] == 12).all()
    items = details[details["part"] == "item"]
    for metric, rows in items.groupby("metric"):
        assert len(rows) == rows["item"].nunique() == 12
        assert rows["value"].mean() == pytest.approx(real.loc[metric, "value"])
    assert items["well"].str.match(r"P\d/A\d\d").all()
    maps = details[details["part"] == "attention"]
    assert len(maps) == 3 * 2  # heads of test_vit
    assert maps["channels"].map(list).tolist() == [["DNA", "Actin"]] * 6
    assert maps["attention"].map(np.sum).to_numpy() == pytest.approx(1)
    assert set(maps["item"]) <= set(items["item"])
    assert maps[["rows", "columns", "patch_height"]].drop_duplicates().to_numpy().tolist() == [[3, 4, 16]]
    assert details.loc[details["part"] == "reason", "reason"].tolist() == ["12 of 16 samples were drawn (samples)."]


def test_attention_that_follows_the_cells_beats_that_of_other_samples(made, monkeypatch):
    masks = np.zeros((2, 3, 4), np.float32)
    masks[0, 0, 0], masks[1, 2, 3] = 1, 1
    lit = np.kron(masks, np.ones((16, 16)))[:, :40, :56] > 0
    order = []

    def perfect(config, inputs, rows):
        found = masks[[order[row] for row in range(len(rows))]]
        return attention.Maps(found[:, None, None], (16.0, 16.0), [["DNA", "Actin"]])

    def halves(samples, rows):
        for _ in rows:
            order.append(len(order) % 2)
            yield lit[order[-1]].astype(np.float32)

    monkeypatch.setattr(attention, "_attend", perfect)
    monkeypatch.setattr(attention, "_levelled", halves)
    scores, details = evaluate(made, "perfect")
    values = scores.set_index(["metric", "control"])["value"]
    for metric in ("foreground_share", "iou"):
        assert values[metric, "none"] == pytest.approx(1)
        assert 0.2 < values[metric, "shuffled"] < 0.9  # half of the others have their cell in the same place
    even = details.loc[details["metric"] == "foreground_share", "even"]
    assert even.to_numpy(dtype=float) == pytest.approx(1 / 12)


def test_the_same_samples_give_the_same_bytes(made):
    folder, _ = made
    for out in ("a", "b"):
        evaluate(made, out)
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()
    one, whole = (evaluate(made, "c", batch_size=size)[0] for size in (1, 12))
    pd.testing.assert_frame_equal(one, whole, check_exact=False, atol=1e-5)


def test_a_convolutional_network_does_not_run_and_says_why(made):
    with pytest.raises(NotRun, match="attention: resnet10t has no class token"):
        evaluate(made, recipe="convolution")


def test_too_few_samples_do_not_run(made, monkeypatch):
    monkeypatch.setattr(attention, "_levelled", lambda samples, rows: (np.zeros((40, 56)) for _ in rows))
    with pytest.raises(NotRun, match="one grey level"):
        evaluate(made)


@pytest.fixture
def plan(made):
    folder, files = made
    evaluate(made, "shown")
    details = [{**ROW, "evaluation": "looks", "path": str(folder / "shown.parquet")}]
    samples = [
        {"dataset": "made", "samples": "cells", "plate": f"P{plate}", "path": path}
        for plate, path in enumerate(files["tables"], start=1)
    ]
    config = {"evaluations": {"looks": {"use": "attention"}, "other": {"use": "invariance"}}}
    return {"config": config, "files": {"details": details, "samples": samples}}


def study(**other):
    keys = {"dataset": "made", "samples": "cells", "methods": ["m", "n"], "profiles": ["raw"], "seeds": [0]}
    return keys | {"evaluations": ["looks", "other"]} | other


def draw(plan, folder, **other):
    with drawing.style():
        page = sections.Making(plan | {"studies": {"first": study(**other)}}, pd.DataFrame(), folder, str)
        return [figure for _, step in sections._declared(page, "first", []) for figure in step()]


def test_the_figure_shows_samples_and_heads(plan, tmp_path):
    (figure,) = draw(plan, tmp_path)
    assert figure.title == "Attention: m"
    assert "3 × 4 patches" in figure.caption
    text = (tmp_path / figure.file).read_text()
    assert len(re.findall("<image", text)) == 1
    for name in ("DNA", "Actin", "mean", "head 1", "head 2"):
        assert f">{name}<" in text
    data = pd.read_csv(tmp_path / figure.data)
    assert len(data) == 3 * 3
    assert (data["highest"] >= data["even"]).all()
    assert set(data["head"].astype(str)) == {"mean", "1", "2"}
    again = draw(plan, tmp_path / "again")[0]
    assert (tmp_path / "again" / again.file).read_bytes() == (tmp_path / figure.file).read_bytes()


def test_no_figure_without_maps_and_an_error_without_pixels(plan, tmp_path):
    assert draw(plan, tmp_path, evaluations=["other"]) == []
    assert draw(plan, tmp_path, methods=["n"]) == []
    plan["files"]["samples"] = []
    with pytest.raises(UserError, match="not among the samples"):
        draw(plan, tmp_path)


def test_another_evaluation_can_declare_the_same_figure(plan, tmp_path, monkeypatch):
    (entry,) = plan["files"]["details"]
    plan["files"]["details"] = [entry | {"evaluation": "other"}]
    assert draw(plan, tmp_path, evaluations=["other"]) == []
    monkeypatch.setattr(sections.plugins, "constants", lambda kind, name: {"FIGURES": ("attention",)})
    (figure,) = draw(plan, tmp_path, evaluations=["other"])
    assert figure.title == "Attention: m"


def test_a_map_lies_over_its_sample():
    grid = np.array([[0.0, 0.25], [0.5, 0.25]])
    heat = drawn._heat(grid, np.array([8.0, 8.0]), (12, 16))
    assert heat.shape == (12, 16, 3)
    colours = {tuple(colour) for colour in heat[8:, :8].reshape(-1, 3)}  # the brightest patch, cut by the border
    assert len(colours) == 1
    assert tuple(heat[0, 0]) not in colours
    assert heat[7, 7].tolist() == heat[0, 0].tolist()
    assert heat[0, 8].tolist() == heat[11, 15].tolist()


def test_each_channel_shown_alone_takes_a_row(plan, tmp_path):
    path = plan["files"]["details"][0]["path"]
    table = contracts.read_table(path, "details")
    maps = table[table["part"] == "attention"]
    alone = [maps.assign(channels=[[name]] * len(maps)) for name in ("DNA", "Actin")]
    contracts.write_table(pd.concat(alone), path, "details", json.loads("{}"))
    (figure,) = draw(plan, tmp_path)
    text = (tmp_path / figure.file).read_text()
    assert ">sample<" in text
    assert len(re.findall(">DNA<", text)) == len(re.findall(">Actin<", text)) == 3
