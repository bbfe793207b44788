"""On a real GPU no step waits, between two log steps, for what the GPU has not finished yet.

Without one ``tests/test_fake_gpu.py`` says so of every experiment, as far as that can be known.
"""

import pytest
import torch

from tests.helpers import trainer_of
from tests.runs import FAMILIES

VARIANTS = [*[(family, []) for family in FAMILIES], ("diffusion", ["train.accumulate=2"])]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("family", "overrides"), VARIANTS)
def test_on_a_gpu_no_step_waits(family, overrides, tmp_path):
    trainer = trainer_of(tmp_path, family, *overrides, "exp.device=cuda")
    trainer.setup()
    trainer.open_run()
    try:
        for step in range(6):
            if step == 3:  # compiled by now
                torch.cuda.set_sync_debug_mode("error")
            trainer.images_seen += trainer.images_per_step
            trainer.window.add(trainer.train_step(), trainer.step)
            trainer.step += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
