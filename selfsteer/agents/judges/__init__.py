"""Judges: what turns replies into scores without any ground truth."""
