"""Widgets: line-API lists, bars and prompts. They know nothing of volumes or engines."""
