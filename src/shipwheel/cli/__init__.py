"""The command line: one module a command. Parses words, calls the pipeline, shows what comes back."""
