"""The program as people type it: real processes, what they print, and their exit codes."""
