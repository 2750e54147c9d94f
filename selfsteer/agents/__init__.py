"""Who decides: controllers, judges, and the loop that they steer."""
