"""File formats of steering vectors, one module each."""
