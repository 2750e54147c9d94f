"""Do user vectors predict users? Simulated users, whose profiles are known, say how well."""
