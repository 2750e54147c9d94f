"""From what is known of a user to a vector: one method a file, all with the same interface."""
