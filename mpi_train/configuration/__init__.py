"""Configuration of a training run: options, presets, and how they are laid over one another."""
