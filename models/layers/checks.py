"""What a constructor refuses, each in one line that names the setting."""

from utils.errors import ConfigError


def check_image_size(image_size: int, factor: int, why: str) -> None:
    """Raise :class:`ConfigError` unless ``factor`` divides the image size. ``why``: the settings that ask for it."""
    if image_size < factor or image_size % factor:
        raise ConfigError(f"data.image_size {image_size} is not a multiple of {factor}, which {why} needs")
