"""Devices at home: what is wrong with them, and restarting them."""
