"""The networks a config can name."""

from utils.class_registry import ClassRegistry

gens_registry = ClassRegistry("generator")
discs_registry = ClassRegistry("discriminator")
diffusion_models_registry = ClassRegistry("diffusion model")
denoisers_registry = ClassRegistry("denoiser")
classifiers_registry = ClassRegistry("classifier")
autoencoders_registry = ClassRegistry("autoencoder")
codecs_registry = ClassRegistry("codec")
