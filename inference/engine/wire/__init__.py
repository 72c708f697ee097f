"""The protocol between web processes and engines: `engine.proto` and its generated code."""
