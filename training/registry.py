"""What training is made of besides the networks, by name."""

from utils.class_registry import ClassRegistry

optimizers_registry = ClassRegistry("optimizer")
schedules_registry = ClassRegistry("schedule")
ema_registry = ClassRegistry("EMA")
disc_augments_registry = ClassRegistry("discriminator augmentation")
levels_registry = ClassRegistry("training levels")
studies_registry = ClassRegistry("study")
diffusion_studies_registry = ClassRegistry("study of a diffusion model")
classifier_studies_registry = ClassRegistry("study of a classifier")
autoencoder_studies_registry = ClassRegistry("study of an autoencoder")
