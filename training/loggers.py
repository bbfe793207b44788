"""Who is told what the run does. A logger is an object, never an ``if`` in the loop."""

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from training.console import Lines, Logger, ProgressBar, Scalars
from training.panels import PICTURES, panels
from training.run_folder import RunFolder, plain
from utils.config import first_line
from utils.distributed import is_main
from utils.images import to_hwc, write_png


class Folder(Logger):
    """``metrics.jsonl`` (values only: identical in identical runs), ``timing.jsonl``, and PNGs, in the run folder."""

    def __init__(self, run: RunFolder):
        self.run = run

    def scalars(self, step: int, values: Scalars, timing: Scalars) -> None:
        for name, numbers in (("metrics.jsonl", values), ("timing.jsonl", timing)):
            if numbers:
                with open(self.run.path / name, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": step, **numbers}) + "\n")

    def alarm(self, step: int, text: str) -> None:
        with open(self.run.path / "alarms.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "alarm": text}) + "\n")

    def image(self, step: int, name: str, image: Tensor) -> None:
        write_png(image, self.run.images / f"{name}_{step:08d}.png")


class TensorBoard(Logger):
    """Event files for TensorBoard, in the run folder."""

    def __init__(self, run: RunFolder, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=step + 1 if step else None)

    def scalars(self, step: int, values: Scalars, timing: Scalars) -> None:
        for key, value in {**values, **timing}.items():
            self.writer.add_scalar(key, value, step)

    def image(self, step: int, name: str, image: Tensor) -> None:
        self.writer.add_image(name, image, step)

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiases(Logger):
    """W&B, online or offline. The run's id is kept in the run folder, so a resumed run goes on in the same curves."""

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
        """Open the run's W&B session."""
        return self.wandb.init(
            project=self.run.config.exp.wandb_project,
            name=self.run.path.name,
            id=self.run_id(),
            dir=str(self.run.path),
            resume="allow",
            mode="online" if self.online else "offline",
            config=plain(self.run.config),
            settings=self.wandb.Settings(console="off", silent=not self.online),
        )

    def run_id(self) -> str:
        path = self.run.path / "wandb_run_id"
        if not path.exists():
            path.write_text(secrets.token_hex(4))
        return path.read_text().strip()

    def scalars(self, step: int, values: Scalars, timing: Scalars) -> None:
        self.session.log(panels(values, timing), step=step)

    def image(self, step: int, name: str, image: Tensor) -> None:
        self.session.log({f"{PICTURES}/{name}": self.wandb.Image(to_hwc(image))}, step=step)

    def checkpoint(self, step: int, path: Path) -> None:
        if self.run.config.exp.wandb_artifacts:
            artifact = self.wandb.Artifact(
                f"{self.run.path.name}-{self.session.id}", type="model", metadata={"step": step}
            )
            artifact.add_file(str(path))
            self.session.log_artifact(artifact)

    def alarm(self, step: int, text: str) -> None:
        self.session.alert(title=f"{self.run.path.name}, step {step}", text=text)

    def close(self) -> None:
        self.session.finish()
        if not self.online:  # a resumed run has several folders, all of one run
            print(f"W&B ran offline; to upload: wandb sync {self.run.path}/wandb/offline-run-*")


class Loggers:
    """All of a run's loggers as one."""

    def __init__(self, members: list[Logger]):
        self.members = members

    def scalars(self, step: int, values: Scalars, timing: Scalars | None = None) -> None:
        for member in self.members:
            member.scalars(step, values, timing or {})

    def image(self, step: int, name: str, image: Tensor) -> None:
        for member in self.members:
            member.image(step, name, image)

    def checkpoint(self, step: int, path: Path) -> None:
        for member in self.members:
            member.checkpoint(step, path)

    def alarm(self, step: int, text: str) -> None:
        for member in self.members:
            member.alarm(step, text)

    def note(self, step: int, text: str | None) -> None:
        if text is None:
            return
        for member in self.members:
            member.note(step, text)

    def close(self) -> None:
        for member in reversed(self.members):  # the bar ends before the others say their last words
            member.close()


def open_loggers(run: RunFolder, step: int) -> Loggers:
    """Open the loggers that the config asks for, at ``step`` of the run; only the first process talks."""
    exp = run.config.exp
    if not is_main():
        return Loggers([])
    members: list[Logger] = [Folder(run)]
    if exp.use_tensorboard:
        members.append(TensorBoard(run, step))
    if exp.use_wandb:
        members.append(WeightsAndBiases(run, online=exp.wandb_mode == "online" and wandb_key_found()))
    console = ProgressBar if sys.stdout.isatty() else Lines
    return Loggers([*members, console(run.config.train.steps, step)])  # last: the others say their lines above the bar


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
