"""Training a policy: proximal policy optimisation (Schulman et al., 2017) by Stable-Baselines3.

Gymnasium, Stable-Baselines3 and torch are imported when training begins: nobody else needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swath.errors import WorkloadError
from swath.workload.comparing import Ground
from swath.workload.learning.grounds import around
from swath.workload.learning.policy import Layer, save_policy

if TYPE_CHECKING:
    from stable_baselines3 import PPO

TRAINING_STEPS = 16_000
"""Unless told otherwise."""

ENVIRONMENTS = 4
"""At a time."""

_ROLLOUT = 160
"""Steps of each between two updates: four episodes."""

_HIDDEN = 32

Progress = Callable[[int, float], None]
"""(steps done, mean reward of the last episodes' steps)."""


@dataclass(frozen=True)
class Training:
    """``checkpoint``: where training goes on from, if the file is there, and what it is kept in
    after every update; it holds numbers only, no code. ``logs``: a folder for TensorBoard."""

    steps: int = TRAINING_STEPS
    seed: int = 0
    checkpoint: Path | None = None
    logs: Path | None = None


def check_installed() -> None:
    """Raises WorkloadError, with the mend, where what training needs is not installed."""
    from importlib.util import find_spec

    for package in ("gymnasium", "stable_baselines3"):
        if find_spec(package) is None:
            raise WorkloadError(f"training needs {package}; pip install 'swath[rl]'")


def train(
    ground: Ground, training: Training, path: Path, progress: Progress = lambda done, reward: None
) -> None:
    """Train on workloads of the same models as the ground's, drawn anew for each episode; write the
    policy. Raises WorkloadError for a checkpoint that is none of these."""
    from stable_baselines3.common.vec_env import SubprocVecEnv

    makers: list[Callable[[], Any]] = [partial(_environment, ground)] * ENVIRONMENTS
    environments = SubprocVecEnv(makers, start_method="forkserver")
    try:
        model = _model(environments, training)
        if training.checkpoint is not None and training.checkpoint.exists():
            _restore(model, training.checkpoint)
        left = training.steps - model.num_timesteps
        if left > 0:
            callback = _callback(training, progress)
            model.learn(left, callback=callback, reset_num_timesteps=False, tb_log_name="policy")
            model.logger.close()
        save_policy(_layers(model), path)
    finally:
        environments.close()


def _environment(ground: Ground) -> Any:
    import torch
    from stable_baselines3.common.monitor import Monitor

    from swath.workload.learning.environment import AllocationEnv

    torch.set_num_threads(1)
    return Monitor(AllocationEnv(around(ground)))


def _model(environments: Any, training: Training) -> PPO:
    from stable_baselines3 import PPO

    return PPO(
        "MlpPolicy", environments, n_steps=_ROLLOUT, batch_size=_ROLLOUT, n_epochs=8,
        learning_rate=lambda left: 1e-3 * left, gamma=0.9, gae_lambda=0.9,
        policy_kwargs={
            "net_arch": {"pi": [_HIDDEN, _HIDDEN], "vf": [2 * _HIDDEN, 2 * _HIDDEN]},
            "log_std_init": -1.5,
        },
        seed=training.seed, device="cpu",
        tensorboard_log=None if training.logs is None else str(training.logs),
    )  # fmt: skip


def _callback(training: Training, progress: Progress) -> Any:
    from stable_baselines3.common.callbacks import BaseCallback

    from swath.workload.learning.environment import STEPS

    class Keeper(BaseCallback):
        """Says how far it is, and keeps what there is, before every update."""

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            ended = self.model.ep_info_buffer or ()
            rewards = [episode["r"] / STEPS for episode in ended]
            progress(self.num_timesteps, float(np.mean(rewards)) if rewards else 0.0)
            if training.checkpoint is not None:
                _keep(self.model, training.checkpoint)

    return Keeper()


def _keep(model: Any, path: Path) -> None:
    import torch

    partly = path.with_suffix(f"{path.suffix}.part")
    torch.save(
        {
            "steps": model.num_timesteps,
            "policy": model.policy.state_dict(),
            "optimizer": model.policy.optimizer.state_dict(),
        },
        partly,
    )
    partly.replace(path)


def _restore(model: Any, path: Path) -> None:
    import torch

    try:
        kept = torch.load(path, weights_only=True)
        model.policy.load_state_dict(kept["policy"])
        model.policy.optimizer.load_state_dict(kept["optimizer"])
        model.num_timesteps = int(kept["steps"])
    except Exception:
        raise WorkloadError(
            f"{path}: not a checkpoint that training can go on from; name another file"
        ) from None


def _layers(model: Any) -> list[Layer]:
    """Of the network that acts."""
    policy = model.policy
    linear = [layer for layer in policy.mlp_extractor.policy_net if hasattr(layer, "weight")]
    return [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in (*linear, policy.action_net)
    ]
