"""What the loop achieves on Pocket, where the truth is known."""
