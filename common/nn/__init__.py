"""Network layers, distributions, compilation, and costs of layers; independent of the agent."""
