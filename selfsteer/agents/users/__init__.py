"""Users served from memory: vectors derived, judged, put in use, explained and retired."""
