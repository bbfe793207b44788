"""What turns a denoiser into images: samplers, the noise levels they step through, and guidance."""

from utils.class_registry import ClassRegistry

samplers_registry = ClassRegistry("sampler")
sampling_levels_registry = ClassRegistry("sampling levels")
guidance_registry = ClassRegistry("guidance")
