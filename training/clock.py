"""Time: how fast the run is, how long it will take, what is not training, and when to save or to stop."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch

from utils.distributed import any_process, say, world_size

ASK_EVERY = 10  # steps
NEVER = float("inf")
SAME_REQUEST = 2.0  # seconds
WARM, SURE = 2, 10  # steps: after the first two, which compile, the next eight say how long the run will take
TRY_AGAIN = 60.0  # seconds after the disk has refused a checkpoint


class Clock:
    """Measures a run. ``aside`` keeps validation and the like out of the images a second."""

    def __init__(
        self,
        device: torch.device,
        stop_after_minutes: float | None = None,
        checkpoint_minutes: float | None = None,
    ):
        self.device = device
        self.stop_after = minutes(stop_after_minutes)
        self.checkpoint_every = minutes(checkpoint_minutes)
        self.start = self.lap_start = time.monotonic()
        self.checkpoint_time = self.start + self.checkpoint_every  # when the next one is due
        self.asides: dict[str, float] = {}  # seconds by name
        self.lap_aside = 0.0
        self.lap_images = 0
        self.lap_waited = 0.0  # seconds
        self.steps = 0  # since this start
        self.signal: int | None = None
        self.signal_time = 0.0

    def count(self, images: int) -> None:
        """Count a step on so many images."""
        self.lap_images += images
        self.steps += 1

    def forecast(self, steps_left: int) -> str | None:
        """Return, after the tenth step, how long the rest will take. Waits for the GPU twice in the whole run."""
        if self.steps not in (WARM, SURE):
            return None
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now, aside = time.monotonic(), sum(self.asides.values())
        if self.steps == WARM:
            self.warm = now - aside
            return None
        left = (now - aside - self.warm) / (SURE - WARM) * steps_left  # seconds
        return f"about {timedelta(seconds=round(left))} for the {steps_left} steps to the end, without validation"

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time spent inside as waiting for data. On a GPU an upper bound: it has work while this waits."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.lap_waited += time.monotonic() - begin

    @contextmanager
    def aside(self, name: str) -> Iterator[None]:
        """Count the time spent inside under ``name``, not as training."""
        begin = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - begin
            self.asides[name] = self.asides.get(name, 0.0) + spent
            self.lap_aside += spent

    def lap(self) -> dict[str, float]:
        """Return the speed and the share of waiting since the last lap, and the share of all time of each aside."""
        now = time.monotonic()
        training = max(now - self.lap_start - self.lap_aside, 1e-9)
        timing = {"images_per_second": self.lap_images / training, "seconds": now - self.start}
        timing["share_waiting_for_data"] = self.lap_waited / training
        timing |= {f"share_{name}": self.share(name) for name in self.asides}
        self.lap_start, self.lap_aside, self.lap_images, self.lap_waited = now, 0.0, 0, 0.0
        return timing

    def share(self, name: str) -> float:
        """Return the part of the whole time, in [0, 1], that an aside took."""
        return self.asides.get(name, 0.0) / max(time.monotonic() - self.start, 1e-9)

    def checkpoint_due(self, step: int) -> bool:
        """Tell, after ``step``, whether the minutes between two checkpoints have passed, or one is tried again."""
        if self.checkpoint_time == NEVER:
            return False
        return self.agreed(time.monotonic() > self.checkpoint_time, step)

    def checkpoint_tried(self, written: bool) -> None:
        self.checkpoint_time = time.monotonic() + (self.checkpoint_every if written else TRY_AGAIN)

    def stop_due(self, step: int) -> bool:
        """Tell, before ``step``, whether the time is up or somebody asked the run to end."""
        return self.agreed(self.signal is not None or time.monotonic() - self.start > self.stop_after, step)

    def agreed(self, flag: bool, step: int) -> bool:
        """Let several processes decide alike; they ask each other now and then, because asking waits for the device."""
        if world_size() == 1:
            return flag
        return step % ASK_EVERY == 0 and any_process(flag, self.device)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """End after the running step on Ctrl-C, SIGTERM or SIGHUP; a second one ends at once."""
        names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: the terminal or the connection is gone
        heard = [name for name in names if signal.getsignal(name) is not signal.SIG_IGN]  # nohup ignores SIGHUP
        before = {name: signal.signal(name, self.hear) for name in heard}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def exit_if_asked(self) -> None:
        """Exit with the status that the sender of a signal expects, if there was one."""
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    def hear(self, number: int, _frame) -> None:
        """Take note of a signal. One that follows within seconds is the same request, sent to a whole group."""
        if self.signal is not None and time.monotonic() - self.signal_time > SAME_REQUEST:
            raise SystemExit(128 + number)
        if self.signal is None:
            say("\nstopping: after this step, or the validation that is running, a checkpoint is saved")
        self.signal, self.signal_time = number, time.monotonic()


def minutes(value: float | None) -> float:
    """Return seconds; never, if there is no value."""
    return NEVER if value is None else 60 * value
