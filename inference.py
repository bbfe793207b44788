"""Images and metrics from a checkpoint: ``python3 inference.py exp.config_path=FILE train.checkpoint_path=CKPT``."""

import sys
from collections.abc import Sequence

from training.launch import load_trainer
from utils.errors import one_line_errors


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> None:
    trainer = load_trainer(list(sys.argv[1:] if arguments is None else arguments))
    trainer.setup_inference()
    trainer.inference()


if __name__ == "__main__":
    main()
