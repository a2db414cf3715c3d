"""Multi-exit image classifiers that stop early: compiled networks of offramp, numpy in and out.

    net = offramp.load("runs/demo")
    answers = net.predict(images)        # uint8 [N, H, W, 3]
    answers.label, answers.exit, answers.macs
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from . import _offramp

__version__: str = _offramp.__version__
__all__ = ["Answers", "Network", "load"]

PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Answers:
    """The answers of a network to a batch of images, in their order."""

    label: npt.NDArray[np.int64]
    """The most probable class, `[N]`."""
    confidence: npt.NDArray[np.float32]
    """Its probability at the exit taken, `[N]`."""
    exit: npt.NDArray[np.int64]
    """The exit taken, from 0, `[N]`."""
    macs: npt.NDArray[np.int64]
    """Multiply-accumulates spent on each image, `[N]`."""
    logits: npt.NDArray[np.float32]
    """Logits of the exit taken, before any temperature or ensemble, `[N, C]`."""

    def __len__(self) -> int:
        return len(self.label)


class Network:
    """A compiled network with exits, and the policy that decides at which exit an image stops.

    May be used from several threads; they take turns.
    """

    def __init__(
        self,
        plan: PathLike,
        *,
        policy: PathLike | None = None,
        batch: int = 64,
        threads: int | None = None,
    ) -> None:
        """Maps the plan in the file `plan`, which `offramp export RUN --format plan` wrote.

        Without a `policy` (a `policy.json` of the same network) all images go to the deepest exit. `batch` images
        are computed together, on all processors or on `threads` threads.

        Raises FileNotFoundError without a plan, ValueError for a damaged plan or a policy of another network.
        """
        policy = None if policy is None else os.fspath(policy)
        self._network = _offramp.Network(os.fspath(plan), policy, batch, threads)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return self._network.classes

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""
        _, height, width = self._network.image
        return height, width

    @property
    def macs(self) -> list[int]:
        """Multiply-accumulates to each exit."""
        return self._network.macs

    @property
    def num_exits(self) -> int:
        """Number of exits."""
        return len(self.macs)

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights, as in `GET /v1/model` of the service and in `policy.json`."""
        return self._network.model

    @property
    def model(self) -> str:
        """The name of `sha256` in earlier versions."""
        return self.sha256

    def predict(
        self, images: npt.NDArray[Any], *, exit: int | None = None, policy: PathLike | None = None
    ) -> Answers:
        """Answers images, stopping where the policy says, at `exit` (from 0), or where another `policy` file says.

        `images` are RGB pixels, `uint8` of shape `[N, H, W, 3]` or `[H, W, 3]`, or `float32` `[N, 3, H, W]`,
        normalised as in training. Images of another size must be resized to `image_size` first.

        Raises ValueError for arrays of another shape or type, values that are not finite, and an exit that does not exist.
        """
        if exit is not None and policy is not None:
            raise ValueError("exit or policy, not both")
        if exit is not None and exit < 0:
            raise ValueError(f"exit {exit}: exits are counted from 0")
        planes, normalised = self._planes(images)
        policy = None if policy is None else os.fspath(policy)
        label, confidence, taken, macs, logits = self._network.predict(
            planes.tobytes(), normalised, exit, policy
        )
        return Answers(
            label=np.asarray(label, np.int64),
            confidence=np.asarray(confidence, np.float32),
            exit=np.asarray(taken, np.int64),
            macs=np.asarray(macs, np.int64),
            logits=np.frombuffer(logits, np.float32).reshape(len(planes), len(self.classes)),
        )

    def all_exits(self, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Logits of all exits, `[exits, N, C]`; `images` as for `predict`."""
        planes, normalised = self._planes(images)
        logits = self._network.all_exits(planes.tobytes(), normalised)
        shape = (self.num_exits, len(planes), len(self.classes))
        return np.frombuffer(logits, np.float32).reshape(shape)

    def _planes(self, images: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], bool]:
        """`[N, 3, H, W]`, and whether it is normalised already."""
        images = np.asarray(images)
        height, width = self.image_size
        if images.dtype == np.uint8:
            images = images[None] if images.ndim == 3 else images
            if images.ndim == 4 and images.shape[1:] == (height, width, 3):
                return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), False
        elif images.dtype == np.float32:
            if images.ndim == 4 and images.shape[1:] == (3, height, width):
                return np.ascontiguousarray(images), True
        raise ValueError(
            f"images are {images.dtype} {list(images.shape)}; this network takes uint8 [N, {height}, {width}, 3] "
            f"or float32 [N, 3, {height}, {width}]"
        )

    def __repr__(self) -> str:
        height, width = self.image_size
        return (
            f"<offramp.Network of {self.num_exits} exits, {len(self.classes)} classes, images {height}x{width}>"
        )


def load(
    run: PathLike,
    *,
    policy: PathLike | None = None,
    plan: PathLike | None = None,
    batch: int = 64,
    threads: int | None = None,
) -> Network:
    """The network of a run folder: its `export/f32.plan` (or `export/int8.plan`, or `plan`) and its `policy.json`.

    `run` may be the file of a plan as well, whose policy lies beside it. See `Network`.
    """
    run = Path(run)
    if plan is None:
        plans = [run / "export" / f"{precision}.plan" for precision in ("f32", "int8")]
        plan = run if run.is_file() else next((p for p in plans if p.exists()), plans[0])
    own = (run.parent if run.is_file() else run) / "policy.json"
    # A link to nothing is an error of reading, and no run without a policy.
    if policy is None and os.path.lexists(own):
        policy = own
    return Network(plan, policy=policy, batch=batch, threads=threads)
