"""The one training loop of all recipes."""

import resource
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from tqdm import tqdm

from phenorep import checkpoints
from phenorep.batches import RawBatch, ReadAhead, Sources
from phenorep.contracts import TRAINING_COLUMNS
from phenorep.errors import UserError
from phenorep.recipes import Batch, PretrainConfig, Recipe


def optimiser_of(config: PretrainConfig, groups: list[dict]) -> torch.optim.Optimizer:
    """The configured optimiser; the loop sets the learning rate of each step."""
    shared = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, **shared)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimiser](groups, **shared)


def split(order: np.ndarray, batch_size: int, rank: int = 0, world: int = 1) -> list[np.ndarray]:
    """The rows of each step for one of `world` devices.

    Parameters
    ----------
    order
        (n,) rows of an epoch.
    batch_size
        Over all devices. An incomplete last batch is dropped, unless it is the only one.
    """
    steps = max(1, len(order) // batch_size)
    batches = [order[step * batch_size : (step + 1) * batch_size] for step in range(steps)]
    # All devices must take equally many samples, or their gradients would not weigh the same.
    return [batch[: len(batch) // world * world][rank::world] for batch in batches]


class Training:
    """A recipe learning from samples, from the start or from a checkpoint.

    Parameters
    ----------
    recipe
        Set up, on the CPU.
    fabric
        Launched.
    seed
        Decides the order of samples and their augmentation.
    checkpoint
        Where the state is kept.
    keep
        Called as ``keep(network, epoch)`` where an epoch's encoder is to be saved.
    minutes
        Time between checkpoints within an epoch; 0: after each step.
    """

    def __init__(
        self,
        recipe: Recipe,
        sources: Sources,
        fabric,
        seed: int,
        checkpoint: checkpoints.Checkpoint,
        keep: Callable[[torch.nn.Module, int], None],
        minutes: float = 10.0,
    ):
        if len(sources) < 2 * fabric.world_size:
            raise UserError(f"training needs at least {2 * fabric.world_size} samples; there are {len(sources)}.")
        self.recipe, self.sources, self.fabric, self.seed = recipe, sources, fabric, seed
        self.checkpoint, self.keep, self.minutes = checkpoint, keep, minutes
        self.config = recipe.config
        # Each device draws its own augmentation and dropout; both go on where a checkpoint left them.
        own = np.random.SeedSequence([seed, fabric.global_rank]).generate_state(2)
        torch.manual_seed(int(own[0]))
        recipe.generator = torch.Generator(fabric.device)
        recipe.generator.manual_seed(int(own[1]))
        self.optimiser = optimiser_of(self.config, recipe.parameter_groups())
        self._wrapped, self._wrapped_optimiser = fabric.setup(recipe, self.optimiser)
        self.epoch, self.step = 1, 0  # the next step to take; epochs count from 1
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=fabric.device)
        self.loss_count = 0
        self.history: list[dict] = []

    def run(self) -> list[dict]:
        """Train to the end; one dict of `TRAINING_COLUMNS` for each epoch."""
        fresh = not self._resume()
        if fresh and 0 in self.config.saved_epochs():
            self._keep(0)
        bar = tqdm(
            total=self.config.epochs,
            initial=self.epoch - 1,
            unit="epoch",
            desc=f"seed {self.seed}",
            file=sys.stderr,
            mininterval=1 if sys.stderr.isatty() else 30,
            disable=self.fabric.global_rank > 0,
        )
        with bar:
            while self.epoch <= self.config.epochs:
                self._run_epoch(bar)
                bar.update()
        return self.history

    def _run_epoch(self, bar: tqdm) -> None:
        recipe, fabric = self.recipe, self.fabric
        generator = np.random.default_rng([self.seed, self.epoch])
        order = recipe.order(self.sources.labels, generator)
        batches = split(order, self.config.batch_size, fabric.global_rank, fabric.world_size)
        companions = recipe.companions(order, self.sources.labels, generator)
        if companions is not None:
            companions = split(companions, self.config.batch_size, fabric.global_rank, fabric.world_size)[self.step :]
        if self.step == 0:
            recipe.on_epoch_start(self.epoch, self._all_batches)
        recipe.train()
        if fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        reader = ReadAhead(self.sources, batches[self.step :], companions=companions)
        began = saved = time.perf_counter()
        images, rate = 0, 0.0
        for raw in reader:
            rate = self._take_step(raw, len(batches))
            images += len(raw.rows)
            bar.set_postfix_str(f"step {self.step}/{len(batches)}", refresh=False)
            if self.step < len(batches) and self._is_due(saved):
                self._save()
                saved = time.perf_counter()
        loss = self._mean_loss()
        seconds = time.perf_counter() - began
        facts = (self.epoch, loss, rate, images * fabric.world_size / seconds, reader.waited / seconds, self._peak_memory())
        self.history.append(dict(zip(TRAINING_COLUMNS, facts, strict=True)))
        told = recipe.on_epoch_end(self.epoch)
        if fabric.is_global_zero:
            print(
                f"epoch {self.epoch}: loss {loss:.4f}, {facts[3]:.0f} images/s, {facts[4]:.0%} of the time waiting for data"
                + (f"; {told}" if told else "")
            )
        if self.epoch in self.config.saved_epochs():
            self._keep(self.epoch)
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum.zero_()
        self.loss_count = 0
        self._save()

    def _take_step(self, raw: RawBatch, steps: int) -> float:
        number = (self.epoch - 1) * steps + self.step
        rate = self.config.learning_rate_at(number, steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        progress = number / (self.config.epochs * steps)
        for group in self.optimiser.param_groups:
            if "decay_scale" in group:
                group["weight_decay"] = self.recipe.weight_decay_at(progress) * group["decay_scale"]
        loss = self._wrapped(self._batch(raw, progress))
        if loss is not None:
            self.fabric.backward(loss)
            if self.config.clip_gradient is not None:
                self.fabric.clip_gradients(self._wrapped, self._wrapped_optimiser, max_norm=self.config.clip_gradient)
            self.recipe.on_gradients(progress)
            self._wrapped_optimiser.step()
            self._wrapped_optimiser.zero_grad()
            self.recipe.on_step_end(progress)
            self.loss_sum += loss.detach()
            self.loss_count += 1
        self.step += 1
        return rate

    def _batch(self, raw: RawBatch, progress: float) -> Batch:
        raw = raw.to(self.fabric.device)
        scaling = self.recipe.scaling
        companions = raw.scaled_companions(scaling)
        return Batch(raw.scaled(scaling), raw.labels, raw.rows, raw.means, raw.stds, progress, companions)

    def _all_batches(self, rows: np.ndarray | None = None) -> Iterator[Batch]:
        """All samples once, none dropped, in the order of `rows`, or else in their own; every device sees all of them."""
        rows = np.arange(len(self.sources)) if rows is None else rows
        size = self.config.batch_size
        for raw in ReadAhead(self.sources, [rows[start : start + size] for start in range(0, len(rows), size)]):
            yield self._batch(raw, (self.epoch - 1) / self.config.epochs)

    def _mean_loss(self) -> float:
        loss = self.fabric.all_reduce(self.loss_sum / max(1, self.loss_count), reduce_op="mean").item()
        if not np.isfinite(loss):
            raise UserError(
                f"the loss of epoch {self.epoch} is {loss}: training has failed. Lower learning_rate (now "
                f"{self.config.learning_rate}), or set clip_gradient or a longer warmup_epochs."
            )
        return loss

    def _peak_memory(self) -> float:
        """Megabytes: of the GPU, or else of this process."""
        if self.fabric.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

    def _is_due(self, saved: float) -> bool:
        due = time.perf_counter() - saved >= 60 * self.minutes
        return bool(self.fabric.broadcast(due)) if self.fabric.world_size > 1 else due

    def _keep(self, epoch: int) -> None:
        if self.fabric.is_global_zero:
            self.keep(self.recipe.trained_encoder(), epoch)

    def _save(self) -> None:
        states = [checkpoints.random_states(self.recipe.generator)]
        if self.fabric.world_size > 1:
            states = [None] * self.fabric.world_size
            torch.distributed.all_gather_object(states, checkpoints.random_states(self.recipe.generator))
        if self.fabric.is_global_zero:
            self.checkpoint.save(
                {
                    "epoch": self.epoch,
                    "step": self.step,
                    "loss_sum": self.loss_sum.cpu(),
                    "loss_count": self.loss_count,
                    "history": self.history,
                    "recipe": self.recipe.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "random": states,
                }
            )

    def _resume(self) -> bool:
        state = self.checkpoint.load()
        if state is None:
            return False
        self.recipe.load_state_dict(state["recipe"], strict=True)
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.loss_sum.copy_(state["loss_sum"])
        self.loss_count, self.history = state["loss_count"], state["history"]
        checkpoints.restore_random_states(state["random"][self.fabric.global_rank], self.recipe.generator)
        return True
