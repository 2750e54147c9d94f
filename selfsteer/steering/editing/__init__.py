"""Plans at work on a batch: from selectors to tokens, from edits to hooks on the blocks."""
