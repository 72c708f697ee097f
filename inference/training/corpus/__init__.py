"""The text from which the starter model learns: all of it is written here, as grammars."""
