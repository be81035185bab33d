"""Two gradients side by side, and what of their difference is chance."""
