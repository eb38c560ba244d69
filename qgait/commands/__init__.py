"""One file a command: options in, a call into the library, a table out."""
