"""What memory holds out: speed at 100,000 vectors, and writers that are killed."""
