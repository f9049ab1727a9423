"""What the operator tells the world: status, Events, metrics, health, logs. Pure but for the HTTP server."""
