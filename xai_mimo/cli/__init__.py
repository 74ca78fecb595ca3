"""The command line, thin: it parses, calls the library and says in one line what went wrong."""
