"""Studies of the questions that the project was started with."""
