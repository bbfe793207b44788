"""What a constructor refuses, each in one line that names the setting."""

from utils.errors import ConfigError

START = 4  # height and width at which most generators start and discriminators end


def check_image_size(image_size: int, factor: int, why: str) -> None:
    """Raise :class:`ConfigError` unless ``factor`` divides the image size. ``why``: the settings that ask for it."""
    if image_size < factor or image_size % factor:
        raise ConfigError(f"data.image_size {image_size} is not a multiple of {factor}, which {why} needs")


def doublings(image_size: int, network: str) -> int:
    """Return how often 4 by 4 is doubled to the image size. Raises :class:`ConfigError` for another size."""
    check_image_size(image_size, 2 * START, network)
    times = (image_size // START).bit_length() - 1
    if image_size != START * 2**times:
        raise ConfigError(f"data.image_size {image_size}: {network} takes 4 times a power of two (8, 16, 32, 64, ...)")
    return times
