"""What a constructor refuses, each in one line that names the setting."""

from utils.errors import ConfigError

START = 4  # height and width at which most generators start and discriminators end


def check_image_size(image_size: int, factor: int, why: str) -> None:
    """Raise :class:`ConfigError` unless ``factor`` divides the image size. ``why``: the settings that ask for it."""
    if image_size < factor or image_size % factor:
        raise ConfigError(f"data.image_size {image_size} is not a multiple of {factor}, which {why} needs")


def check_levels(image_size: int, patch: int, channel_mult: list[int]) -> int:
    """Return how much smaller than the image the last of the resolutions is: patch * 2^(levels - 1).

    Raises :class:`ConfigError` where there is none, or the image cannot be divided so.
    """
    if not channel_mult:
        raise ConfigError("channel_mult is empty: give it an entry for each resolution, such as [1, 2, 4]")
    factor = patch * 2 ** (len(channel_mult) - 1)
    check_image_size(image_size, factor, f"patch {patch} with the {len(channel_mult)} levels of channel_mult")
    return factor


def doublings(image_size: int, network: str) -> int:
    """Return how often 4 by 4 is doubled to the image size. Raises :class:`ConfigError` for another size."""
    check_image_size(image_size, 2 * START, network)
    times = (image_size // START).bit_length() - 1
    if image_size != START * 2**times:
        raise ConfigError(f"data.image_size {image_size}: {network} takes 4 times a power of two (8, 16, 32, 64, ...)")
    return times
