"""Runtime support of the commands: progress, memory, subcommands."""
