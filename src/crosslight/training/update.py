"""One step of some of a method's optimizers: guard, backward, average, clip, schedule, step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from crosslight.errors import TrainingError
from crosslight.methods.contract import Progress, Scheduled, weighted
from crosslight.nn.distributed import world_size


class LostValue(Exception):  # noqa: N818
    """A loss is not finite.

    Attributes:
        loss: Its name.
        value: `nan`, `inf` or `-inf`.
    """

    def __init__(self, loss: str, value: float) -> None:
        super().__init__(f"loss {loss!r} became {value}")
        self.loss = loss
        self.value = value


class LoopUpdate:
    """The loop's `Update`; see `crosslight.methods.contract`.

    Args:
        fabric: Precision and device.
        optimizers: Every optimizer of the method, with its initial learning rates.
        clip_norm: Largest gradient norm of one update.
        scaler: Of the loss, in 16-bit arithmetic.
        lr_factor: Multiplies every learning rate.

    Attributes:
        progress: Where training stands; set by the loop before each iteration.
        note: Shows a person a line that stays; set by the loop.
        last_loss: Sum of the weighted losses of the last update.
        counted: `weights/NAME` and `weighted/NAME` of every loss since this was emptied.
        moved: Optimizers that have made a step since this was emptied.
        steps: Calls that moved an optimizer since this was set to 0.
    """

    def __init__(
        self,
        fabric: Fabric,
        optimizers: Mapping[str, Scheduled],
        *,
        clip_norm: float | None,
        scaler: torch.amp.GradScaler | None,
        lr_factor: float = 1.0,
    ) -> None:
        self.note: Callable[[str], None] = print
        self.progress = Progress(stage="", iteration=0, iterations=1, iterations_per_epoch=1)
        self.last_loss = 0.0
        self.counted: dict[str, Tensor] = {}
        self.moved: set[str] = set()
        self.steps = 0
        self._fabric = fabric
        self._optimizers = optimizers
        self._clip_norm = clip_norm
        self._scaler = scaler
        self._initial = {
            name: [lr_factor * float(group["lr"]) for group in scheduled.optimizer.param_groups]
            for name, scheduled in optimizers.items()
        }

    def __call__(
        self,
        optimizers: str | tuple[str, ...],
        losses: Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Makes one step of the named optimizers on the weighted sum of the named losses.

        Raises:
            LostValue: A loss is not finite on any rank; nothing has moved.
            TrainingError: The method has no optimizer of that name; a loss is no scalar, or there
                is none; or no gradient of them can reach a weight that may move.
        """
        names = (optimizers,) if isinstance(optimizers, str) else optimizers
        refuse_unfit(losses, f"update({', '.join(map(repr, names))}) was given")
        chosen = [self._named(name) for name in names]
        parameters = list(dict.fromkeys(p for s in chosen for p in _trainable(s.optimizer)))
        # The caller is inside autocast, which is meant for forward passes only.
        with torch.autocast(self._fabric.device.type, enabled=False):
            terms = weighted(losses, weights)
            self._take_note(terms, self._refuse_lost_values(terms), weights or {})
            total = torch.stack(list(terms.values())).sum()
            if not (parameters and total.requires_grad):
                raise TrainingError(
                    f"No gradient leads from {' + '.join(terms)} to a weight of the optimizer "
                    f"{' + '.join(names)} that may move; compute the losses from its weights, "
                    "without detach() and no_grad()."
                )
            # Gradients of other parameters are not even computed.
            self._fabric.backward(total, inputs=parameters)
            self._average(parameters)
            self._step(names, parameters)
        for parameter in parameters:
            parameter.grad = None
        # Autocast keeps the low-precision copies of weights that it has made, now outdated, until
        # its outermost block ends.
        torch.clear_autocast_cache()

    def learning_rates(self) -> dict[str, float]:
        """Moved optimizer → learning rate of its first parameter group at this point."""
        return {
            name: self._initial[name][0] * scheduled.factor(self.progress)
            for name, scheduled in self._optimizers.items()
            if name in self.moved
        }

    def _named(self, name: str) -> Scheduled:
        if name not in self._optimizers:
            raise TrainingError(
                f"The method updates the optimizer {name!r}, but its optimizers() names "
                f"{', '.join(self._optimizers)}; give both the same names."
            )
        return self._optimizers[name]

    def _refuse_lost_values(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Gives the values, their mean over the ranks."""
        values = torch.stack([term.detach() for term in terms.values()])
        if world_size() > 1:
            # Every rank must come to the same verdict, or the others would wait forever.
            dist.all_reduce(values)
            values /= world_size()
        if not bool(torch.isfinite(values).all()):
            for name, value in zip(terms, values.tolist(), strict=True):
                if not -float("inf") < value < float("inf"):
                    raise LostValue(name, value)
        return values

    def _take_note(
        self, names: Collection[str], values: Tensor, weights: Mapping[str, float]
    ) -> None:
        self.last_loss = float(values.sum())
        counts = torch.tensor([weights.get(name, 1.0) for name in names])
        self.counted |= {
            f"{kind}/{name}": figure
            for kind, figures in (("weights", counts), ("weighted", values))
            for name, figure in zip(names, figures.to(values.device).unbind(), strict=True)
        }

    def _average(self, parameters: Iterable[Tensor]) -> None:
        """Replaces each gradient by its mean over the ranks.

        One flat buffer after each backward pass, instead of DistributedDataParallel: that one
        reduces while a single backward pass through all of the wrapped module runs, and breaks
        where several passes go through shared networks or each reaches other parameters.

        The mean fits `gather_with_gradient`, whose backward pass sums over the ranks: a loss on
        gathered samples then gives exactly the gradient of one process with the whole batch.

        A rank whose samples are all in one light has no gradient of what sees the other light: 0
        in the mean. The buffer has a place for every parameter on every rank, and says at its end
        who had one; a parameter that reached no loss anywhere stays without.
        """
        if world_size() == 1:
            return
        parameters = list(parameters)
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        had = own[0].new_tensor([p.grad is not None for p in parameters])
        flat = torch.cat([*(gradient.reshape(-1) for gradient in own), had])
        dist.all_reduce(flat)
        flat /= world_size()
        *parts, had = flat.split([*(gradient.numel() for gradient in own), len(own)])
        lacks = any(p.grad is None for p in parameters)
        anywhere = had.tolist() if lacks else [1.0] * len(own)
        for parameter, gradient, part, share in zip(parameters, own, parts, anywhere, strict=True):
            if share:
                gradient.copy_(part.view(gradient.shape))
                parameter.grad = gradient

    def _step(self, names: tuple[str, ...], parameters: list[Tensor]) -> None:
        moving = [name for name in names if _has_gradient(self._optimizers[name].optimizer)]
        self.moved.update(moving)
        self.steps += bool(moving)
        for name in moving:
            scheduled = self._optimizers[name]
            factor = scheduled.factor(self.progress)
            groups = scheduled.optimizer.param_groups
            for group, initial in zip(groups, self._initial[name], strict=True):
                group["lr"] = initial * factor
            if self._scaler is not None:
                self._scaler.unscale_(scheduled.optimizer)
        if self._clip_norm is not None:
            clip_grad_norm_(parameters, self._clip_norm)
        for name in moving:
            optimizer = self._optimizers[name].optimizer
            if self._scaler is not None:
                self._scaler.step(optimizer)
            else:
                optimizer.step()
        if self._scaler is not None and moving:
            self._scaler.update()


def refuse_unfit(figures: object, given: str, *, none: bool = False) -> None:
    """Checks that figures are scalar tensors by their names.

    Args:
        figures: What a method gave.
        given: How a sentence about it begins.
        none: Whether there may be no figure.

    Raises:
        TrainingError: They are not.
    """
    if not isinstance(figures, Mapping) or not (figures or none):
        is_nothing = figures is None or isinstance(figures, Mapping)
        raise TrainingError(
            f"{given} {'no loss' if is_nothing else type(figures).__name__}, expected losses by "
            'their names; give them as in {"loss_id": loss}.'
        )
    for name, value in figures.items():
        if not isinstance(value, Tensor):
            raise TrainingError(
                f"{given} {name!r} as {type(value).__name__}, expected a scalar tensor; leave "
                "out .item(), or log torch.tensor(value)."
            )
        if value.dim():
            raise TrainingError(
                f"{given} {name!r} of shape {tuple(value.shape)}, expected a scalar; reduce it, "
                "with .mean() or .sum()."
            )


def _trainable(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


def _has_gradient(optimizer: torch.optim.Optimizer) -> bool:
    return any(p.grad is not None for p in _trainable(optimizer))
