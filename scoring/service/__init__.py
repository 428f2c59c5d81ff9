"""A model over HTTP, and the page to try it on."""
