"""Ways of summing gradients on the hosts at hand: `reviewmill bench exchange`."""
