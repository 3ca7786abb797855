"""DINO: a student predicts, from small and large crops, what its own moving average says of large crops of the image.

With a weak label (WS-DINO, [2]) the small crops come from another random image of the same label: what the images of one
treatment share is learned, what only one of them shows is not. Each label is then drawn equally often. Without a weak label
both kinds of crops come from the same image.

Defaults follow the text of [2]; where its released code [3] differs, the comment of the key says so. Learning rates are for
training from scratch: [2] starts from ImageNet weights and goes from 4e-6 to 3e-6. What is kept is the teacher. Negative
controls are a label like any other, unless ``train: where`` leaves them out, as [2] does. Published weights see a channel
as a grey image. Where ``init`` is given as well it takes the place of both backbones; heads stay as `head_weights` says.

[0] Caron et al. 2021, Emerging properties in self-supervised vision transformers, arXiv:2104.14294
[1] facebookresearch/dino, of which head and loss are as in lightly
[2] Cross-Zamirski et al. 2022, Self-supervised learning of phenotypic representations from cell images with weak labels,
    arXiv:2209.07819
[3] crosszamirski/WS-DINO
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from phenorep import collapse, encoders, full_checkpoints, multicrop, recipes, schedules, weak_labels, weights
from phenorep.augment import Augmentation, configure_augmentation
from phenorep.errors import UserError

SEEDED = True
DRAWN = {"weights": "none", "head_weights": "random"}


@dataclass(frozen=True)
class Config(recipes.PretrainConfig):
    """Keys of DINO and WS-DINO."""

    backbone: str = "vit_small_patch8_224"  # patches of 16 are four times faster; convolutional networks work too
    epochs: int = 400  # as in [2]; scores peak near half of it
    batch_size: int = 16  # small ones need momentum_teacher 0.99, large ones (1024 in [0]) 0.996
    optimiser: Literal["sgd", "adam", "adamw"] = "adamw"  # sgd for convolutional networks
    learning_rate: float = 0.0001  # 4e-6 in [2], from ImageNet weights; lower where the outputs collapse
    final_learning_rate: float = 0.000001  # 3e-6 in [2]
    warmup_epochs: float = 10.0  # as in [0] and [2]
    weights: str = "none"  # download (timm; vit_small_patch8_224.dino is what [2] starts from), or a local file
    # checkpoint: student and teacher start from the backbones and heads of a full checkpoint of DINO, each from its own, as
    # in [3], so that the first targets are those of a trained teacher. It may be the local file; download fetches the
    # published one (see full_checkpoints). random for other networks, of which no heads are published
    head_weights: Literal["random", "checkpoint"] = "random"  # checkpoint needs weights of a full checkpoint
    weak_label: str = "none"  # treatment, compound, moa, or a column Metadata_*; the less specific, the more is given away
    balanced: bool = True  # draw each weak label equally often; false: each image once in an epoch
    partner: Literal["other", "any"] = "other"  # any: the image itself may be drawn as its partner, as in [3]
    global_size: int = 224  # pixels of the large crops; what published weights were trained on
    local_size: int = 96  # pixels of the small crops
    local_crops: int = 8  # number of small crops; fewer are faster
    global_scale: tuple[float, float] = (0.1, 0.2)  # share of the image's area; more for images of single cells
    local_scale: tuple[float, float] = (0.04, 0.08)  # the same of the small crops
    crop_ratio: tuple[float, float] = (1.0, 1.0)  # width over height; 0.75 to 1.33 in [0] changes the shape of cells
    head: tuple[int, int] = (2048, 256)  # widths of the hidden layers and of the bottleneck
    output_dim: int = 65536  # fewer for small data and small batches
    norm_last_layer: bool = True  # false may do better and is less stable; false in [3]
    freeze_last_layer: int = 1  # epochs in which the head's last layer stays as it is; more where the loss does not fall
    student_temperature: float = 0.1  # 0.07 in [3]
    teacher_temperature: float = 0.04  # lower is sharper; above 0.07 is unstable
    warmup_teacher_temperature: float = 0.04  # where it starts
    warmup_teacher_epochs: int = 0  # epochs of its linear rise
    momentum_teacher: float = 0.99  # at the start; it ends at 1 along a cosine
    center_momentum: float = 0.9  # 0.8 in [3]
    drop_path: float = 0.1  # share of blocks that the student leaves out; 0 for networks without stochastic depth
    final_weight_decay: float | None = None  # where its cosine ends; null: constant. 0.04 to 0.4 in [0], 0 in [2]

    def __post_init__(self):
        super().__post_init__()
        weak_labels.check(self.weak_label)
        if self.head_weights == "checkpoint" and self.weights in ("none", "package"):
            raise ValueError(
                f"head_weights: checkpoint needs a full checkpoint, which weights: {self.weights} is not. Set weights: to "
                "download or the path of one, or head_weights: random"
            )
        for name in ("global_size", "local_size", "output_dim"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2")
        for name in ("local_crops", "freeze_last_layer", "warmup_teacher_epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        for name in ("global_scale", "local_scale"):
            if not 0 < getattr(self, name)[0] <= getattr(self, name)[1] <= 1:
                raise ValueError(f"{name} must be two shares of the area between 0 and 1 in ascending order")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError("crop_ratio must be two positive numbers in ascending order")
        if min(self.head) < 1:
            raise ValueError("head must be two positive widths")
        for name in ("student_temperature", "teacher_temperature", "warmup_teacher_temperature"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        for name in ("momentum_teacher", "center_momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1")
        if not 0 <= self.drop_path < 1:
            raise ValueError("drop_path must be at least 0 and less than 1")
        if self.final_weight_decay is not None and self.final_weight_decay < 0:
            raise ValueError("final_weight_decay must not be negative")

    def augmentation(self) -> Augmentation:
        """Flips alone: size and place are the crops' business."""
        still = {"quarter_turns": False, "transpose": False, "shift": 0.0, "scale": (1.0, 1.0)}
        return configure_augmentation(self.augment, **still)


