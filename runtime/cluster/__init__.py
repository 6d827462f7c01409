"""Actors in other processes: the link, the hosts at its other end, and the gateway to Ray."""
