"""`make demo`: a real trace's day of demand in minutes, on a real control plane, with a simulated fleet."""
