"""Tests of status, Events, metrics, health and logs."""
