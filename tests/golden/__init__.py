"""Histories that releases of perdure have recorded, and the proof that this code still replays each of them."""
