"""The part of a config that every family shares. A trainer adds its own section beside its code."""

from dataclasses import field
from typing import Annotated, Any, Literal

from utils.errors import ConfigError
from utils.schema import NonNegativeInt, PositiveFloat, PositiveInt, Switch, section

Arguments = dict[str, Any]  # checked against the chosen class's constructor
Coefficients = dict[str, PositiveFloat]  # loss name: weight in the sum


@section
class ExperimentSection:
    config_path: str
    model_type: str = "diffusion"
    exp_dir: str = "runs"
    run_name: str = ""  # default: the config file's name without its ending
    device: str = "auto"  # auto: the GPU if there is one
    seed: NonNegativeInt = 42
    use_wandb: bool = False
    wandb_mode: Literal["online", "offline"] = "online"
    wandb_project: str = "mise"
    wandb_artifacts: bool = False  # upload every checkpoint as an artifact
    use_tensorboard: bool = False
    check: bool = False  # build everything, print what it will cost, and stop before the first step


@section
class DataSection:
    dataset: str = "base_dataset"
    input_train_dir: str = ""
    input_val_dir: str = ""
    image_size: PositiveInt = 64
    train_batch_size: PositiveInt = 64  # images in one optimizer step, over all processes and accumulation
    val_batch_size: PositiveInt = 128
    workers: NonNegativeInt = 0
    dev_per_class: NonNegativeInt = 0  # training images of each class held out to choose settings on
    on_bad_image: Literal["error", "skip"] = "error"
    conditional: bool = True  # False: ignore the labels
    augmentations: list[str] = field(default_factory=lambda: ["horizontal_flip"])


@section
class TrainSection:
    steps: PositiveInt  # optimizer updates in the whole run
    trainer: str = ""  # default: base_<model_type>_trainer
    checkpoint_path: str | None = None  # start from this file; inference: the file to study
    start_step: NonNegativeInt = 0
    init_from: str | None = None  # take only the weights from this checkpoint, and begin at step 0
    freeze: list[str] = field(default_factory=list)  # parameters, <network>.<name>, that begin so stay as they are
    log_step: PositiveInt = 50
    val_step: PositiveInt = 5000
    checkpoint_step: PositiveInt = 5000
    checkpoint_minutes: PositiveFloat | None = None
    stop_after_minutes: PositiveFloat | None = None  # save and end cleanly before a notebook's limit
    keep_checkpoints: PositiveInt = 3  # the newest ones stay
    best_metric: str | None = (
        None  # such as fid768: the best checkpoint by this figure of the validations stays as well
    )
    best_is: Literal["lowest", "highest"] = "lowest"
    val_metrics: list[str] = field(default_factory=list)
    amp: Annotated[Literal["auto", "bf16", "fp16", "off"], Switch] = "auto"
    compile: Annotated[Literal["auto", "on", "off", "graphs"], Switch] = "auto"
    channels_last: bool = False  # convolutions work on images whose channels lie side by side
    recompute: bool = False  # forget activations, compute them again in the backward pass: less memory, more time
    accumulate: PositiveInt = 1
    max_grad_norm: PositiveFloat | None = None
    on_nonfinite: Literal["error", "skip"] = "error"  # a loss or gradient that is no number: stop, or leave steps out
    schedule: str = "constant"
    ema: str = "halflife"


@section
class InferenceSection:
    study: str
    split: Literal["test", "dev"] = "test"  # what the judgement is made on: choose settings on dev, report on test
    ema_width: PositiveFloat | None = None  # put together another average from the snapshots of train.ema=power
    out_dir: str = ""  # default: inference/<checkpoint> in the run folder


@section
class CommonConfig:
    """Top-level sections of every family."""

    exp: ExperimentSection
    train: TrainSection
    data: DataSection = field(default_factory=DataSection)
    inference: InferenceSection
    dataset_args: Arguments = field(default_factory=dict)
    schedule_args: Arguments = field(default_factory=dict)
    ema_args: Arguments = field(default_factory=dict)
    augmentations_args: dict[str, Arguments] = field(default_factory=dict)
    losses_args: dict[str, Arguments] = field(default_factory=dict)
    metrics_args: dict[str, Arguments] = field(default_factory=dict)


def check_counts(config: CommonConfig, processes: int) -> None:
    """Raise :class:`ConfigError` when batches cannot be shared out, or a start has nothing to start from."""
    data, train = config.data, config.train
    if data.train_batch_size % (processes * train.accumulate):
        raise ConfigError(
            f"data.train_batch_size={data.train_batch_size} cannot be divided among {processes} processes "
            f"x train.accumulate={train.accumulate}: choose a multiple"
        )
    if train.start_step and not train.checkpoint_path:
        raise ConfigError("train.start_step without train.checkpoint_path: there is nothing to start from")


# What a resumed run may change without becoming another run: how long, how often, where, and who is told.
EVERYTHING = {"*"}
MAY_CHANGE = {
    "metrics_args": EVERYTHING,
    "exp": {"config_path", "run_name", "exp_dir", "device", "use_wandb", "wandb_mode", "wandb_project",
            "wandb_artifacts", "use_tensorboard", "check"},
    "data": {"workers", "val_batch_size", "input_train_dir", "input_val_dir"},
    "train": {"steps", "log_step", "val_step", "checkpoint_step", "checkpoint_minutes", "stop_after_minutes",
              "keep_checkpoints", "best_metric", "best_is", "on_nonfinite", "val_metrics", "val_num_images",
              "val_sampling_steps", "compile", "channels_last", "recompute", "guide_path"},
    "inference": EVERYTHING,
}  # fmt: skip
