"""The command line: words for people, one module for each group of commands. Never knows what is behind ``server``'s functions."""
