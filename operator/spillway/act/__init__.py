"""Decision -> the outside world, in a safe order, each write with a precondition."""
