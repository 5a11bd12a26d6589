""".. include:: tutorial.md"""
