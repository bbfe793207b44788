"""Images and metrics from a checkpoint: ``python3 inference.py exp.config_path=FILE train.checkpoint_path=CKPT``."""

import sys
from collections.abc import Sequence

from torch import distributed

from training.launch import load_trainer
from utils.command import command
from utils.errors import ConfigError


@command
def main(arguments: Sequence[str] | None = None) -> None:
    trainer = load_trainer(list(sys.argv[1:] if arguments is None else arguments))
    if distributed.is_torchelastic_launched():
        raise ConfigError("inference.py runs in one process: start it with python3, not torchrun")
    trainer.setup_inference()
    trainer.inference()


if __name__ == "__main__":
    main()
