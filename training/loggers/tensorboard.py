"""TensorBoard."""

from torch import Tensor

from training.loggers.base import Logger, Scalars
from training.run_folder import RunFolder


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
