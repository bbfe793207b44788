"""The losses a config can name: a table for each kind of outcome; the players of a GAN have one each."""

from utils.class_registry import ClassRegistry

losses_registry = ClassRegistry("diffusion loss")
gen_losses_registry = ClassRegistry("generator loss")
disc_losses_registry = ClassRegistry("discriminator loss")
supervised_losses_registry = ClassRegistry("supervised loss")
autoencoder_losses_registry = ClassRegistry("autoencoder loss")
