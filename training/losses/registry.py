"""The losses a config can name: one table for a diffusion model, one for each player of a GAN."""

from utils.class_registry import ClassRegistry

losses_registry = ClassRegistry("diffusion loss")
gen_losses_registry = ClassRegistry("generator loss")
disc_losses_registry = ClassRegistry("discriminator loss")
