"""Train what a config describes: ``python3 train.py exp.config_path=FILE [section.key=value ...]``.

The same command again continues the run. Several GPUs: ``torchrun --nproc_per_node=N train.py ...``. A script of
your own that registers classes calls :func:`main` afterwards.
"""

import sys
from collections.abc import Sequence

import utils.interrupts  # before what takes long to import
import utils.threads  # noqa: F401 - before PyTorch, which reads what it sets
from training.check import print_check
from training.launch import load_trainer
from utils.command import command
from utils.distributed import choose_device, processes


@command
def main(arguments: Sequence[str] | None = None) -> None:
    trainer = load_trainer(list(sys.argv[1:] if arguments is None else arguments))
    with processes(choose_device(trainer.config.exp.device)):
        trainer.setup()
        if trainer.config.exp.check:
            print_check(trainer)
        else:
            trainer.training_loop()


if __name__ == "__main__":
    main()
