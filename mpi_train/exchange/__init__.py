"""Exchange between ranks: the control plane, groups, and how gradients are summed."""
