"""Weights & Biases, with and without an account, a network, or a server that answers."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from training.loggers.base import Logger, Scalars
from training.panels import PICTURES, panels
from training.run_folder import RunFolder, plain
from utils.config import first_line
from utils.images import to_hwc

OPEN_SECONDS, CLOSE_SECONDS = 60.0, 120.0  # how long a server may take to answer, and to take what is left at the end


class WeightsAndBiases(Logger):
    """W&B, online or offline. The run's id is kept in the run folder, so a resumed run goes on in the same curves.

    Where nobody answers, or the key is refused, the run is logged offline; when W&B's own process dies, it is started
    again.
    """

    def __init__(self, run: RunFolder, online: bool):
        import wandb

        self.wandb, self.run, self.online = wandb, run, online
        try:
            self.session = self.start()
        except wandb.Error as error:  # a key that W&B does not take, or no network
            if not online:
                raise
            print(f"W&B: {first_line(error)}; this run is logged offline")
            self.online = False
            wandb.teardown()  # forgets the run's id, which the failed start has taken
            self.session = self.start()

    def start(self) -> Any:
        """Open the run's W&B session. Raises ``wandb.Error`` when no server takes it within ``OPEN_SECONDS``."""
        limits = {"init_timeout": OPEN_SECONDS, "login_timeout": OPEN_SECONDS, "finish_timeout": CLOSE_SECONDS}
        known = {name: limit for name, limit in limits.items() if name in self.wandb.Settings.model_fields}
        return self.wandb.init(
            project=self.run.config.exp.wandb_project,
            name=self.run.path.name,
            id=self.run_id(),
            dir=str(self.run.path),
            resume="allow",
            mode="online" if self.online else "offline",
            config=plain(self.run.config),
            settings=self.wandb.Settings(console="off", silent=not self.online, **known),
        )

    def run_id(self) -> str:
        path = self.run.path / "wandb_run_id"
        if not path.exists():
            path.write_text(secrets.token_hex(4))
        return path.read_text().strip()

    def scalars(self, step: int, values: Scalars, timing: Scalars) -> None:
        self.insist(lambda: self.session.log(panels(values, timing), step=step))

    def image(self, step: int, name: str, image: Tensor) -> None:
        self.insist(lambda: self.session.log({f"{PICTURES}/{name}": self.wandb.Image(to_hwc(image))}, step=step))

    def insist(self, tell: Callable[[], None]) -> None:
        """Tell W&B; if its process has died, once more after starting it again."""
        try:
            tell()
        except OSError as error:
            print(f"W&B: its process has died ({error}); starting it again", flush=True)
            with suppress(OSError):
                self.wandb.teardown()
            self.session = self.start()
            tell()

    def checkpoint(self, step: int, path: Path) -> None:
        if self.run.config.exp.wandb_artifacts:
            artifact = self.wandb.Artifact(
                f"{self.run.path.name}-{self.session.id}", type="model", metadata={"step": step}
            )
            artifact.add_file(str(path))
            self.session.log_artifact(artifact)

    def alarm(self, step: int, text: str) -> None:
        self.insist(lambda: self.session.alert(title=f"{self.run.path.name}, step {step}", text=text))

    def close(self) -> None:
        self.session.finish()
        if not self.online:  # a resumed run has several folders, all of one run
            print(f"W&B ran offline; to upload: wandb sync {self.run.path}/wandb/offline-run-*")


def wandb_key_found() -> bool:
    """Find a W&B key in ``WANDB_KEY`` (the template's), ``WANDB_API_KEY`` or a login; without one, say so."""
    if os.environ.get("WANDB_KEY"):
        os.environ["WANDB_API_KEY"] = os.environ.get("WANDB_API_KEY") or os.environ["WANDB_KEY"]
    if os.environ.get("WANDB_API_KEY") or logged_in():
        return True
    print("W&B: no key in WANDB_KEY or WANDB_API_KEY and no login, so this run is logged offline")
    return False


def logged_in() -> bool:
    """Tell whether ``wandb login`` left a key in the user's netrc file."""
    from netrc import NetrcParseError, netrc

    try:
        hosts = netrc(os.environ.get("NETRC")).hosts
    except (OSError, NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)
