"""JSON readers: lines, objects, and the scanner kernels under them."""
