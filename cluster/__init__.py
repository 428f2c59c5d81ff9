"""Where things run: commands that start work on machines; nothing of what the work is."""
