"""What reading and writing activations costs, beside the peers and beside the floor."""
