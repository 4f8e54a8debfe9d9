"""Weights & Biases."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

from grokscope.checks import require
from grokscope.components import MirroredRun, Tracker
from grokscope.registry import register

ENDED_WELL = ("done", "diverged")
NO_NETWORK = ("offline", "dryrun", "disabled")
"""Values of ``WANDB_MODE`` that keep W&B off the network."""


@register
@dataclass(frozen=True, kw_only=True)
class WandB(Tracker):
    """Runs in Weights & Biases: column ``c`` at step ``t`` is the metric ``c`` at W&B's own step ``t``; settings are
    the run's config, verdict and milestones its summary; runs that differ only in the seed are one group. Offline
    unless `mode` or the variable ``WANDB_MODE`` says ``online``; ``wandb sync`` uploads what was written offline.
    Cost: 79 MB on disk to install, a service process, and what its servers keep of you. Misleads: W&B draws a sample
    of long curves; a run that is interrupted and goes on is "finished" or "failed" in between."""

    name: ClassVar[str] = "wandb"
    summary: ClassVar[str] = "runs in Weights & Biases, written offline unless told otherwise"
    package: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "grokscope[wandb]"

    project: str | None = None
    """Without it, that of ``WANDB_PROJECT``, or ``grokscope``."""
    entity: str | None = None
    """User or team; without it, that of ``WANDB_ENTITY``, or the usual one of whoever is logged in."""
    mode: Literal["auto", "offline", "online"] = "auto"
    """``auto`` is what ``WANDB_MODE`` says, and offline where it says nothing. Where it says ``offline``, W&B is."""
    dir: str | None = None
    """Folder in which W&B makes its folder ``wandb``; without it, the one that holds the runs. It is no part of a run's
    own folder, for W&B makes links, and a run folder with links is not written to."""

    def continues(self) -> bool:
        return self._mode() not in NO_NETWORK

    def _mode(self) -> str:
        variable = os.environ.get("WANDB_MODE") or ""
        if self.mode == "auto" or variable in NO_NETWORK:
            return variable or "offline"
        return self.mode

    def open(self, run: MirroredRun) -> "_WandBRun":
        require(self._mode() != "disabled", "WANDB_MODE is disabled, so W&B would write nothing; set it to offline")
        wandb: Any = import_module("wandb")
        folder = run.folder.parent if self.dir is None else Path(self.dir)
        folder.mkdir(parents=True, exist_ok=True)
        if not run.resumed:
            for old in (folder / "wandb").glob(f"offline-run-*-{run.key}"):
                shutil.rmtree(old)
        quiet = wandb.Settings(
            silent=True, console="off", disable_code=True, disable_git=True, save_code=False, x_disable_stats=True,
            symlink=False,  # ``latest-run``, over which several processes would race
        )  # fmt: skip
        opened = wandb.init(
            project=self.project or os.environ.get("WANDB_PROJECT") or "grokscope",
            entity=self.entity,
            id=run.key,
            name=run.name[:128],
            group=run.group[:128],  # longer names are refused
            dir=str(folder),
            config=dict(run.config),
            mode=self._mode(),
            resume="allow" if run.resumed else None,
            reinit="create_new",  # the members of a stack are open at once
            settings=quiet,
        )
        return _WandBRun(opened, folder)


class _WandBRun:
    def __init__(self, run: Any, folder: Path):
        self._run = run
        self.where = run.url if not run.offline else str(run.settings.sync_dir or folder)

    def rows(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        for step, values in rows:
            self._run.log(dict(values), step=step, commit=True)

    def close(self, summary: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(summary))
        self._run.finish(exit_code=0 if summary.get("state") in ENDED_WELL else 1)
