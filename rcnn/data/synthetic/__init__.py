"""Synthetic data: videos whose classes need motion, and images whose flow is known."""
