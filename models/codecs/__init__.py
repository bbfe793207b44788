"""What stands between images and a diffusion model: nothing, or an autoencoder."""
