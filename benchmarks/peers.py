"""Training against other people's loops, each on its own U-Net, which our trainer then trains too: the same work.

``diffusers``: the steps of its examples/unconditional_image_generation/train_unconditional.py with the script's
defaults (images from torchvision instead of Hugging Face's datasets); once as it ships, once fed from memory and with
an EMA, as ours is. ``denoising-diffusion-pytorch``: its own ``Trainer``.
"""

from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from io import StringIO
from itertools import cycle

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.measuring import Place, Row, compared
from benchmarks.stepping import experiment, speed_of, trainer_speed
from datasets.packed import Packed
from models.registry import diffusion_models_registry
from training.trainers.base import BaseTrainer
from utils.batch import Condition
from utils.images import to_float

# The script's own six levels on a GPU; on a CPU three narrow ones, one block each.
WIDTHS = {"cuda": [128, 128, 256, 256, 512, 512], "cpu": [32, 32, 64]}
BLOCKS = {"cuda": 2, "cpu": 1}
DIMS = {"cuda": (64, [1, 2, 4, 8]), "cpu": (8, [1, 2, 4])}
BATCH = {"cuda": 64, "cpu": 16}


def their_unet2d(size: int, device: str) -> nn.Module:
    """Build diffusers' U-Net: plain blocks, attention at the second lowest resolution."""
    from diffusers import UNet2DModel

    widths = WIDTHS[device]
    down = ["DownBlock2D"] * len(widths)
    down[-2] = "AttnDownBlock2D"
    up = [name.replace("Down", "Up") for name in reversed(down)]
    return UNet2DModel(
        sample_size=size,
        block_out_channels=widths,
        down_block_types=down,
        up_block_types=up,
        layers_per_block=BLOCKS[device],
    )


def their_unet(device: str) -> nn.Module:
    """Build the U-Net of denoising-diffusion-pytorch."""
    from denoising_diffusion_pytorch import Unet

    dim, mults = DIMS[device]
    return Unet(dim=dim, dim_mults=tuple(mults))


class DiffusersBackbone(nn.Module):
    """Diffusers' network for our trainer."""

    def __init__(self, image_size: int, device: str):
        super().__init__()
        self.network = their_unet2d(image_size, device)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        return self.network(x, c_noise).sample


class DdpmPytorchBackbone(nn.Module):
    """The network of denoising-diffusion-pytorch for our trainer."""

    def __init__(self, device: str):
        super().__init__()
        self.network = their_unet(device)

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        return self.network(x, c_noise)


def ours(place: Place, folder: str, network: type[nn.Module], train: dict) -> BaseTrainer:
    """Return our trainer of another project's network, on the same images without labels."""
    model = f"benchmark_{network.__name__}"
    if model not in diffusion_models_registry:
        diffusion_models_registry.add_to_registry(name=model)(network)
    settings = {"model": model, "levels": "table", "sampler": "ddim", "sampling_levels": "respaced",
                "max_grad_norm": 1.0, **train}  # fmt: skip
    return experiment(
        place,
        folder,
        train=settings,
        data={"train_batch_size": BATCH[place.device.type], "conditional": False},
        model_args={"device": place.device.type},
        losses_coef={"mse": 1.0},
    )


def image_loader(place: Place) -> Iterator[Tensor]:
    """Yield float batches as train_unconditional.py does: Resize, CenterCrop, flip, ToTensor, Normalize; no workers."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [transforms.Resize(64), transforms.CenterCrop(64), transforms.RandomHorizontalFlip(),
             transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]  # fmt: skip
    dataset = ImageFolder(str(place.images), transforms.Compose(steps))
    loader = DataLoader(dataset, batch_size=BATCH[place.device.type], shuffle=True, num_workers=0, drop_last=True)
    return (images.to(place.device) for images, _ in chain_forever(loader))


def chain_forever(loader: DataLoader) -> Iterator[list[Tensor]]:
    while True:
        yield from loader


def memory_batches(place: Place) -> Iterator[Tensor]:
    """Yield float batches that lie in the device's memory already: nobody waits."""
    dataset, size = Packed(str(place.images), 64, cache_dir=place.packs), BATCH[place.device.type]
    images = to_float(dataset.images_at(range(8 * size)).to(place.device))
    return cycle(images.split(size))


def diffusers_loop(place: Place, folder: str, batches: Iterator[Tensor], with_ema: bool) -> Callable[[int], None]:
    """Return the script's loop: some steps at a call."""
    from accelerate import Accelerator
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    precision = "bf16" if place.gpu else "no"
    accelerator = Accelerator(mixed_precision=precision, log_with="tensorboard", project_dir=folder)
    model, noise_scheduler = their_unet2d(64, place.device.type), DDPMScheduler(num_train_timesteps=1000)
    ema = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    schedule = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=100_000)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    ema.to(accelerator.device)
    accelerator.init_trackers("benchmark")

    def run(count: int) -> None:
        for step in range(count):
            clean = next(batches)
            noise = torch.randn(clean.shape, device=clean.device)
            timesteps = torch.randint(0, 1000, (len(clean),), device=clean.device).long()
            noisy = noise_scheduler.add_noise(clean, noise, timesteps)
            with accelerator.accumulate(model):
                loss = F.mse_loss(model(noisy, timesteps).sample.float(), noise.float())
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            if with_ema:
                ema.step(model.parameters())
            accelerator.log({"loss": loss.detach().item(), "lr": schedule.get_last_lr()[0]}, step=step)

    return run


def ddpm_pytorch_trainer(place: Place, folder: str) -> Callable[[int], None]:
    """Return its trainer: some steps at a call."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Trainer

    trainer = Trainer(
        GaussianDiffusion(their_unet(place.device.type), image_size=64, timesteps=1000),
        str(place.images),
        train_batch_size=BATCH[place.device.type],
        amp=place.gpu,
        mixed_precision_type="bf16",
        results_folder=f"{folder}/results",
        save_and_sample_every=10**9,
        calculate_fid=False,
    )

    def run(count: int) -> None:
        trainer.train_num_steps = trainer.step + count
        with redirect_stderr(StringIO()):  # its progress bar
            trainer.train()

    return run


def measure_diffusers(place: Place) -> list[Row]:
    batch, steps = BATCH[place.device.type], 20 if place.gpu else 1
    with place.folder() as folder:
        trainer = ours(place, folder, DiffusersBackbone, {"denoiser": "ddpm", "optimizer": "adamw"})
        fed = diffusers_loop(place, folder, memory_batches(place), with_ema=True)
        ships = diffusers_loop(place, folder, image_loader(place), with_ema=False)
        contestants = {
            "ours": trainer_speed(trainer, place, steps),
            "diffusers, as it ships": speed_of(ships, place, batch, steps),
            "diffusers, fed, with EMA": speed_of(fed, place, batch, steps),
        }
        return compared("training, UNet2DModel", contestants, place.rounds, "images/s", "5; fed 1.8")


def measure_ddpm_pytorch(place: Place) -> list[Row]:
    batch, steps = BATCH[place.device.type], 20 if place.gpu else 1
    with place.folder() as folder:
        trainer = ours(place, folder, DdpmPytorchBackbone, {"denoiser": "v"})
        theirs = ddpm_pytorch_trainer(place, folder)
        contestants = {
            "ours": trainer_speed(trainer, place, steps),
            "denoising-diffusion-pytorch": speed_of(theirs, place, batch, steps),
        }
        return compared("training, Unet", contestants, place.rounds, "images/s", "3")
