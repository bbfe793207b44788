"""Building blocks that several networks share. None knows of a registry or a loss."""
