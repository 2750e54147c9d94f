"""Commands that measure what the project promises."""
