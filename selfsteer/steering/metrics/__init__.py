"""What is measured: detection, intervals, coherence, retention."""
