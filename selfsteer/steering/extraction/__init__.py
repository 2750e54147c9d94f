"""From activations to directions: one module per method, and a registry that names them."""
