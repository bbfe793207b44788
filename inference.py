"""Images and metrics from a checkpoint: ``python3 inference.py exp.config_path=FILE train.checkpoint_path=CKPT``."""

import sys
from collections.abc import Sequence

import utils.interrupts  # before what takes long to import
import utils.threads  # noqa: F401 - before PyTorch, which reads what it sets
from training.launch import load_trainer
from utils.command import command
from utils.distributed import started_by_torchrun
from utils.errors import ConfigError


@command
def main(arguments: Sequence[str] | None = None) -> None:
    trainer = load_trainer(list(sys.argv[1:] if arguments is None else arguments))
    if started_by_torchrun():
        raise ConfigError("inference.py runs in one process: start it with python3, not torchrun")
    trainer.setup_inference()
    trainer.inference()


if __name__ == "__main__":
    main()
