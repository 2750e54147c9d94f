"""What people touch: the command line, the demo, and the report page."""
