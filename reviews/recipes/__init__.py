"""The presets of the preparation, one YAML file each."""
