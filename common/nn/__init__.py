"""Network layers, distributions, compilation, and measured or counted costs; nothing here depends on an agent."""
