"""Search for the options of a training: `reviewmill tune`."""
