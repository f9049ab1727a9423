"""Routing planes: what can move traffic between lanes, all behind one interface (``plane.py``)."""
