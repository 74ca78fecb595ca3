"""The command line, ``xai-mimo``: thin. It chooses the backend, shows progress and turns errors into one line.

House rule: no number is computed here; every command calls one function of another room. No framework is imported
before the backend is chosen, so imports of rooms that need one stand inside the commands.
"""
