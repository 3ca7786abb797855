"""Faults that strike a run: killed at any moment, disks full, files damaged, clocks wrong. What a run must survive."""
