"""Strong and weak scaling of the stages, measured where there are cores, else simulated."""
