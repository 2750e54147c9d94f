"""Large models over the network: what is asked of them, what comes back, and what it cost."""
