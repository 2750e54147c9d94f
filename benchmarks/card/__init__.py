"""The measurements of Pocket's model card, one topic a file, all on held-out wordings."""
