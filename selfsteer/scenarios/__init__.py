"""Unattended work: experiments that set themselves up, run, and say what came out."""
