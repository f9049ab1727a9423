"""What a user would run instead: each product's scaler as published, all with the same one spill rule."""
