"""What happens inside the model: reading activations, making vectors, applying them, measuring."""
