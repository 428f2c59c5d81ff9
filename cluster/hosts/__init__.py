"""Hosts of one's own, reached by ssh: host files, probes, the start of ranks there."""
