"""Evolution of vectors: genomes, their variation and selection, and what is kept of them."""
