"""Scores of frames: computed, kept in files, fused into those of videos."""
