"""Building blocks that know nothing of training: registry, config, errors, seeding, images, processes."""