class Recipe(recipes.Recipe):
    """Student, teacher, their heads, and the cross-entropy between their outputs."""

    @classmethod
    def build_encoder(cls, config: Config, channels: int, size: tuple[int, int], **options) -> torch.nn.Module:
        """The network for the large crops; transformers interpolate their positions for all other sizes."""
        return encoders.backbone(config.backbone, channels, (config.global_size, config.global_size), **options)

    @classmethod
    def check(cls, config: Config) -> None:
        """Architecture and file of the weights must be there; what the file holds is seen when it is read."""
        super().check(config)
        weights.check_source(config.weights, config.backbone)
        if config.head_weights == "checkpoint":
            full_checkpoints.check(config.weights, config.backbone)

    @classmethod
    def label_column(cls, config: Config, columns: list[str], samples: str) -> str | None:
        """The weak label's column; a treatment may have to be put together from others."""
        return weak_labels.column(config.weak_label, columns, samples)

    def setup(self) -> None:
        """Add the teacher, the heads and the loss."""
        from lightly.loss import DINOLoss  # here: it takes seconds, and checking a configuration imports this file

        config = self.config
        self.teacher = self.encoder  # without stochastic depth
        checkpoint = full_checkpoints.read(config.weights, config.backbone) if config.head_weights == "checkpoint" else None
        if checkpoint is None and config.weights != "none":
            weights.start(self.teacher, config.backbone, config.weights, len(self.channels), self._other_size())
        self.encoder = self._student()
        self.head, self.teacher_head = self._head(), self._head()
        self.teacher_head.load_state_dict(self.head.state_dict())
        self.on_weights_loaded(self.teacher)
        self.teacher.requires_grad_(False)
        self.teacher_head.requires_grad_(False)
        self.loss = DINOLoss(
            output_dim=config.output_dim, student_temp=config.student_temperature, center_momentum=config.center_momentum
        )
        if checkpoint is not None:
            self._start_from(checkpoint)
        self.watch = collapse.Watch(config.output_dim, self.features)
        self._told = False

    def _student(self) -> torch.nn.Module:
        config, options = self.config, {}
        if config.drop_path:
            options["drop_path_rate"] = config.drop_path
        try:
            return self.build_encoder(config, len(self.channels), (0, 0), **options)
        except TypeError as error:
            raise UserError(
                f"drop_path: the backbone {config.backbone} has no stochastic depth ({error}). Set drop_path: 0."
            ) from error

    def _head(self) -> torch.nn.Module:
        from lightly.models.modules.heads import DINOProjectionHead

        hidden, bottleneck = self.config.head
        return DINOProjectionHead(
            self.features,
            hidden,
            bottleneck,
            self.config.output_dim,
            freeze_last_layer=self.config.freeze_last_layer,
            norm_last_layer=self.config.norm_last_layer,
        )

    def _start_from(self, checkpoint: full_checkpoints.FullCheckpoint) -> None:
        """Student and teacher each take their own backbone and head; the centre is the file's, if it has one."""
        config = self.config
        pairs = ((self.encoder, self.head, checkpoint.student), (self.teacher, self.teacher_head, checkpoint.teacher))
        for encoder, head, source in pairs:
            weights.start_with(
                encoder, config.backbone, source.backbone, source.place, len(self.channels), self._other_size()
            )
            full_checkpoints.fill_head(head, source, config.norm_last_layer)
        if checkpoint.center is not None:
            self.loss.center.copy_(checkpoint.center.reshape(self.loss.center.shape))

    def _other_size(self) -> str:
        return f"set global_size to what {self.config.backbone} was published for."

    def on_weights_loaded(self, source: torch.nn.Module | None = None) -> None:
        """Student and teacher start equal: from `source`, or else from the encoder. Heads stay as they are."""
        state = (source or self.encoder).state_dict()
        self.encoder.load_state_dict(state)
        self.teacher.load_state_dict(state)

    def trained_encoder(self) -> torch.nn.Module:
        """The teacher."""
        return self.teacher

    def order(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Rows of one epoch: as many as there are, drawn with the weight 1 / size of their label's class."""
        if self.config.weak_label == "none" or not self.config.balanced:
            return super().order(labels, generator)
        return weak_labels.balanced(labels, generator)

    def companions(self, order: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray | None:
        """For each image another one of the same weak label; itself where it is the only one."""
        if self.config.weak_label == "none":
            return None
        if not self._told:
            self._told = True
            alone = int((np.bincount(labels) == 1).sum())
            if alone:
                print(f"weak_label: {alone} labels have one image only, whose partner is that image itself")
        return weak_labels.partners(order, labels, generator, itself=self.config.partner == "any")

    def training_step(self, batch: recipes.Batch) -> torch.Tensor:
        """Cross-entropy of the student's output for each crop with the teacher's for each other, large crop."""
        config = self.config
        large = self.crops(batch.images, 2, config.global_size, config.global_scale)
        partner = batch.images if batch.companions is None else batch.companions
        groups = [large]
        if config.local_crops:
            groups.append(self.crops(partner, config.local_crops, config.local_size, config.local_scale))
        with torch.no_grad():
            embedding = self.teacher(large)
            taught = _full(self.teacher_head(embedding))
        # Crops of one size go through the network together, all of them through the head.
        learned = _full(self.head(torch.cat([self.encoder(group) for group in groups])))
        epoch = schedules.epoch_at(batch.progress, config.epochs)
        warm = config.warmup_teacher_temperature
        temperature = schedules.rise(epoch, warm, config.teacher_temperature, config.warmup_teacher_epochs)
        self.watch.see(taught, self.loss.center, temperature, embedding)
        with torch.autocast(taught.device.type, enabled=False):  # sums over all outputs need full precision
            return self.loss(list(taught.chunk(2)), list(learned.chunk(2 + config.local_crops)), temperature)

    def crops(self, images: torch.Tensor, count: int, size: int, area: tuple[float, float]) -> torch.Tensor:
        """(count * B, C, size, size): random crops of each image, augmented; the first of all images, then the second."""
        number = len(images)
        windows = multicrop.random_windows(
            count * number, tuple(images.shape[-2:]), area, self.config.crop_ratio, self.generator
        )
        return self.views(multicrop.crop(images, windows.reshape(number, count, 4), (size, size)))

    def parameter_groups(self) -> list[dict]:
        """No weight decay on biases and normalisations."""
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        matrices = [parameter for parameter in learned if parameter.ndim > 1]
        vectors = [parameter for parameter in learned if parameter.ndim <= 1]
        return [{"params": matrices, "decay_scale": 1.0}, {"params": vectors, "decay_scale": 0.0}]

    def weight_decay_at(self, progress: float) -> float:
        """Along a cosine from its start to its end."""
        start, end = self.config.weight_decay, self.config.final_weight_decay
        return start if end is None else schedules.cosine(progress, start, end)

    def on_gradients(self, progress: float) -> None:
        """Leave the head's last layer as it is in the first epochs."""
        self.head.cancel_last_layer_gradients(schedules.epoch_at(progress, self.config.epochs))

    @torch.no_grad()
    def on_step_end(self, progress: float) -> None:
        """The teacher follows the student, ever more slowly."""
        momentum = schedules.cosine(progress, self.config.momentum_teacher, 1.0)
        for mine, theirs in ((self.teacher, self.encoder), (self.teacher_head, self.head)):
            for slow, fast in zip(mine.parameters(), theirs.parameters(), strict=True):
                slow.mul_(momentum).add_(fast, alpha=1 - momentum)

    def on_epoch_end(self, epoch: int) -> str:
        """What tells a collapse; said aloud from the second epoch on, before which outputs have hardly parted."""
        return self.watch.report(epoch, warn=epoch > 1)


def _full(outputs: torch.Tensor) -> torch.Tensor:
    """At least float32, whatever precision the networks run in: sharp softmaxes need it."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))
