"""What happens between topics: the stages, the runtime that runs them, and the command line."""
