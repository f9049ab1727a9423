"""kopf and the loop: the readable spine."""
