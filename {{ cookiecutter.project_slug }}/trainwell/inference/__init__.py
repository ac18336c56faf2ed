"""What a trained run is used for: evaluate, predict, export."""
