"""Stands here so that the folders below find `groups.py`: pytest puts the folder of a conftest on the path."""
